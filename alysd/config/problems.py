"""Problems of a configuration: messages with the source, the key, the value and the allowed values."""

from collections.abc import Sequence
from pathlib import Path

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
    """Format a value as in TOML, without user and password of a URL, and with at most `most` characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        try:
            return _cut(repr(value), most)
        except ValueError:  # Python cannot convert a number of more than 4,300 digits to text
            return "a number that is too long"
    head, at, tail = value.rpartition("@")
    if at and "://" in head:
        value = f"{head.partition('://')[0]}://***@{tail}"
    return f'"{_cut(value, most)}"'


def _cut(text: str, most: int) -> str:
    """Shorten a text."""
    return text if len(text) <= most else f"{text[: most - 3]}…"
