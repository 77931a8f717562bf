"""Signatures for simulations: they aggregate like BLS signatures, but are keyed hashes.

They protect nothing: the public key is enough to make one. In a simulation only the code that simulates a member
signs with this member's key.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from alysd.errors import Malformed
from alysd.integrations.bls import possession_is_proved, public_key
from alysd.types.hashes import BlsPublicKey, BlsSignature

_TAG = b"simulated".ljust(64, b"\0")
_MODULUS = 2**256

_public_key = cache(public_key)


class KeyedSignatures:
    """Implements `alysd.ports.Bls` with keyed hashes, which are added up as numbers modulo 2^256."""

    def sign(self, secret: bytes, message: bytes) -> BlsSignature:
        """Sign `message` with a secret key. Raises `Malformed` when `secret` is not a secret key."""
        return _signature(_number(_public_key(secret), message))

    def verify(self, public_keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        """Whether `signature` is the aggregate of the signatures of `message` by all these keys.

        Also false for an empty list of keys, and for bytes that are not a signature.
        """
        try:
            value = _value(signature)
        except Malformed:
            return False
        return bool(public_keys) and value == sum(_number(key, message) for key in public_keys) % _MODULUS

    def verify_all(self, checks: Sequence[tuple[Sequence[BlsPublicKey], bytes, BlsSignature]]) -> bool:
        """Whether `verify` is true for each of the `checks`."""
        return all(self.verify(*check) for check in checks)

    def aggregate(self, signatures: Sequence[BlsSignature]) -> BlsSignature:
        """Aggregate signatures into one. Raises `Malformed` if there are none, or if one is not a signature."""
        if not signatures:
            raise Malformed("no signatures to aggregate")
        return _signature(sum(_value(signature) for signature in signatures) % _MODULUS)

    def possession_is_proved(self, key: BlsPublicKey, proof: BlsSignature) -> bool:
        """Whether `proof` is the real proof for `key`: simulated members have real keys."""
        return possession_is_proved(key, proof)


def _number(key: BlsPublicKey, message: bytes) -> int:
    return int.from_bytes(sha256(key + message).digest(), "big")


def _signature(value: int) -> BlsSignature:
    return BlsSignature(_TAG + value.to_bytes(32, "big"))


def _value(signature: BlsSignature) -> int:
    if len(signature) != 96 or not signature.startswith(_TAG):
        raise Malformed("not a simulated signature")
    return int.from_bytes(signature[64:], "big")
