"""The errors of children in processes of their own, and how errors cross the border.

An error crosses as the name of its class, a text, and its fields if the codec can encode them. The receiver makes
an error of the same class if its fields crossed and its class is in `ALWAYS` or in `refusals` of the child's spec.
For any other error it makes a `RemoteNotAnswered` if the class is a `NotAnswered`, else a `RemoteRefusal`. Nothing
is ever unpickled. The fields have to be of the types that the class declares, as attributes or as arguments of its
`__init__`.
"""

import struct
from collections.abc import Mapping
from functools import cache
from inspect import Parameter, signature
from typing import Any, get_type_hints

import attrs

from alysd.nurseries.errors import (
    ActorDown,
    AskCycle,
    AskTimeout,
    CircuitOpen,
    MailboxFull,
    NotAnswered,
    NurseryError,
    Refusal,
    UnknownMessage,
    root_cause,
    text_of,
)
from alysd.nurseries.processes.declared import Check, anything, check_of
from alysd.nurseries.processes.spec import PayloadCodec

TEXT_BYTES = 500
"""The longest name or text of an error that crosses, in bytes."""

FIELDS_BYTES = 1 << 14
"""The longest encoding of an error's fields that crosses."""

_HEAD = struct.Struct("<?HH")


@attrs.frozen(str=False)
class ProcessDied(NurseryError):
    """The process of the child `name` ended without being asked to; `how` is its exit status or signal."""

    name: str
    how: str

    def __str__(self) -> str:
        return f"the process of {self.name} ended: {self.how}"


@attrs.frozen(str=False)
class ProcessCrashed(NurseryError):
    """The actor in the process of the child `name` failed with an error of the class `kind` with this `text`."""

    name: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.name} failed in its process: {self.kind}: {self.text}"


@attrs.frozen(str=False)
class BrokenProtocol(NurseryError):
    """The process of the child `name` sent bytes that break the protocol of the border."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"the process of {self.name} broke the protocol: {self.reason}"


@attrs.frozen(str=False)
class RemoteRefusal(Refusal):
    """A refusal from the other side of the border, of a class that the child's spec does not list."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@attrs.frozen(str=False)
class RemoteNotAnswered(NotAnswered):
    """A `NotAnswered` from the other side of the border, of a class that the child's spec does not list."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@attrs.frozen(str=False)
class CannotCross(Refusal):
    """A message or an answer for `name` that cannot cross the border; `reason` says why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"cannot send to or from the process of {self.name}: {self.reason}"


@attrs.frozen(str=False)
class NotReachable(Refusal):
    """The process of the child `name` used the address `target`, or a message, that its `reaches` do not list."""

    name: str
    target: str

    def __str__(self) -> str:
        return f"the process of {self.name} may not reach {self.target}"


ALWAYS: tuple[type[Exception], ...] = (
    Refusal, UnknownMessage, CannotCross, NotReachable, RemoteRefusal, RemoteNotAnswered, ActorDown, CircuitOpen,
    MailboxFull, AskTimeout, AskCycle,
)  # fmt: skip
"""The errors of the runtime that cross as the same class."""


def known_errors(classes: tuple[type[Exception], ...]) -> Mapping[str, type[Exception]]:
    """The classes and those in `ALWAYS`, by name. Raises `ValueError` if two have the same name."""
    found: dict[str, type[Exception]] = {}
    for kind in (*ALWAYS, *classes):
        if found.setdefault(kind.__name__, kind) is not kind:
            raise ValueError(f"two classes of refusals are named {kind.__name__}; rename one of them")
    return found


def summary(error: BaseException) -> tuple[str, str]:
    """The name of the class and the text of the error that occurred first, both bounded."""
    cause = root_cause(error)
    return _bounded(type(cause).__name__).decode(), _bounded(text_of(cause)).decode()


