"""The three kinds of keys of a federation member: how to make one, and how to show its public key."""

import secrets
from collections.abc import Callable

from btclib_secp256k1.keys import prvkey_verify, pubkey_from_prvkey

from alysd.config.key_file import KeyKind
from alysd.errors import Malformed
from alysd.integrations import bls

_LIBP2P_SECP256K1 = bytes([0x08, 0x02, 0x12, 33])
"""Protobuf of libp2p's PublicKey: field 1 (type) = Secp256k1, field 2 (data) of 33 bytes."""

_IDENTITY_MULTIHASH = 0x00
"""libp2p names a peer by its whole public key where that has at most 42 bytes (specs/peer-ids)."""


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_secret(kind: KeyKind) -> bytes:
    """Make a secret of 32 bytes from the system's randomness."""
    if kind == "bls":
        return bls.generate_secret()
    while not prvkey_verify(secret := secrets.token_bytes(32)):
        pass  # zero or beyond the group order: once in 2^128
    return secret


def public_text(kind: KeyKind, secret: bytes) -> str:
    """The public key as configurations write it. Raises `Malformed` for a secret out of range."""
    if kind != "bls" and not prvkey_verify(secret):
        raise Malformed("the secret is not a number from 1 to the order of secp256k1")
    return _PUBLIC[kind](secret)


def _bitcoin(secret: bytes) -> str:
    """The x-only key (BIP-340) that a chain specification lists."""
    return "0x" + pubkey_from_prvkey(secret)[1:].hex()


def _peer_id(secret: bytes) -> str:
    """The peer id of a libp2p node (specs/peer-ids)."""
    key = _LIBP2P_SECP256K1 + pubkey_from_prvkey(secret)
    return base58(bytes([_IDENTITY_MULTIHASH, len(key)]) + key)


def base58(data: bytes) -> str:
    """Bitcoin's base 58 without a checksum, as peer ids are written; a leading zero byte is a `1`."""
    number = int.from_bytes(data)
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


_PUBLIC: dict[KeyKind, Callable[[bytes], str]] = {
    "bls": lambda secret: "0x" + bls.public_key(secret).hex(),
    "bitcoin": _bitcoin,
    "network": _peer_id,
}
