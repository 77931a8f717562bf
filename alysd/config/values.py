"""Converts values as written to the types of options: one function per type, which says what it allows."""

import ipaddress
import types
import typing
from pathlib import Path
from typing import Any, Literal, NewType, Union, cast
from urllib.parse import urlsplit

import cattrs

from alysd.config.model import HttpUrl, ListenAddress
from alysd.config.problems import Text
from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.units import Sat
from alysd.wire.evm_address import parse_address

XOnlyKey = NewType("XOnlyKey", bytes)
"""A Bitcoin public key as taproot has it (BIP-340), 32 bytes."""


def _boolean(value: object, _: object) -> bool:
    """`true` or `false`; nothing else is accepted."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Text) and value in ("true", "false"):
        return value == "true"
    raise ValueError("true or false is needed")


def _integer(value: object, _: object) -> int:
    """A whole number; from text in decimal, with `_` between digits if wanted."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Text):
        try:
            return int(value, 10)
        except ValueError:
            raise ValueError("a whole number is needed") from None
    raise ValueError("a whole number is needed")


def _string(value: object, _: object) -> str:
    """A string that is not empty."""
    if isinstance(value, str) and value:
        return str(value)
    raise ValueError("a string that is not empty is needed")


def _path(value: object, _: object) -> Path:
    """A path; `~` is the home folder."""
    text = _string(value, str)
    if "\0" in text:
        raise ValueError("a path cannot hold a zero byte")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("there is no such user, or no home folder: write the whole path") from None


def _choice(value: object, kind: Any) -> str:
    """One of the strings of a `Literal`."""
    allowed: tuple[str, ...] = typing.get_args(kind)
    if isinstance(value, str) and value in allowed:
        return str(value)
    raise ValueError("one of " + ", ".join(f'"{name}"' for name in allowed) + " is needed")


def _listen_address(value: object, _: object) -> ListenAddress:
    """`host:port`, IPv6 in brackets."""
    needed = 'an address like "127.0.0.1:3000" or "[::1]:3000" is needed, its port from 1 to 65535'
    host, colon, port = (value if isinstance(value, str) else "").rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise ValueError(needed)
    bare = host.removeprefix("[").removesuffix("]")
    try:
        version = 4 if host == "localhost" else ipaddress.ip_address(bare).version
    except ValueError:
        raise ValueError(needed) from None
    if (version == 6) != (host == f"[{bare}]"):
        raise ValueError(needed)
    return ListenAddress(bare, int(port))


def _http_url(value: object, _: object) -> HttpUrl:
    """An http(s) address with a host and, if given, a port in range."""
    needed = 'an address like "http://127.0.0.1:8551" is needed'
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        port = url.port
    except ValueError:
        raise ValueError(needed) from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError(needed)
    return HttpUrl(str(value))


def hex_bytes(value: object, length: int, what: str) -> bytes:
    """Exactly `length` bytes in hex, with or without 0x; raises `ValueError` naming `what` they are."""
    text = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != length or len(text) != 2 * length:
        raise ValueError(f"{what} is needed: {length} bytes in hex")
    return data


def _evm_address(value: object, _: object) -> EvmAddress:
    """An account, its checksum right where it has one."""
    return parse_address(value if isinstance(value, str) else "")


def _optional(value: object, kind: Any) -> Any:
    """The value of an optional option; empty text (`ALYS_X__Y=`) unsets it."""
    if isinstance(value, Text) and not value:
        return None
    (inner,) = (part for part in typing.get_args(kind) if part is not type(None))
    return CONVERTER.structure(value, inner)


def _tuple(value: object, kind: Any) -> tuple[Any, ...]:
    """An array of values of one type; the error names the place, from 0."""
    if not isinstance(value, list):
        raise ValueError("an array is needed")
    items = cast("list[object]", value)
    inner = typing.get_args(kind)[0]
    found: list[Any] = []
    for index, item in enumerate(items):
        try:
            found.append(CONVERTER.structure(item, inner))
        except ValueError as error:
            raise ValueError(f"item {index}: {error}") from None
    return tuple(found)


def _is_optional(kind: Any) -> bool:
    """Whether a type is `X | None`."""
    return typing.get_origin(kind) in (types.UnionType, Union) and type(None) in typing.get_args(kind)


def _converter() -> cattrs.Converter:
    """The hooks for every type that an option can have; each raises `ValueError` saying what is allowed."""
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook(ListenAddress, _listen_address)
    converter.register_structure_hook(HttpUrl, _http_url)
    converter.register_structure_hook(Sat, _integer)
    converter.register_structure_hook(EvmAddress, _evm_address)
    converter.register_structure_hook(BlsPublicKey, lambda value, _: hex_bytes(value, 48, "a BLS public key"))
    converter.register_structure_hook(
        XOnlyKey, lambda value, _: hex_bytes(value, 32, "an x-only Bitcoin public key")
    )
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is Literal, _choice)
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is tuple, _tuple)
    converter.register_structure_hook_func(_is_optional, _optional)
    return converter


CONVERTER = _converter()
"""Structures one value by an option's type; raises `ValueError` whose text says what is allowed."""