def pack_summary(error: BaseException) -> bytes:
    """Encode the name and the text of the error, and whether it is a `NotAnswered`."""
    name, text = (each.encode() for each in summary(error))
    return _HEAD.pack(isinstance(error, NotAnswered), len(name), len(text)) + name + text


def pack_error(error: Exception, codec: PayloadCodec) -> bytes:
    """Encode the name and the text of the error, and its fields if the codec can encode them."""
    return pack_summary(error) + _fields(error, codec)


def unpack_summary(data: bytes) -> tuple[str, str, bytes]:
    """The name, the text, and the encoded fields, if any. Raises `ValueError` for bytes that are not an error."""
    if len(data) < _HEAD.size:
        raise ValueError(f"an error of {len(data)} bytes, fewer than the {_HEAD.size} of its head")
    _, name_bytes, text_bytes = _HEAD.unpack_from(data)
    at = _HEAD.size + name_bytes
    if len(data) < at + text_bytes or name_bytes > TEXT_BYTES or text_bytes > TEXT_BYTES:
        raise ValueError(
            f"an error with a name of {name_bytes} bytes and a text of {text_bytes}, in {len(data)} bytes; each "
            f"may have at most {TEXT_BYTES}"
        )
    return data[_HEAD.size : at].decode(), data[at : at + text_bytes].decode(), data[at + text_bytes :]


def unpack_error(data: bytes, codec: PayloadCodec, known: Mapping[str, type[Exception]]) -> Exception:
    """Decode an error: an instance of its class, if `known` has the class and the fields crossed.

    Any other error becomes a `RemoteRefusal` or a `RemoteNotAnswered`. Raises `ValueError` for bytes that are not
    an error.
    """
    name, text, fields = unpack_summary(data)
    kind = known.get(name)
    if kind is None or not fields:
        return RemoteNotAnswered(name, text) if data[0] else RemoteRefusal(name, text)
    if len(fields) > FIELDS_BYTES:
        raise ValueError(f"fields of {name} of {len(fields)} bytes; at most {FIELDS_BYTES} are accepted")
    try:
        return _made(kind, fields, codec)
    except Exception as error:  # a constructor of the program, called with values from the other process
        raise ValueError(f"{name} cannot be made of the fields that arrived: {error}") from None


def _fields(error: Exception, codec: PayloadCodec) -> bytes:
    kind = type(error)
    try:
        values = attrs.astuple(error, recurse=False) if attrs.has(type(error)) else error.args
        fields = codec.encode(tuple(values))
        _made(kind, fields, codec)  # as the receiver will: a class with keyword-only fields crosses as its text
    except Exception:  # the codec need not know the fields of every error: the text still crosses
        return b""
    return fields if len(fields) <= FIELDS_BYTES else b""


def _made(kind: type[Exception], fields: bytes, codec: PayloadCodec) -> Exception:
    """The error with these fields. Raises any `Exception` if they are not those of such an error."""
    values: tuple[object, ...] = tuple(codec.decode(fields))
    checks, check_rest = _declared(kind)
    for place, value in enumerate(values):
        check = checks[place] if place < len(checks) else check_rest
        if not check(value):
            raise TypeError(f"field {place + 1} is of the type {type(value).__name__}")
    return kind(*values)


@cache
def _declared(kind: type[Exception]) -> tuple[tuple[Check, ...], Check]:
    """The checks for the fields of an error of the class `kind`, and the check for further arguments."""
    if attrs.has(kind):
        hints = get_type_hints(kind)
        return tuple(check_of(hints.get(each.name, each.type or Any)) for each in attrs.fields(kind)), anything
    hints = get_type_hints(kind.__init__)
    checks: list[Check] = []
    for name, parameter in list(signature(kind.__init__).parameters.items())[1:]:
        check = check_of(hints.get(name, Any))
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return tuple(checks), check
        checks.append(check)
    return tuple(checks), anything


def _bounded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")[:TEXT_BYTES].decode(errors="ignore").encode()
