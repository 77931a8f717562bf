"""Messages and the values in them as bytes, for where they leave the process: MessagePack by cattrs.

`MessageCodec` is the `Codec` that the runtime's envelopes and gates ask of a program. Any message, event or value
of `alysd.messages` and `alysd.types` can be sent, and any answer made of them. Nothing that arrives is believed:
its size, its names, the type of every field and the range of every number are checked before anybody sees it.
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
from alysd.nurseries import ChildSnapshot, Envelope, Refusal, TraceContext

MAX_BYTES = 32 << 20
"""Bytes of an envelope at most: the largest block that a chain may allow (16 MiB), and as much around it."""

_ExtType: Any = import_module("msgpack").ExtType  # msgpack has no types

WIDE_INTEGER = 1
"""MessagePack extension type of an integer beyond 64 bits: wei and proof-of-work targets have up to 256."""

WIDE_INTEGER_BYTES = 33
"""256 bits and a sign."""

ROOMS = ("alysd.types", "alysd.messages")
"""The packages whose classes are known by name."""

PLAIN = (type(None), bool, int, float, str, bytes)
"""What an answer may be besides a known class, or a tuple."""


class Undecodable(Malformed, Refusal):
    """Bytes that hold no envelope with a message that this program knows."""


@cache
def known_types() -> Mapping[str, type[Any]]:
    """Every message, event and value class by its name, which is unique in the whole program.

    They are found by looking, so that none can be forgotten. Errors are not among them: what an actor refuses or
    fails with stays in its process.
    """
    found: dict[str, type[Any]] = {}
    for room in ROOMS:
        for module_info in pkgutil.iter_modules(import_module(room).__path__, f"{room}."):
            if module_info.name != __name__:
                values = vars(import_module(module_info.name)).values()
                found |= {value.__name__: value for value in values if _is_known(value, module_info.name)}
    return MappingProxyType(found)


def _is_known(value: object, module: str) -> bool:
    if not isclass(value) or value.__module__ != module:
        return False
    return attrs.has(value) and not issubclass(value, BaseException)


@attrs.frozen
class MessageCodec:
    """Writes envelopes and reads them; `max_bytes` bounds what is read."""

    max_bytes: int = MAX_BYTES

    def encode(self, envelope: Envelope) -> bytes:
        """The envelope as bytes. Raises `TypeError` for a message of no known class: a mistake of the program."""
        return _converter().dumps(envelope, default=_pack_wide)

    def decode(self, data: bytes) -> Envelope:
        """The envelope in the bytes. Raises `Undecodable`."""
        if len(data) > self.max_bytes:
            raise Undecodable(f"a message of {len(data)} bytes; at most {self.max_bytes} are read")
        try:
            return _converter().loads(data, Envelope, ext_hook=_unpack_wide)
        except _WRONG as error:
            raise Undecodable(f"no message: {type(error).__name__}: {error}"[:300]) from None


_WRONG = (
    ValueError,  # what msgpack finds wrong, and values outside of an enumeration or a validator's range
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,  # a tree of values nested hundreds deep
    ForbiddenExtraKeysError,
    StructureHandlerNotFoundError,
)
"""All that reading the wrong bytes ends with."""


@cache
def _converter() -> MsgpackConverter:
    """Strict where cattrs would convert: a field of bytes takes bytes, and so on."""
    converter = make_converter(detailed_validation=False, forbid_extra_keys=True)
    for kind in (bool, int, str, bytes):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _finite)
    attrs.resolve_types(ChildSnapshot)  # it is named inside itself, by a string that cattrs cannot follow
    converter.register_unstructure_hook(TraceContext, TraceContext.header)
    converter.register_structure_hook(TraceContext, _trace)
    tagged = override(
        unstruct_hook=lambda message: _tagged(converter, message),
        struct_hook=lambda raw, _: _untagged(converter, raw),
    )
    converter.register_unstructure_hook(Envelope, make_dict_unstructure_fn(Envelope, converter, message=tagged))
    converter.register_structure_hook(
        Envelope, make_dict_structure_fn(Envelope, converter, message=tagged, _cattrs_forbid_extra_keys=True)
    )
    return converter


def _tagged(converter: MsgpackConverter, message: object) -> list[object]:
    """A message or an answer with the name of what it is: nothing else says so at the other end."""
    kind = type(message)
    if kind is tuple:
        return ["tuple", [_tagged_item(converter, item) for item in cast("tuple[object, ...]", message)]]
    return _tagged_item(converter, message)


def _tagged_item(converter: MsgpackConverter, value: object) -> list[object]:
    kind = type(value)
    if kind in PLAIN:
        return ["plain", value]
    if known_types().get(kind.__name__) is not kind:
        raise TypeError(f"{kind.__qualname__} is no message and no value of one: it cannot leave the process")
    return [kind.__name__, converter.unstructure(value)]


def _untagged(converter: MsgpackConverter, raw: object) -> object:
    name, value = _pair(raw)
    if name == "tuple":
        if not isinstance(value, list):
            raise TypeError("a tuple's items are needed")
        return tuple(_untagged_item(converter, item) for item in cast("list[object]", value))
    return _untagged_item(converter, raw)


def _untagged_item(converter: MsgpackConverter, raw: object) -> object:
    name, value = _pair(raw)
    if name == "plain":
        if type(value) not in PLAIN:
            raise TypeError(f"{type(value).__name__} is no plain value")
        return value
    kind = known_types().get(name)
    if kind is None:
        raise ValueError(f"no message is named {name[:60]!r}")
    return converter.structure(value, kind)


def _pair(raw: object) -> tuple[str, object]:
    pair = cast("list[object]", raw)
    if type(raw) is not list or len(pair) != 2 or not isinstance(pair[0], str):
        raise TypeError("a name and a value are needed")
    return pair[0], pair[1]


def _exactly(value: Any, kind: type[Any]) -> Any:
    if issubclass(kind, Enum):  # cattrs takes an IntEnum for an int
        return kind(_exactly(value, int))
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} is needed, not {type(value).__name__}")
    return value


def _finite(value: Any, _kind: type[float]) -> float:
    """No time and no duration is infinite; one that is not a number would be late for no deadline."""
    if type(value) not in (float, int) or not math.isfinite(value):
        raise TypeError("a finite number is needed")
    return float(value)


def _trace(header: Any, _kind: type[TraceContext]) -> TraceContext:
    context = TraceContext.parse(header)
    if context is None:
        raise ValueError("no trace context")
    return context


def _pack_wide(value: object) -> Any:
    if not isinstance(value, int):
        raise TypeError(f"{type(value).__qualname__} is no value that can be sent")
    return _ExtType(WIDE_INTEGER, value.to_bytes(WIDE_INTEGER_BYTES, "big", signed=True))


def _unpack_wide(code: int, data: bytes) -> int:
    if code != WIDE_INTEGER or len(data) != WIDE_INTEGER_BYTES:
        raise ValueError(f"an extension of type {code} with {len(data)} bytes")
    return int.from_bytes(data, "big", signed=True)
