"""The check of a KZG proof (EIP-4844), with the node's native library for BLS12-381."""

from hashlib import sha256

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

SECONDS = 0.002
"""Time in seconds that a check takes on a fast machine."""

MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""The number of elements of the field, in which z and y are."""

_FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
"""The number of elements of the field of the curve."""

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


def fault(commitment: bytes, z: bytes, y: bytes, proof: bytes) -> str:
    """The reason for which a proof is not valid, in the words of geth's library (gnark-crypto)."""
    if max(int.from_bytes(z, "big"), int.from_bytes(y, "big")) >= MODULUS:
        return "scalar is not canonical when interpreted as a big integer in big-endian"
    return _point_fault(commitment) or _point_fault(proof) or "can't verify opening proof"


def _point_fault(compressed: bytes) -> str | None:
    """The fault of an encoded point; None for a valid one. The three highest bits say what follows."""
    flags, x = compressed[0] >> 5, int.from_bytes(compressed, "big") & ((1 << 381) - 1)
    if flags in (0b000, 0b010):
        return "short buffer"  # not compressed, and so twice as long
    if flags not in (0b100, 0b101, 0b110):
        return "invalid point encoding"
    if flags == 0b110:
        return "invalid infinity point encoding" if x else None
    if x >= _FIELD:
        return "invalid fp.Element encoding"
    square = (x**3 + 4) % _FIELD
    if square and pow(square, (_FIELD - 1) // 2, _FIELD) != 1:
        return "invalid compressed coordinate: square root doesn't exist"
    return "invalid point: subgroup check failed" if _point(compressed) is None else None


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
