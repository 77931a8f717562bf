"""Makes secrets of the four kinds of keys, and formats their public keys."""

import secrets
from collections.abc import Callable

from btclib_secp256k1.keys import prvkey_verify, pubkey_from_prvkey

from alysd.config.key_file import KeyKind
from alysd.errors import Malformed
from alysd.integrations import bls
from alysd.integrations.possession import x_only_key
from alysd.wire.evm_address import address_of_secret, checksum_address

_LIBP2P_SECP256K1 = bytes([0x08, 0x02, 0x12, 33])
"""The start of libp2p's PublicKey in protobuf: field 1 (type) = Secp256k1, field 2 (data) of 33 bytes."""

_IDENTITY_MULTIHASH = 0x00
"""The multihash code for an unhashed key, which libp2p uses for keys of at most 42 bytes (specs/peer-ids)."""


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_secret(kind: KeyKind) -> bytes:
    """Make a secret of 32 bytes with the random generator of the operating system."""
    if kind == "bls":
        return bls.generate_secret()
    while not prvkey_verify(secret := secrets.token_bytes(32)):
        pass  # zero or not below the group order, with probability about 2^-128
    return secret


def public_text(kind: KeyKind, secret: bytes) -> str:
    """Return the public key as written in configurations; the public half of an account is its address.

    Raises `Malformed` for a secret out of range.
    """
    if kind != "bls" and not prvkey_verify(secret):
        raise Malformed("the secret must be a number from 1 to the order of secp256k1 - 1")
    return _PUBLIC[kind](secret)


def _peer_id(secret: bytes) -> str:
    """Return the peer id of a libp2p node (specs/peer-ids)."""
    key = _LIBP2P_SECP256K1 + pubkey_from_prvkey(secret)
    return base58(bytes([_IDENTITY_MULTIHASH, len(key)]) + key)


def base58(data: bytes) -> str:
    """Encode in Bitcoin's base 58 without a checksum, as in peer ids. Each leading zero byte becomes `1`."""
    number = int.from_bytes(data)
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


_PUBLIC: dict[KeyKind, Callable[[bytes], str]] = {
    "bls": lambda secret: "0x" + bls.public_key(secret).hex(),
    "bitcoin": lambda secret: "0x" + x_only_key(secret).hex(),
    "network": _peer_id,
    "account": lambda secret: checksum_address(address_of_secret(secret)),
}
