"""What is wrong with a configuration, said so that a person can put it right."""

from collections.abc import Sequence
from pathlib import Path

import attrs

from alysd.errors import ConfigError


@attrs.frozen
class Source:
    """Where a value comes from: `words` for people, `folder` where a relative path in it starts."""

    words: str
    folder: Path = Path()


@attrs.frozen
class Setting:
    """A value as it was written, and where."""

    value: object
    source: Source


class Text(str):
    """A value from the environment or the command line: text that stands for whatever the option's type is."""

    __slots__ = ()


class InvalidConfig(ConfigError):
    """Everything that is wrong with a configuration at once; each of `problems` is one for a person to read."""

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
    """Keep a line readable whatever was typed."""
    return text if len(text) <= 80 else f"{text[:77]}…"
