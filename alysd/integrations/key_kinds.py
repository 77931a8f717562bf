"""Makes secrets of the four kinds of keys, and formats their public keys."""

import secrets
from collections.abc import Callable

from btclib_secp256k1.keys import prvkey_verify, pubkey_from_prvkey

from alysd.config.key_file import KeyKind
from alysd.errors import Malformed
from alysd.integrations import bls
from alysd.integrations.possession import x_only_key
from alysd.wire.evm_address import address_of_secret, checksum_address
from alysd.wire.peer_id import peer_id


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


_PUBLIC: dict[KeyKind, Callable[[bytes], str]] = {
    "bls": lambda secret: "0x" + bls.public_key(secret).hex(),
    "bitcoin": lambda secret: "0x" + x_only_key(secret).hex(),
    "network": lambda secret: peer_id(pubkey_from_prvkey(secret)),
    "account": lambda secret: checksum_address(address_of_secret(secret)),
}
