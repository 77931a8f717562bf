"""Messages encoded as MessagePack by cattrs, for messages between processes.

`MessageCodec` implements the runtime's `Codec`, for envelopes. `PAYLOADS` implements its `PayloadCodec`, for an
actor in a process of its own: `process(..., codec="alysd.messages.codec:PAYLOADS")`. Both can encode every message
(except those of `LOCAL`), event and value of `alysd.messages` and `alysd.types`, and every answer made of them.
Received data is not trusted: its size, the names of its classes, the type of every field and the range of every
number are checked before an actor gets the message.
"""

import math
import pkgutil
from collections.abc import Mapping
from enum import Enum
from functools import cache
from importlib import import_module
from inspect import isclass
from types import MappingProxyType
from typing import Any, cast

import attrs
from cattrs.errors import ForbiddenExtraKeysError, StructureHandlerNotFoundError
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgpack import MsgpackConverter, make_converter

from alysd.errors import Malformed
from alysd.messages.block_import import ImportRange
from alysd.messages.reads import ReadLedger
from alysd.nurseries import ChildSnapshot, Envelope, Refusal, TraceContext
from alysd.types.tables import Entry

MAX_BYTES = 32 << 20
"""The maximum size of an envelope in bytes: twice the largest block size that a chain may allow (16 MiB)."""

_msgpack: Any = import_module("msgpack")  # it has no types

WIDE_INTEGER = 1
"""The MessagePack extension type of integers above 64 bits. Amounts in wei and targets have up to 256 bits."""

WIDE_INTEGER_BYTES = 33
"""The size of a wide integer in bytes: 32 bytes for 256 bits, and one more for the sign."""

PACKAGES = ("alysd.types", "alysd.messages")
"""The packages whose classes can be sent."""

LOCAL = (ImportRange, ReadLedger)
"""The messages that cannot be sent to another process."""

PLAIN = (type(None), bool, int, float, str, bytes)
"""The types of answers that are sent without a class name. Others are instances of known classes, or tuples."""


class Undecodable(Malformed, Refusal):
    """The bytes are not an envelope that contains a known message."""


@cache
def known_types() -> Mapping[str, type[Any]]:
    """All message, event and value classes by name, and the enumerations; a name is unique in the whole program.

    The function searches the packages, so that no class can be forgotten. Errors are left out: they cross as the
    values of their fields (`alysd.nurseries.processes.errors`), or never leave their process.
    """
    found: dict[str, type[Any]] = {}
    for package in PACKAGES:
        for module_info in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            if module_info.name != __name__:
                values = vars(import_module(module_info.name)).values()
                found |= {value.__name__: value for value in values if _is_known(value, module_info.name)}
    return MappingProxyType(found)


def _is_known(value: object, module: str) -> bool:
    if not isclass(value) or value.__module__ != module or value in LOCAL:
        return False
    return (attrs.has(value) and not issubclass(value, BaseException)) or issubclass(value, Enum)


@attrs.frozen
class MessageCodec:
    """Encodes and decodes envelopes; `max_bytes` is the maximum size of an envelope to decode."""

    max_bytes: int = MAX_BYTES

    def encode(self, envelope: Envelope) -> bytes:
        """Encode an envelope. Raises `TypeError` for a message of an unknown class: a bug in the program."""
        return _converter().dumps(envelope, default=_pack_wide)

    def decode(self, data: bytes) -> Envelope:
        """Decode an envelope. Raises `Undecodable` for any bytes that `encode` cannot have made."""
        if len(data) > self.max_bytes:
            raise Undecodable(f"the message has {len(data)} bytes; at most {self.max_bytes} are accepted")
        try:
            return _converter().loads(data, Envelope, ext_hook=_unpack_wide)
        except _WRONG as error:
            raise Undecodable(f"the bytes are not a message: {type(error).__name__}: {error}"[:300]) from None


@attrs.frozen
class ValueCodec:
    """Encodes and decodes single values: messages, answers, plain values, and tuples of these.

    `max_bytes` is the maximum size of a value to decode. The border of a process has its own limit too.
    """

    max_bytes: int = MAX_BYTES

    def encode(self, value: object) -> bytes:
        """Encode a value. Raises `TypeError` for a value of an unknown class: a bug in the program."""
        return _msgpack.packb(_tagged(_converter(), value), default=_pack_wide)

    def decode(self, data: bytes) -> Any:
        """Decode a value. Raises `Undecodable` for any bytes that `encode` cannot have made."""
        if len(data) > self.max_bytes:
            raise Undecodable(f"the value has {len(data)} bytes; at most {self.max_bytes} are accepted")
        try:
            return _untagged(_converter(), _msgpack.unpackb(data, ext_hook=_unpack_wide))
        except _WRONG as error:
            raise Undecodable(f"the bytes are not a value: {type(error).__name__}: {error}"[:300]) from None


