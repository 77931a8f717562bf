"""Converts values to the types of options, with one function per type. Errors state what is allowed."""

import ipaddress
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, cast
from urllib.parse import urlsplit

import cattrs

from alysd.config.actor_options import ActorCapacity, ActorRestart, parse_capacity, parse_restart
from alysd.config.addresses import HostName, HttpUrl, ListenAddress, NodeId, ServerAddress, SignerAddress
from alysd.config.problems import Text
from alysd.types.checkpoint import Checkpoint
from alysd.types.flags import Rollout
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.peers import PeerAddress
from alysd.types.units import Height, Sat
from alysd.wire.evm_address import parse_address
from alysd.wire.hex import from_displayed
from alysd.wire.multiaddress import parse_peer_address

MAX_SOCKET_PATH = 107
"""The longest path of a Unix socket in bytes: Linux allows 108, including the terminating zero byte."""


def _boolean(value: object, _: object) -> bool:
    """Convert `true` or `false`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Text) and value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


def _integer(value: object, _: object) -> int:
    """Convert a whole number. Text must be decimal and may have `_` between digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Text):
        try:
            return int(value, 10)
        except ValueError:
            raise ValueError("must be a whole number") from None
    raise ValueError("must be a whole number")


def _string(value: object, _: object) -> str:
    """Convert a string that is not empty."""
    if isinstance(value, str) and value:
        return str(value)
    raise ValueError("must be a string that is not empty")


def _path(value: object, _: object) -> Path:
    """Convert a path and expand `~` to the home folder."""
    text = _string(value, str)
    if "\0" in text:
        raise ValueError("a path must not contain a zero byte")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("the user or home folder after ~ does not exist: write the absolute path") from None


def _choice(value: object, kind: Any) -> str:
    """Convert a string that is one of the values of a `Literal`."""
    allowed: tuple[str, ...] = typing.get_args(kind)
    if isinstance(value, str) and value in allowed:
        return str(value)
    raise ValueError("must be one of " + ", ".join(f'"{name}"' for name in allowed))


def _listen_address(value: object, _: object) -> ListenAddress:
    """Convert `host:port`; an IPv6 address must be in brackets."""
    needed = 'must be an address such as "127.0.0.1:3000" or "[::1]:3000", with a port from 1 to 65535'
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
    """Convert an http or https URL with a host and, optionally, a valid port. A final dot of a name is allowed.

    The client of the URL (httpx) has stricter rules than `urlsplit`, and would refuse the rest at its first use.
    """
    needed = 'must be a URL such as "http://127.0.0.1:8551"'
    text = value if isinstance(value, str) else ""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(needed) from None
    host = url.hostname or ""
    name = host if ":" in host else host.removesuffix(".")  # of a fully qualified name (RFC 3986, 3.2.2)
    if url.scheme not in ("http", "https") or not _is_host(name) or port == 0:
        raise ValueError(needed)
    if not (text.isascii() and text.isprintable()) or (re.fullmatch(r"[0-9.]+", host) and not _is_address(host)):
        raise ValueError(needed)
    return HttpUrl(str(value))


def _signer_address(value: object, _: object) -> SignerAddress:
    """Convert `unix:` and an absolute path, or `tls://host:port`. There is no way without TLS over a network."""
    needed = 'must be "unix:" and an absolute path, or a host and a port as in "tls://10.0.0.2:3010"'
    text = str(value) if isinstance(value, str) else ""
    path = text.removeprefix("unix:")
    if path != text and path.startswith("/") and "\0" not in path:
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise ValueError(f"the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes")
        return SignerAddress(Path(path))
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError(needed) from None
    rest = (url.username, url.password, url.path, url.query, url.fragment)
    if url.scheme != "tls" or not host or not port or any(rest) or not _is_host(host):
        raise ValueError(needed)
    return SignerAddress(None, host, port)


def _server_address(value: object, _: object) -> ServerAddress:
    """Convert `host:port`; an IPv6 address must be in brackets."""
    needed = 'must be a host and a port, such as "governance.example.org:50051"'
    host, colon, port = (value if isinstance(value, str) else "").rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise ValueError(needed)
    bare = host.removeprefix("[").removesuffix("]").lower()
    if not _is_host(bare) or (":" in bare) != (host != bare and host.startswith("[")):
        raise ValueError(needed)
    return ServerAddress(bare, int(port))


