"""Makes attrs classes of settings: checks every value and gathers every problem."""

import difflib
import os
import pwd
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from alysd.config.problems import Setting, Source, problem
from alysd.config.values import CONVERTER


def between(low: int, high: int) -> Mapping[str, Any]:
    """Metadata of a whole number that must lie from `low` to `high`, both allowed."""
    return {"between": (low, high)}


def structure_fields(
    cls: type[Any], settings: Mapping[str, Setting], *, prefix: str, source: Source, problems: list[str]
) -> dict[str, Any]:
    """Give the values of `cls`'s fields that `settings` has under `prefix`, adding to `problems` what is wrong.

    `source` is named in the problem of a required option that is not set.
    """
    values: dict[str, Any] = {}
    for field in attrs.fields(cls):
        key = prefix + field.name
        setting = settings.get(key)
        if setting is None:
            if field.default is attrs.NOTHING:
                problems.append(f"{source.words}: {key} is missing, and it has no default")
            continue
        try:
            values[field.name] = _structure(field, setting)
        except ValueError as error:
            problems.append(problem(setting.source, key, setting.value, str(error)))
    return values


def unknown_key(setting: Setting, key: str, known: Iterable[str]) -> str:
    """The problem of a key that nothing reads, with the nearest ones that are read."""
    near = difflib.get_close_matches(key, list(known), n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/configuration.md has all keys"
    return f"{setting.source.words}: {key} is not a known key: {hint}"


def _structure(field: "attrs.Attribute[Any]", setting: Setting) -> Any:
    """One field's value; raises `ValueError` saying what is allowed."""
    value: Any = CONVERTER.structure(setting.value, cast("type[Any]", field.type))
    if bounds := field.metadata.get("between"):
        low, high = bounds
        if not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high} is needed")
    if field.metadata.get("input_file") and value is not None:
        value = setting.source.folder / value
        check_readable(value)
    return value


def check_readable(path: Path) -> None:
    """Raise `ValueError`, which says what to do, unless `path` is a file that this process may read."""
    try:
        found = path.is_file()
    except OSError as error:
        raise ValueError(f"cannot be reached: {error.strerror}") from None
    if not found:
        raise ValueError("there is no such file")
    if not os.access(path, os.R_OK):
        user = user_name()
        raise ValueError(
            f"not readable by user {user}\nmake it readable (chmod 640, group {user}) or name another file"
        )


def user_name() -> str:
    """The name of the user that this process acts as, or its number where it has none (a bare container)."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
