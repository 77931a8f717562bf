"""Signatures for simulations: they aggregate like BLS signatures, but cost a hash instead of a pairing.

They protect nothing: the public key is enough to make one. In a simulation only the code that simulates a member
signs with this member's key.
"""

from collections.abc import Sequence
from hashlib import sha256

from alysd.errors import Malformed
from alysd.types.hashes import BlsPublicKey, BlsSignature

_TAG = b"simulated"
_MODULUS = 2**256


def sign(key: BlsPublicKey, message: bytes) -> BlsSignature:
    """The signature of `message` by the owner of `key`."""
    return _signature(_number(key, message))


def aggregate(signatures: Sequence[BlsSignature]) -> BlsSignature:
    """Aggregate the signatures into one. Raises `Malformed` if there are none, or if one is not a signature."""
    if not signatures:
        raise Malformed("no signatures to aggregate")
    return _signature(sum(_value(signature) for signature in signatures) % _MODULUS)


def verify_aggregate(keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
    """Whether `signature` is the aggregate of the signatures of `message` by all these keys.

    Also false for an empty list of keys, and for bytes that are not a signature.
    """
    try:
        value = _value(signature)
    except Malformed:
        return False
    return bool(keys) and value == sum(_number(key, message) for key in keys) % _MODULUS


def _number(key: BlsPublicKey, message: bytes) -> int:
    return int.from_bytes(sha256(key + message).digest(), "big")


def _signature(value: int) -> BlsSignature:
    return BlsSignature(_TAG.ljust(64, b"\0") + value.to_bytes(32, "big"))


def _value(signature: BlsSignature) -> int:
    if len(signature) != 96 or not signature.startswith(_TAG.ljust(64, b"\0")):
        raise Malformed("not a simulated signature")
    return int.from_bytes(signature[64:], "big")
