"""The check of a KZG proof (EIP-4844), with the node's native library for BLS12-381."""

from hashlib import sha256

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

SECONDS = 0.002
"""Time in seconds that a check takes on a fast machine."""

MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""The number of elements of the field, in which z and y are."""

_SETUP = G2Point.from_compressed_bytes(
    bytes.fromhex(
        "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72"
        "185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
    )
)
"""The secret of the trusted setup, times the generator of G2."""

_INFINITY = b"\xc0" + bytes(47)


def versioned_hash(commitment: bytes) -> bytes:
    """The versioned hash of a commitment (EIP-4844)."""
    return b"\x01" + sha256(commitment).digest()[1:]


def proof_is_valid(commitment: bytes, z: bytes, y: bytes, proof: bytes) -> bool:
    """Whether `proof` (48 bytes) shows that the committed polynomial has the value `y` at `z` (32 bytes each)."""
    point, value = int.from_bytes(z, "big"), int.from_bytes(y, "big")
    committed, quotient = _point(commitment), _point(proof)
    if point >= MODULUS or value >= MODULUS or committed is None or quotient is None:
        return False
    left = committed - G1Point() * Scalar.from_le_bytes(value.to_bytes(32, "little"))
    right = _SETUP - G2Point() * Scalar.from_le_bytes(point.to_bytes(32, "little"))
    return GT.multi_pairing([left, quotient], [-G2Point(), right]) == GT.one()


def _point(compressed: bytes) -> G1Point | None:
    """A point in the subgroup of G1; None for other bytes."""
    if compressed == _INFINITY:
        return G1Point.identity()
    if compressed[0] & 0x40:
        return None  # another encoding of the point at infinity: the library accepts some
    try:
        return G1Point.from_compressed_bytes(compressed)
    except ValueError:
        return None