PAYLOADS = ValueCodec()
"""The codec of the node's process children."""


_WRONG = (
    ValueError,  # malformed MessagePack, and values outside an enumeration or the range of a validator
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,  # a tree of values nested hundreds deep
    ForbiddenExtraKeysError,
    StructureHandlerNotFoundError,
)
"""The errors that decoding malformed bytes can raise."""


@cache
def _converter() -> MsgpackConverter:
    """The cattrs converter. It is strict: where cattrs would convert a value, it accepts only the exact type."""
    converter = make_converter(detailed_validation=False, forbid_extra_keys=True)
    for kind in (bool, int, str, bytes):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _finite)
    attrs.resolve_types(ChildSnapshot)  # the class refers to itself by a string, which cattrs cannot resolve
    converter.register_unstructure_hook(TraceContext, TraceContext.header)
    converter.register_structure_hook(TraceContext, _trace)
    # Entries of two tables can have the same fields, so only the name of the class tells them apart.
    converter.register_unstructure_hook_func(_is_entry, lambda value: _tagged(converter, value))
    converter.register_structure_hook_func(_is_entry, lambda raw, kind: _one_of(kind, _untagged(converter, raw)))
    tagged = override(
        unstruct_hook=lambda message: _tagged(converter, message),
        struct_hook=lambda raw, _: _untagged(converter, raw),
    )
    converter.register_unstructure_hook(Envelope, make_dict_unstructure_fn(Envelope, converter, message=tagged))
    converter.register_structure_hook(
        Envelope, make_dict_structure_fn(Envelope, converter, message=tagged, _cattrs_forbid_extra_keys=True)
    )
    return converter


def _tagged(converter: MsgpackConverter, value: object) -> list[object]:
    """A message or an answer with the name of its class, which the receiver needs to decode it."""
    kind = type(value)
    if kind in PLAIN:
        return ["plain", value]
    if kind is tuple:
        return ["tuple", [_tagged(converter, item) for item in cast("tuple[object, ...]", value)]]
    if known_types().get(kind.__name__) is not kind:
        raise TypeError(f"{kind.__qualname__} cannot be sent: it is not a class of alysd.messages or alysd.types")
    return [kind.__name__, converter.unstructure(value)]


def _untagged(converter: MsgpackConverter, raw: object) -> object:
    name, value = _pair(raw)
    if name == "plain":
        if type(value) not in PLAIN:
            raise TypeError(f"expected a plain value, found {type(value).__name__}")
        return value
    if name == "tuple":
        if not isinstance(value, list):
            raise TypeError(f"expected the items of a tuple as a list, found {type(value).__name__}")
        return tuple(_untagged(converter, item) for item in cast("list[object]", value))
    kind = known_types().get(name)
    if kind is None:
        raise ValueError(f"unknown class {name[:60]!r}")
    return converter.structure(value, kind)


def _is_entry(kind: object) -> bool:
    return kind in (Entry, Entry | None)


def _one_of(union: Any, value: object) -> object:
    if not isinstance(value, union):
        raise TypeError(f"expected {union}, found {type(value).__name__}")
    return value


def _pair(raw: object) -> tuple[str, object]:
    pair = cast("list[object]", raw)
    if type(raw) is not list or len(pair) != 2 or not isinstance(pair[0], str):
        raise TypeError(f"expected a list of a class name and a value, found {str(pair)[:60]}")
    return pair[0], pair[1]


def _exactly(value: Any, kind: type[Any]) -> Any:
    if issubclass(kind, Enum):  # cattrs also uses the hook of int for an IntEnum
        return kind(_exactly(value, int))
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _finite(value: Any, _kind: type[float]) -> float:
    """A finite float. Times and durations are never infinite, and NaN would never reach a deadline."""
    if type(value) not in (float, int) or not math.isfinite(value):
        raise TypeError(f"expected a finite number, found {str(value)[:60]}")
    return float(value)


def _trace(header: Any, _kind: type[TraceContext]) -> TraceContext:
    context = TraceContext.parse(header)
    if context is None:
        raise ValueError(f"expected a W3C trace context, found {str(header)[:60]!r}")
    return context


def _pack_wide(value: object) -> Any:
    if not isinstance(value, int):
        raise TypeError(f"a value of type {type(value).__qualname__} cannot be sent")
    return _msgpack.ExtType(WIDE_INTEGER, value.to_bytes(WIDE_INTEGER_BYTES, "big", signed=True))


def _unpack_wide(code: int, data: bytes) -> int:
    if code != WIDE_INTEGER or len(data) != WIDE_INTEGER_BYTES:
        raise ValueError(f"unknown MessagePack extension of type {code} with {len(data)} bytes")
    return int.from_bytes(data, "big", signed=True)
