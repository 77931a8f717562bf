"""Reads TOML files with the line number of each key, for use in error messages."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from alysd.config.problems import Setting, Source
from alysd.config.regular_file import reading_regular
from alysd.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024
"""The largest file that is read. A larger one is not a configuration or genesis, but a wrong file name."""

MAX_PARTS = 8
"""The maximum number of parts of a dotted key. Options have two or three."""

_NAME = re.compile(r"[A-Za-z0-9_.\"' -]+")
"""A dotted key. The pattern has one part, so its match takes linear time: other people write such files."""


def read_bounded(path: Path, *, what: str, pipe: bool = False) -> bytes:
    """Read a file of at most `MAX_FILE_BYTES`. Raises `ConfigError`, in which `what` names the file's purpose.

    Only with `pipe` may it be other than a regular file: to read a pipe waits for the program at its other end.
    """
    try:
        with path.open("rb") if pipe else reading_regular(path) as file:
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
    for parts, value in _flatten(document, path):
        key = ".".join(parts)
        line = lines.get(key)
        words = f"{path}:{line}" if line else str(path)
        settings[key] = Setting(value, Source(words, path.parent))
    return settings


def readable_settings(path: Path, *, what: str) -> dict[str, Setting]:
    """Read what can be read of a TOML file with mistakes: its tables one by one, or else the lines of a table.

    Values over several lines are missing if their table has a mistake, and so are keys that occur twice. Raises
    `ConfigError` for a file that cannot be read at all.
    """
    settings: dict[str, Setting] = {}
    twice: set[str] = set()
    for header, lines in _tables(read_bounded(path, what=what).decode(errors="replace")):
        found = _readable("\n".join([header, *lines]))
        for document in [found] if found is not None else [_readable(f"{header}\n{line}") for line in lines]:
            for parts, value in _flatten(document or {}, path):
                key = ".".join(parts)
                twice |= settings.keys() & {key}
                settings[key] = Setting(value, Source(str(path), path.parent))
    return {key: setting for key, setting in settings.items() if key not in twice}


def _tables(text: str) -> list[tuple[str, list[str]]]:
    """The headers of the tables in a text, each with the lines below it. The first header is empty."""
    tables: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if _header(line.strip()):
            tables.append((line, []))
        else:
            tables[-1][1].append(line)
    return tables


def _readable(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def key_lines(text: str) -> dict[str, int]:
    """Return the line, counted from 1, of each dotted key in a `[table]` header or in `key = value`.

    Keys in other forms, such as those in inline tables, are missing in the result.
    """
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if header := _header(line):
            table = _plain(header) + "."
            lines.setdefault(table.removesuffix("."), number)
        elif key := _key(line):
            lines.setdefault(table + _plain(key), number)
    return lines


def _header(line: str) -> str:
    """The key in a `[table]` header; empty for other lines."""
    name, closed, rest = line.removeprefix("[").partition("]")
    rest = rest.strip()
    is_header = line.startswith("[") and closed and "[" not in name and (not rest or rest.startswith("#"))
    return name.strip() if is_header else ""


def _key(line: str) -> str:
    """The key in `key = value`; empty for other lines."""
    name, equal, _ = line.partition("=")
    name = name.strip()
    return name if equal and _NAME.fullmatch(name) else ""


def _plain(key: str) -> str:
    """Remove spaces and quotes around the parts of a dotted key."""
    return ".".join(part.strip(" \"'") for part in key.split("."))


def _flatten(
    table: Mapping[str, object], path: Path, above: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], object]]:
    """Return the parts of dotted keys with their values, in the order of the file. An empty table is a value.

    Raises `ConfigError` for a key with more than `MAX_PARTS` parts.
    """
    found: list[tuple[tuple[str, ...], object]] = []
    for key, value in table.items():
        parts = (*above, key)
        if len(parts) > MAX_PARTS:
            raise ConfigError(f"{path}: the keys in {'.'.join(above)[:80]} have more than {MAX_PARTS} parts")
        if isinstance(value, dict) and value:
            found.extend(_flatten(cast("dict[str, object]", value), path, parts))
        else:
            found.append((parts, cast("object", value)))
    return found
