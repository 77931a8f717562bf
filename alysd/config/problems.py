"""Problems of a configuration, each with its source, its key, its value and what is allowed."""

from collections.abc import Sequence
from pathlib import Path

import attrs

from alysd.errors import ConfigError


@attrs.frozen
class Source:
    """The source of a value: `words` names it in messages; a relative path in the value starts at `folder`."""

    words: str
    folder: Path = Path()


@attrs.frozen
class Setting:
    """A value as it was written, and its source."""

    value: object
    source: Source


class Text(str):
    """A value from the environment or the command line: text that is converted to the option's type."""

    __slots__ = ()


class InvalidConfig(ConfigError):
    """All problems of a configuration at once; each of `problems` is a message of its own."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def problem(source: Source, key: str, value: object, reason: str) -> str:
    """Name the source, the key and the value, then the reason, which says what is allowed."""
    return f"{source.words}: {key} = {shown(value)}: {reason}"


def shown(value: object) -> str:
    """Show a value as TOML would write it, without passwords in addresses, cut to 80 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return _cut(repr(value))
    head, at, tail = value.rpartition("@")
    if at and "://" in head:
        value = f"{head.partition('://')[0]}://***@{tail}"
    return f'"{_cut(value)}"'


def _cut(text: str) -> str:
    """Cut to 80 characters."""
    return text if len(text) <= 80 else f"{text[:77]}…"
