"""BLS signatures on BLS12-381, in Ethereum's proof-of-possession scheme: public keys in G1, signatures in G2.

The scheme is that of the IETF draft "BLS Signatures", section 3.3.4 (`FastAggregateVerify`), implemented with
py-arkworks-bls12381. The library accepts the point at infinity, the secret zero and empty lists; this module
refuses them.

Aggregating public keys is safe only if each owner has proved possession of the secret. The chain specification has
the proofs (`integrations.possession`).
"""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from alysd.errors import Malformed
from alysd.types.hashes import BlsPublicKey, BlsSignature

_DOMAIN = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_POSSESSION_DOMAIN = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_GENERATOR = G1Point()
_MINUS_GENERATOR = -G1Point()


def generate_secret() -> bytes:
    """Make a new secret key of 32 bytes, with the random generator of the operating system."""
    return (1 + secrets.randbelow(_ORDER - 1)).to_bytes(32, "big")


def public_key(secret: bytes) -> BlsPublicKey:
    """The public key of `secret`. Raises `Malformed` when `secret` is not a secret key."""
    return BlsPublicKey((_GENERATOR * _scalar(secret)).to_compressed_bytes())


def sign(secret: bytes, message: bytes) -> BlsSignature:
    """Sign `message`, in about 1 ms. Raises `Malformed` when `secret` is not a secret key."""
    return BlsSignature((G2Point.hash_to_curve(message, _DOMAIN) * _scalar(secret)).to_compressed_bytes())


def prove_possession(secret: bytes) -> BlsSignature:
    """Make the proof of possession of `secret`: it signs its public key, in a separate domain (`PopProve`).

    Raises `Malformed` when `secret` is not a secret key.
    """
    point = G2Point.hash_to_curve(public_key(secret), _POSSESSION_DOMAIN)
    return BlsSignature((point * _scalar(secret)).to_compressed_bytes())


def aggregate(signatures: Sequence[BlsSignature]) -> BlsSignature:
    """Aggregate the signatures into one. Raises `Malformed` if there are none, or if one is not a signature."""
    if not signatures:
        raise Malformed("no signatures to aggregate")
    first, *rest = (_signature(data) for data in signatures)
    return BlsSignature(sum(rest, first).to_compressed_bytes())


def is_public_key(data: bytes) -> bool:
    """Whether `data` is a point of the key group (G1) other than infinity."""
    try:
        _public_key(data)
    except Malformed:
        return False
    return True


