"""The base of the log's events, and how one is written.

Text is for people: one line, hashes and addresses shortened. JSON is for programs: every field under its own name,
hashes and addresses whole. `alysd.api.console_log` writes either form. A new log line is a class in this package,
a row in docs/logs.md, and `log(TheClass(...))` where it happens.
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
"""A compact target, shown in hex as Bitcoin shows `bits`."""

Json = str | int | float | bool | None
"""The value of one field in the JSON form."""

_LOGGER = logging.getLogger("alysd")


class LogEvent(ABC):
    """Base of the log's events: frozen attrs classes whose fields are the fields of the JSON form.

    `name` is the value of `event` in the JSON form and never changes; `level` is one of `logging`'s levels.
    """

    name: ClassVar[str]
    level: ClassVar[int] = logging.INFO

    def text(self) -> tuple[str, Sequence[str]]:
        """The text form: its subject, and a line that says what happened, with more lines below it if need be.

        With an empty subject the line is shown without its time.
        """
        subject, words = self._line()
        return subject, (words, *self._more())

    @abstractmethod
    def _line(self) -> tuple[str, str]: ...

    def _more(self) -> Sequence[str]:
        return ()

    def fields(self) -> dict[str, Json]:
        """The JSON form: every field, in the order of the class. Durations are rounded to a millisecond."""
        fields: dict[str, Json] = {}
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            fields[field.name] = value if value is None else _json_form(field.type)(value)
        return fields


def log(event: LogEvent) -> None:
    """Write `event` to the log of this process, if the configured level allows it."""
    _LOGGER.log(event.level, event)


_JSON_FORMS: Mapping[object, Callable[[Any], Json]] = {
    BlockHash: displayed,
    AuxHash: displayed,
    BitcoinHash: displayed,
    EvmAddress: checksum_address,
    Bits: "{:08x}".format,
    float: lambda seconds: round(seconds, 3),
}
"""By the declared type of a field: types that JSON has no form for, or not the one that RPC shows."""


def _json_form(declared: object) -> Callable[[Any], Json]:
    for one in (declared, *typing.get_args(declared)):
        if form := _JSON_FORMS.get(one):
            return form
    return _unchanged


def _unchanged(value: Json) -> Json:
    return value


def short_hash(value: bytes) -> str:
    """The first six digits of an Alys or Bitcoin hash as RPC shows it."""
    return f"{displayed(value)[:6]}…"


def short_address(address: EvmAddress) -> str:
    """The first and last four digits of an address."""
    whole = checksum_address(address)
    return f"{whole[:6]}…{whole[-4:]}"


def counted(number: int, noun: str) -> str:
    """`1 block`, `2 blocks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