def _node_id(value: object, _: object) -> NodeId:
    """Convert the name of a node."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise ValueError("must be a name of 1 to 64 letters, digits and the characters . _ -")
    return NodeId(str(value))


def _is_host(text: str) -> bool:
    """Whether this is an IP address or a host name, whose parts have at most 63 characters (RFC 1123, 2.1)."""
    parts = r"[a-z0-9_-]{1,63}"
    return _is_address(text) or (len(text) <= 253 and re.fullmatch(rf"{parts}(\.{parts})*", text) is not None)


def _is_address(text: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_name(value: object, _: object) -> HostName:
    """Convert a host name (RFC 1123, 2.1)."""
    name = value.lower() if isinstance(value, str) else ""
    if len(name) > 253 or not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise ValueError('must be a host name such as "alys.example.org", without port')
    return HostName(name)


def hex_bytes(value: object, length: int, what: str) -> bytes:
    """Parse exactly `length` bytes in hex, with or without 0x. Raises `ValueError`, which calls them `what`."""
    text = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != length or len(text) != 2 * length:
        raise ValueError(f"must be {what}: {length} bytes in hex")
    return data


def _evm_address(value: object, _: object) -> EvmAddress:
    """Convert the address of an account. A checksum (EIP-55) is verified if present."""
    return parse_address(value if isinstance(value, str) else "")


def _peer_address(value: object, _: object) -> PeerAddress:
    """Convert the multiaddress of a peer."""
    return parse_peer_address(value if isinstance(value, str) else "")


def _checkpoint(value: object, _: object) -> Checkpoint:
    """Convert a height and a block hash, as `getblockbyheight` shows them."""
    found = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", value if isinstance(value, str) else "")
    if found is None:
        raise ValueError("must be HEIGHT:HASH, the height and the hash of a final block, such as 1000:00ab…")
    return Checkpoint(Height(int(found[1])), BlockHash(from_displayed(found[2])))


def _rollout(value: object, _: object) -> Rollout:
    """Convert `on`, `off`, a percentage, or `nodes:` and names with commas between them."""
    text = value if isinstance(value, str) else ""
    if text in ("on", "off"):
        return Rollout(100 if text == "on" else 0)
    if found := re.fullmatch(r"([1-9][0-9]?)%", text):
        return Rollout(int(found[1]))
    if text.startswith("nodes:"):
        names = text.removeprefix("nodes:").split(",")
        return Rollout(nodes=tuple(_host_name(name.strip(), HostName) for name in names))
    raise ValueError('must be "on", "off", a share such as "25%", or the names of nodes, as in "nodes:one,two"')


def _optional(value: object, kind: Any) -> Any:
    """Convert the value of an option that may be None. Empty text (`ALYS_X__Y=`) is None."""
    if isinstance(value, Text) and not value:
        return None
    (inner,) = (part for part in typing.get_args(kind) if part is not type(None))
    return CONVERTER.structure(value, inner)


def _tuple(value: object, kind: Any) -> tuple[Any, ...]:
    """Convert an array, or text with commas, of values of one type. Errors give the index of the item, from 0."""
    if isinstance(value, Text):
        value = [Text(item.strip()) for item in value.split(",") if item.strip()]
    if not isinstance(value, list):
        raise ValueError("must be an array")
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
    """Return whether a type is `X | None`."""
    return typing.get_origin(kind) in (types.UnionType, Union) and type(None) in typing.get_args(kind)


def _converter() -> cattrs.Converter:
    """Make a converter for all types of options. Its hooks raise `ValueError` with what is allowed."""
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook(ListenAddress, _listen_address)
    converter.register_structure_hook(HostName, _host_name)
    converter.register_structure_hook(HttpUrl, _http_url)
    converter.register_structure_hook(SignerAddress, _signer_address)
    converter.register_structure_hook(ServerAddress, _server_address)
    converter.register_structure_hook(NodeId, _node_id)
    converter.register_structure_hook(Sat, _integer)
    converter.register_structure_hook(EvmAddress, _evm_address)
    converter.register_structure_hook(PeerAddress, _peer_address)
    converter.register_structure_hook(Checkpoint, _checkpoint)
    converter.register_structure_hook(Rollout, _rollout)
    converter.register_structure_hook(ActorCapacity, lambda value, _: parse_capacity(value))
    converter.register_structure_hook(ActorRestart, lambda value, _: parse_restart(value))
    converter.register_structure_hook(BlsPublicKey, lambda value, _: hex_bytes(value, 48, "a BLS public key"))
    converter.register_structure_hook(
        XOnlyKey, lambda value, _: hex_bytes(value, 32, "an x-only Bitcoin public key")
    )
    converter.register_structure_hook(BlsSignature, lambda value, _: hex_bytes(value, 96, "a BLS signature"))
    converter.register_structure_hook(
        SchnorrSignature, lambda value, _: hex_bytes(value, 64, "a BIP-340 signature")
    )
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is Literal, _choice)
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is tuple, _tuple)
    converter.register_structure_hook_func(_is_optional, _optional)
    return converter


CONVERTER = _converter()
"""Converts a value to the type of an option. Raises `ValueError` with what is allowed."""
