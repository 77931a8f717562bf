"""The base class of log events, and the function that logs one.

The text form is for people: one line, with shortened hashes and addresses. The JSON form is for programs: every
field under its own name, with full hashes and addresses. `alysd.api.console_log` writes either form. To add a log
line, add a class to this package and a row to docs/logs.md, and call `log(TheClass(...))`.
"""

import logging
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NewType

import attrs

from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, EvmAddress, displayed
from alysd.wire.evm_address import checksum_address

Bits = NewType("Bits", int)
"""A compact target. The log shows it in hex, as Bitcoin shows `bits`."""

Json = str | int | float | bool | None
"""The type of a field's value in the JSON form."""

_LOGGER = logging.getLogger("alysd")


class LogEvent(ABC):
    """The base class of log events: frozen attrs classes whose fields are the fields of the JSON form.

    `name` is the value of `event` in the JSON form and must never change. `level` is one of `logging`'s levels.
    """

    name: ClassVar[str]
    level: ClassVar[int] = logging.INFO

    def text(self) -> tuple[str, Sequence[str]]:
        """The text form: the subject, and one or more lines that describe the event.

        A line with an empty subject is shown without its time.
        """
        subject, words = self._line()
        return subject, (words, *self._more())

    @abstractmethod
    def _line(self) -> tuple[str, str]: ...

    def _more(self) -> Sequence[str]:
        return ()

    def fields(self) -> dict[str, Json]:
        """The JSON form: all fields, in the order of the class. Durations are rounded to milliseconds."""
        fields: dict[str, Json] = {}
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            fields[field.name] = value if value is None else _json_form(field.type)(value)
        return fields


def log(event: LogEvent) -> None:
    """Log `event` at its level through the `alysd` logger."""
    _LOGGER.log(event.level, event)


_JSON_FORMS: Mapping[object, Callable[[Any], Json]] = {
    BlockHash: displayed,
    AuxHash: displayed,
    BitcoinHash: displayed,
    EvmAddress: checksum_address,
    Bits: "{:08x}".format,
    float: lambda seconds: round(seconds, 3),
}
"""Conversions to JSON by the declared type of a field. Fields of other types are written unchanged."""


def _json_form(declared: object) -> Callable[[Any], Json]:
    for one in (declared, *typing.get_args(declared)):
        if form := _JSON_FORMS.get(one):
            return form
    return _unchanged


def _unchanged(value: Json) -> Json:
    return value


def short_hash(value: bytes) -> str:
    """The first six hex digits of an Alys or Bitcoin hash, as the RPC displays it."""
    return f"{displayed(value)[:6]}…"


def short_address(address: EvmAddress) -> str:
    """The first and last four hex digits of an address."""
    whole = checksum_address(address)
    return f"{whole[:6]}…{whole[-4:]}"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural if needed: `1 block`, `2 blocks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
