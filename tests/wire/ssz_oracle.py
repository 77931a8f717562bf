"""remerkleable, a second SSZ library that shares no code with ours; it comes without types."""

from importlib import import_module
from typing import Any

_basic: Any = import_module("remerkleable.basic")
_complex: Any = import_module("remerkleable.complex")
_arrays: Any = import_module("remerkleable.byte_arrays")
_bits: Any = import_module("remerkleable.bitfields")

uint8: Any = _basic.uint8
uint16: Any = _basic.uint16
uint32: Any = _basic.uint32
uint64: Any = _basic.uint64
uint256: Any = _basic.uint256
ByteVector: Any = _arrays.ByteVector
ByteList: Any = _arrays.ByteList
Bitlist: Any = _bits.Bitlist
List: Any = _complex.List


def container(name: str, /, **fields: Any) -> Any:
    """A container type with these fields, in this order."""
    return type(name, (_complex.Container,), {"__annotations__": fields})
