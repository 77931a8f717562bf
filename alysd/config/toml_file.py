"""Reads TOML files with the line number of each key, for use in error messages."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from alysd.config.problems import Setting, Source
from alysd.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024
"""The largest file that is read. A larger one is not a configuration or genesis, but a wrong file name."""

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=")


def read_bounded(path: Path, *, what: str) -> bytes:
    """Read a file of at most `MAX_FILE_BYTES`. Raises `ConfigError`, in which `what` names the file's purpose."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file ({what})") from None
    except OSError as error:
        raise ConfigError(f"{path}: {what} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: {what} is larger than {MAX_FILE_BYTES} bytes: is it the right file?")
    return data


def read_settings(path: Path, *, what: str) -> dict[str, Setting]:
    """Read a TOML file and flatten its tables into dotted keys; arrays are values. Raises `ConfigError`."""
    try:
        text = read_bounded(path, what=what).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}") from None
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of more than 4,300 digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    lines = key_lines(text)
    settings: dict[str, Setting] = {}
    for key, value in _flatten(document, ""):
        line = lines.get(key)
        words = f"{path}:{line}" if line else str(path)
        settings[key] = Setting(value, Source(words, path.parent))
    return settings


def key_lines(text: str) -> dict[str, int]:
    """Return the line, counted from 1, of each dotted key in a `[table]` header or in `key = value`.

    Keys in other forms, such as those in inline tables, are missing in the result.
    """
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _plain(header[1]) + "."
            lines.setdefault(table.removesuffix("."), number)
        elif key := _KEY.match(line):
            lines.setdefault(table + _plain(key[1]), number)
    return lines


def _plain(key: str) -> str:
    """Remove spaces and quotes around the parts of a dotted key."""
    return ".".join(part.strip(" \"'") for part in key.split("."))


def _flatten(table: Mapping[str, object], prefix: str) -> list[tuple[str, object]]:
    """Return dotted keys with their values, in the order of the file. An empty table is a value."""
    found: list[tuple[str, object]] = []
    for key, value in table.items():
        if isinstance(value, dict) and value:
            found.extend(_flatten(cast("dict[str, object]", value), f"{prefix}{key}."))
        else:
            found.append((prefix + key, cast("object", value)))
    return found