def verify_aggregate(public_keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
    """Whether `signature` is the aggregate of the signatures of `message` by all these keys. Takes about 3 ms.

    Also false for an empty list of keys, and for bytes that are not a key or a signature. The possession of each
    key must be proved before: otherwise one member can make the signature of all.
    """
    if not public_keys:
        return False
    try:
        first, *rest = (_public_key(data) for data in public_keys)
        point = _signature(signature)
    except Malformed:
        return False
    key = sum(rest, first)
    if key == G1Point.identity():
        return False
    return GT.pairing_check([key, _MINUS_GENERATOR], [G2Point.hash_to_curve(message, _DOMAIN), point])


def verify_each(checks: Sequence[tuple[Sequence[BlsPublicKey], bytes, BlsSignature]]) -> bool:
    """Whether `verify_aggregate` is true for each of the `checks`, in about 1 ms per check.

    All signatures are checked with one product of pairings. Each signature is first multiplied by a random number
    of 64 bits, so false signatures whose errors would cancel out are accepted with a probability of at most 2^-64.
    The source is Ethereum research, "Fast verification of multiple BLS signatures". Pairings are bilinear, so each
    key takes one pairing, with the sum of all messages that it has signed.
    """
    signed: defaultdict[tuple[BlsPublicKey, ...], list[tuple[G2Point, Scalar]]] = defaultdict(list)
    signatures: list[G2Point] = []
    factors: list[Scalar] = []
    try:
        for keys, message, signature in checks:
            if not keys or not _key_exists(tuple(keys)):
                return False
            factor = Scalar(1 + secrets.randbelow(2**64 - 1))
            signatures.append(_signature(signature))
            factors.append(factor)
            signed[tuple(keys)].append((G2Point.hash_to_curve(message, _DOMAIN), factor))
    except Malformed:
        return False
    if not signatures:
        return True
    sums = _sums_by_key(signed)
    total = G2Point.multiexp_unchecked(signatures, factors)
    return GT.pairing_check([*(_public_key(key) for key in sums), _MINUS_GENERATOR], [*sums.values(), total])


def _sums_by_key(
    signed: Mapping[tuple[BlsPublicKey, ...], Sequence[tuple[G2Point, Scalar]]],
) -> Mapping[BlsPublicKey, G2Point]:
    """For each key, the sum of the products of message and factor over all that the key has signed."""
    sums: dict[BlsPublicKey, G2Point] = {}
    for keys, terms in signed.items():
        term = G2Point.multiexp_unchecked([point for point, _ in terms], [factor for _, factor in terms])
        for key in keys:
            sums[key] = sums[key] + term if key in sums else term
    return sums


@lru_cache(1024)  # the same members approve most blocks
def _key_exists(keys: tuple[BlsPublicKey, ...]) -> bool:
    """Whether the sum of the keys is a key: not the point at infinity. Raises `Malformed` for a false key."""
    first, *rest = (_public_key(key) for key in keys)
    return sum(rest, first) != G1Point.identity()


def possession_is_proved(key: BlsPublicKey, proof: BlsSignature) -> bool:
    """Whether `proof` is the proof of possession of the secret of `key` (`PopVerify`); about 3 ms.

    Also false for bytes that are not a key or a signature.
    """
    try:
        point, signature = _public_key(key), _signature(proof)
    except Malformed:
        return False
    return GT.pairing_check([point, _MINUS_GENERATOR], [G2Point.hash_to_curve(key, _POSSESSION_DOMAIN), signature])


class Bls12381:
    """Implements `alysd.ports.Bls` with the functions of this module."""

    def sign(self, secret: bytes, message: bytes) -> BlsSignature:
        """Sign `message` with `secret`, as the function `sign` does."""
        return sign(secret, message)

    def verify(self, public_keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        """Whether the signature is that of all these keys for the message (`verify_aggregate`)."""
        return verify_aggregate(public_keys, message, signature)

    def verify_all(self, checks: Sequence[tuple[Sequence[BlsPublicKey], bytes, BlsSignature]]) -> bool:
        """Whether `verify` is true for each of the `checks` (`verify_each`)."""
        return verify_each(checks)

    def aggregate(self, signatures: Sequence[BlsSignature]) -> BlsSignature:
        """Aggregate signatures into one, as the function `aggregate` does."""
        return aggregate(signatures)

    def possession_is_proved(self, key: BlsPublicKey, proof: BlsSignature) -> bool:
        """Whether the proof is that of the key, as the function `possession_is_proved` computes it."""
        return possession_is_proved(key, proof)


BLS = Bls12381()


def _scalar(secret: bytes) -> Scalar:
    if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < _ORDER:
        raise Malformed(
            f"a BLS secret key must have 32 bytes, found {len(secret)}, and be a number above 0 and below the "
            "order of the group"
        )
    return Scalar.from_be_bytes(secret)


@lru_cache(
    256
)  # the same members approve each block, and reading a key of a large federation costs 2 ms per block
def _public_key(data: bytes) -> G1Point:
    try:
        point = G1Point.from_compressed_bytes(data)
    except ValueError as error:
        raise Malformed(f"not a BLS public key: {error}") from error
    if point == G1Point.identity():
        raise Malformed("the point at infinity is not a BLS public key")
    return point


def _signature(data: bytes) -> G2Point:
    try:
        point = G2Point.from_compressed_bytes(data)
    except ValueError as error:
        raise Malformed(f"not a BLS signature: {error}") from error
    if point == G2Point.identity():
        raise Malformed("the point at infinity is not a BLS signature")
    return point
