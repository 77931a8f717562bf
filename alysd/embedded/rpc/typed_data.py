"""Structured data to sign, as wallets show it (EIP-712), and its hash.

The types, the domain and the message come from the caller. The data are walked once, and the names of types are
resolved from the caller's own table, so the work is bounded by the size of the request.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from alysd.api.hex_values import address, boolean, data, kind, text
from alysd.embedded.rpc.requests import list_of, object_of
from alysd.errors import Malformed
from alysd.wire.json_input import parse_json
from alysd.wire.keccak import keccak256

MAX_TYPES, MAX_FIELDS, MAX_NAME = 32, 64, 100
"""The maximum number of types, of fields of a type, and of characters of a name.

The hash of a type covers the text of all types that it uses, so all of them together have 13 MB.
"""

MAX_DEPTH = 32
"""The maximum depth of values within values."""

T = TypeVar("T")

_DOMAIN = "EIP712Domain"
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,99}")
_ARRAY = re.compile(r"(.+)\[(\d{0,9})\]")
_NUMBER = re.compile(r"(u?)int(\d{0,3})")
_BYTES = re.compile(r"bytes(\d{1,2})")
_INTEGER = re.compile(r"-?(0x[0-9a-fA-F]{1,64}|\d{1,78})")


@attrs.frozen
class _Field:
    """A field of a type: its name, and the name of its own type."""

    name: str
    type: str


_Types = dict[str, tuple[_Field, ...]]


def typed_data_hash(value: Any) -> bytes:
    """The hash that a signature of typed data covers. Raises `Malformed`.

    `value` is the object, or its JSON in a string, as libraries send it.
    """
    found = object_of(_parsed(value) if isinstance(value, str) else value)
    hasher = _Hasher(_types(found.get("types")))
    primary = text(found.get("primaryType"))
    parts = [b"\x19\x01", hasher.struct(_DOMAIN, found.get("domain"), 0)]
    if primary != _DOMAIN:
        parts.append(hasher.struct(primary, found.get("message"), 0))
    return keccak256(b"".join(parts))


def _parsed(value: str) -> Any:
    """Parse typed data that is a string of JSON."""
    try:
        return parse_json(value.encode())
    except ValueError as error:
        raise Malformed(f"the typed data are not JSON: {error}") from error


def _types(value: Any) -> _Types:
    found = object_of(value)
    if len(found) > MAX_TYPES:
        raise Malformed(f"types: has at most {MAX_TYPES} entries, got {len(found)}")
    return {_type_name(name): _fields(name, fields) for name, fields in found.items()}


def _type_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Malformed(f"types: {name[:40]!r} is not the name of a type")
    return name


def _fields(name: str, value: Any) -> tuple[_Field, ...]:
    given = [object_of(one) for one in list_of(value)]
    if len(given) > MAX_FIELDS:
        raise Malformed(f"types: {name} has at most {MAX_FIELDS} fields, got {len(given)}")
    fields = tuple(_Field(text(one.get("name")), text(one.get("type"))) for one in given)
    for field in fields:
        if len(field.type) > MAX_NAME or not _NAME.fullmatch(field.name):
            raise Malformed(f"types: {name} has the field {field.name[:40]!r} of type {field.type[:40]!r}")
    if len({field.name for field in fields}) < len(fields):
        raise Malformed(f"types: {name} has two fields of one name")
    return fields


class _Hasher:
    """Encodes values of the given types."""

    def __init__(self, types: _Types) -> None:
        self._types = types
        self._hashes: dict[str, bytes] = {}

    def struct(self, name: str, value: Any, depth: int) -> bytes:
        """The hash of a struct: `hashStruct` of EIP-712."""
        if name not in self._types:
            raise Malformed(f"types: the type {name[:100]} is missing")
        if depth > MAX_DEPTH:
            raise Malformed(f"the data have more than {MAX_DEPTH} levels")
        found = _part(value, object_of, name)
        encoded = (
            self._encoded(field.type, found.get(field.name), f"{name}.{field.name}", depth)
            for field in self._types[name]
        )
        return keccak256(self._type_hash(name) + b"".join(encoded))

    def _type_hash(self, name: str) -> bytes:
        if name not in self._hashes:
            others = sorted(self._used(name) - {name})
            self._hashes[name] = keccak256("".join(self._shown(one) for one in (name, *others)).encode())
        return self._hashes[name]

    def _used(self, name: str) -> set[str]:
        """The types that a type uses, also in its fields, and itself."""
        found, waiting = set[str](), [name]
        while waiting:
            one = waiting.pop()
            if one in self._types and one not in found:
                found.add(one)
                waiting += [field.type.partition("[")[0] for field in self._types[one]]
        return found

    def _shown(self, name: str) -> str:
        return f"{name}({','.join(f'{field.type} {field.name}' for field in self._types[name])})"

    def _encoded(self, name: str, value: Any, path: str, depth: int) -> bytes:
        """The 32 bytes of a value: `encodeData` of EIP-712."""
        array = _ARRAY.fullmatch(name)
        if array:
            items = _part(value, list_of, path)
            if array[2] and len(items) != int(array[2]):
                raise Malformed(f"{path}: has {array[2]} items, got {len(items)}")
            if depth > MAX_DEPTH:
                raise Malformed(f"the data have more than {MAX_DEPTH} levels")
            return keccak256(b"".join(self._encoded(array[1], item, path, depth + 1) for item in items))
        if name in self._types:
            return bytes(32) if value is None else self.struct(name, value, depth + 1)
        return _part(value, lambda given: _atom(name, given), path)


def _part(value: Any, decode: Callable[[Any], T], path: str) -> T:
    """Decode a part of the data; the error names it."""
    try:
        return decode(value)
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from error


def _atom(name: str, value: Any) -> bytes:
    """The 32 bytes of a value that is no struct and no array."""
    if name == "string":
        return keccak256(text(value).encode())
    if name == "bytes":
        return keccak256(data(value))
    if name == "bool":
        return int(boolean(value)).to_bytes(32, "big")
    if name == "address":
        return bytes(12) + address(value)
    if match := _BYTES.fullmatch(name):
        found, size = data(value), int(match[1])
        if not 1 <= size <= 32 or len(found) != size:
            raise Malformed(f"must have {size} bytes (from 1 to 32), got {len(found)}")
        return found.ljust(32, b"\0")
    if match := _NUMBER.fullmatch(name):
        return _number(int(match[2] or 256), value, signed=not match[1])
    raise Malformed(f"the type {name[:40]!r} is not known")


def _number(bits: int, value: Any, *, signed: bool) -> bytes:
    """Encode an integer, which libraries write as a number, in decimal, or in hex."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        found = int(value, 0) if "x" in value else int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        raise Malformed(f"must be an integer, got {kind(value)}")
    if bits % 8 or not 8 <= bits <= 256:
        raise Malformed(f"an integer has from 8 to 256 bits, got {bits}")
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not least <= found <= most:
        raise Malformed(f"must be from {least} to {most}, got {found}")
    return (found % (1 << 256)).to_bytes(32, "big")
