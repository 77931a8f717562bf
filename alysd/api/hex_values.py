"""Encodes and decodes the hex values of Ethereum's JSON-RPC (execution-apis, "Hex value encoding").

Decoders take a JSON value and raise `Malformed`, with a text that can follow `params[0]: `.
"""

import re
from typing import Any

from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress, PayloadHash

MAX_UINT64 = 2**64 - 1
MAX_UINT256 = 2**256 - 1
_KINDS = ((type(None), "null"), (bool, "a boolean"), (dict, "an object"), (list, "an array"), (str, "a string"))
_HEX = re.compile("[0-9a-fA-F]*")


def to_quantity(value: int) -> str:
    """Encode a non-negative integer without leading zeros: `0x0`, `0x1f`."""
    return hex(value)


def to_data(value: bytes) -> str:
    """Encode bytes with two digits each: `0x`, `0x00ff`."""
    return "0x" + value.hex()


def text(value: Any) -> str:
    """Read a string. JSON can contain half of a character in UTF-16, which has no encoding in UTF-8."""
    if not isinstance(value, str):
        raise Malformed(f"must be a string, got {kind(value)}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise Malformed("must be a string of whole characters, got a surrogate (U+D800 to U+DFFF)")
    return value


def kind(value: Any) -> str:
    """The name of a JSON value's type, for errors."""
    for python, name in _KINDS:
        if isinstance(value, python):
            return name
    return "a number"


def boolean(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise Malformed(f"must be true or false, got {kind(value)}")
    return value


def quantity(value: Any, most: int = MAX_UINT256) -> int:
    """Read a hexadecimal quantity of at most `most`. Leading zeros are refused, as by geth."""
    digits = _digits(value)
    if not digits:
        raise Malformed(f"a quantity must have at least one digit, such as 0x0, got {str(value)!r}")
    if digits[0] == "0" and len(digits) > 1:
        raise Malformed(f"a quantity must not have leading zero digits, got {str(value)[:40]!r}")
    if len(digits) > 64:
        raise Malformed(f"a quantity must have at most 64 digits, got {len(digits)}")
    number = int(digits, 16)
    if number > most:
        raise Malformed(f"must be at most {most:#x}, got {number:#x}")
    return number


def uint64(value: Any) -> int:
    """Read a quantity of at most 64 bits: gas, a nonce, a block number."""
    return quantity(value, MAX_UINT64)


def data(value: Any) -> bytes:
    """Read bytes of any length."""
    digits = _digits(value)
    if len(digits) % 2:
        raise Malformed(f"each byte must have two hex digits, got {len(digits)} digits")
    return bytes.fromhex(digits)


def address(value: Any) -> EvmAddress:
    """Read an account's address."""
    found = data(value)
    if len(found) != 20:
        raise Malformed(f"an EVM address must have 20 bytes, got {len(found)}")
    return EvmAddress(found)


def hash32(value: Any) -> PayloadHash:
    """Read a hash of a block or a transaction, or a log's topic."""
    found = data(value)
    if len(found) != 32:
        raise Malformed(f"a hash must have 32 bytes, got {len(found)}")
    return PayloadHash(found)


def storage_key(value: Any) -> bytes:
    """Read a storage slot: a quantity or up to 32 bytes of data, as 32 bytes."""
    digits = _digits(value)
    if len(digits) > 64:
        raise Malformed(f"a storage key must have at most 64 hex digits, got {len(digits)}")
    return int(digits or "0", 16).to_bytes(32, "big")


def bare_storage_key(value: Any) -> bytes:
    """Read a storage slot as `storage_key`, also without `0x`, as geth does where a slot is read."""
    written = text(value)
    return storage_key(written if written[:2] in ("0x", "0X") else f"0x{written}")


def _digits(value: Any) -> str:
    """Strip `0x` from a string of hexadecimal digits."""
    written = text(value)
    if written[:2] not in ("0x", "0X"):
        raise Malformed(f"must start with 0x, got {written[:40]!r}")
    digits = written[2:]
    if _HEX.fullmatch(digits) is None:
        raise Malformed(f"must have only the hex digits 0-9 and a-f after 0x, got {written[:40]!r}")
    return digits
