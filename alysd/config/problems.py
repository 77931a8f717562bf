"""Problems of a configuration: messages with the source, the key, the value and the allowed values."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import attrs

from alysd.errors import ConfigError


@attrs.frozen
class Source:
    """The source of a value. `words` names it in messages; paths in the value are relative to `folder`."""

    words: str
    folder: Path = Path()


@attrs.frozen
class Setting:
    """A value before conversion, and its source."""

    value: object
    source: Source


class Text(str):
    """A value from the environment or the command line, to be converted to the type of the option."""

    __slots__ = ()


class InvalidConfig(ConfigError):
    """A configuration is invalid. `problems` has one message per problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def problem(source: Source, key: str, value: object, reason: str) -> str:
    """Format a problem: source, key, value, and the reason, which states what is allowed."""
    return f"{source.words}: {key} = {shown(value)}: {reason}"


MOST_SHOWN = 80
"""The number of characters of a value in a message."""


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """Format a value as in TOML, without user and password of a URL, and with at most `most` characters.

    A wrong URL may lack its scheme. So all before the last @ of a text is left out, but for the scheme.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        try:
            return _cut(repr(_masked(value)), most)
        except ValueError:  # Python cannot convert a number of more than 4,300 digits to text
            return "a number that is too long"
    return f'"{_cut(_without_user(value), most)}"'


def _without_user(text: str) -> str:
    head, at, tail = text.rpartition("@")
    scheme, separator, _ = head.partition("://")
    return f"{scheme + separator if separator else ''}***@{tail}" if at else text


def _masked(value: object) -> object:
    """The value with `_without_user` for all texts in it."""
    if isinstance(value, str):
        return _without_user(value)
    if isinstance(value, list | tuple):
        items = [_masked(item) for item in cast("Sequence[object]", value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in cast("dict[str, object]", value).items()}
    return value


def _cut(text: str, most: int) -> str:
    """Shorten a text."""
    return text if len(text) <= most else f"{text[: most - 3]}…"
