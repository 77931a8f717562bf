"""How much work a proof must show: targets in Bitcoin's compact form, and how they move.

Docs/protocol.md, "Merged mining". The target depends on the chain alone, and eases while no work comes.
"""

from alysd.consensus.violations import BadTarget
from alysd.types.chain_spec import ChainSpec

_SIGN = 0x0080_0000
_MANTISSA = 0x007F_FFFF
_MAX_TARGET = 2**256 - 1


def target_of(bits: int) -> int:
    """Expand compact `bits` to the number that a proof's hash must not exceed.

    As Bitcoin's `arith_uint256::SetCompact`; what that marks negative, zero or overflowing raises `BadTarget`.
    """
    size = bits >> 24
    mantissa = bits & _MANTISSA
    target = mantissa >> 8 * (3 - size) if size <= 3 else mantissa << 8 * (size - 3)
    if bits & _SIGN or not 0 < target <= _MAX_TARGET:
        raise BadTarget(bits)
    return target


def bits_of(target: int) -> int:
    """Compress a target, dropping all but its 15 to 23 leading bits, as Bitcoin's `arith_uint256::GetCompact`.

    The dropped bits make the target smaller, never larger.
    """
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & _SIGN:
        # The top bit would read as a sign: move the mantissa down by a byte.
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def next_bits(bits: int, distance_slots: int, spec: ChainSpec) -> int:
    """The compact target of a proof whose range ends `distance_slots` after the end of the last one's.

    With the last target t0, the spacing s and the adjustment a of `spec`, distance d:
    t0 · clamp(d/s, 1−a, 1+a) · (1+a)^max(0, floor(d/s) − 1), as an exact fraction, rounded down once, at least 1
    and at most the limit. Raises `BadTarget` when `bits` is no target.
    """
    limit = target_of(spec.pow_limit)
    spacing, percent = spec.auxpow_spacing_slots, spec.auxpow_max_adjustment_percent
    # d/s in hundredths of s, so that everything stays an integer.
    scaled = min(max(100 * distance_slots, (100 - percent) * spacing), (100 + percent) * spacing)
    easings = max(0, distance_slots // spacing - 1)
    if percent * easings >= 25_600:
        # (1+a)^(256/a) is at least 2^256 for a up to 1: whatever the target was, it has passed every limit.
        # Also keeps the powers below small, however long no work has come.
        return bits_of(limit)
    easings = easings if percent else 0
    target = target_of(bits) * scaled * (100 + percent) ** easings // (100 * spacing * 100**easings)
    return bits_of(min(max(target, 1), limit))
