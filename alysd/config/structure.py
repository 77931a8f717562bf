"""Converts settings to the fields of attrs classes, checks all values and collects all problems."""

import difflib
import os
import pwd
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from alysd.config.credentials import credential_path, names_credential
from alysd.config.problems import Setting, Source, problem
from alysd.config.values import CONVERTER


def structure_fields(
    cls: type[Any],
    settings: Mapping[str, Setting],
    *,
    prefix: str,
    source: Source,
    problems: list[str],
    credentials: Path | None = None,
) -> dict[str, Any]:
    """Convert the settings under `prefix` to values of the fields of `cls`; append problems to `problems`.

    `source` is named in the problem of a required option that is missing. `credentials` is the folder of the
    service's credentials.
    """
    values: dict[str, Any] = {}
    for field in attrs.fields(cls):
        key = prefix + field.name
        setting = settings.get(key)
        if setting is None:
            if field.default is attrs.NOTHING:
                problems.append(f"{source.words}: {key} is missing: it has no default and must be set")
            continue
        try:
            values[field.name] = _structure(field, setting, credentials)
        except ValueError as error:
            problems.append(problem(setting.source, key, setting.value, str(error)))
    return values


def unknown_key(setting: Setting, key: str, known: Iterable[str]) -> str:
    """Format the problem of an unknown key, with the known keys that are most similar."""
    near = difflib.get_close_matches(key, list(known), n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/configuration.md lists all keys"
    return f"{setting.source.words}: {key} is not a known key: {hint}"


def _structure(field: "attrs.Attribute[Any]", setting: Setting, credentials: Path | None) -> Any:
    """Convert and check the value of one field. Raises `ValueError` with what is allowed."""
    if field.metadata.get("later_file", field.metadata.get("input_file")) and names_credential(setting.value):
        return _credential(field, str(setting.value), credentials)
    value: Any = CONVERTER.structure(setting.value, cast("type[Any]", field.type))
    if (bounds := field.metadata.get("between")) and value is not None:
        low, high = bounds
        if not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
    if field.metadata.keys() & {"input_file", "later_file"} and value is not None:
        value = setting.source.folder / value
    if field.metadata.get("input_file") and value is not None:
        check_readable(value)
    return value


def _credential(field: "attrs.Attribute[Any]", value: str, folder: Path | None) -> Path:
    if field.metadata.get("own_file"):
        raise ValueError("this program writes the file, and cannot write a credential: name a path")
    path = credential_path(value, folder)
    if folder is not None:
        check_readable(path)
    return path


def check_readable(path: Path) -> None:
    """Raise `ValueError` with advice unless `path` is a file that this process can read."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("there is no such file") from None
    except OSError as error:
        raise ValueError(f"cannot be accessed: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise ValueError("is a folder, not a file" if stat.S_ISDIR(mode) else "is a device or pipe, not a file")
    if not os.access(path, os.R_OK):
        user = user_name()
        raise ValueError(
            f"not readable by user {user}\nmake it readable (chmod 640, group {user}) or name another file"
        )


def user_name() -> str:
    """Return the name of the user of this process, or the uid if it has no name, as in minimal containers."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
