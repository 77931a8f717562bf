"""Targets of proofs of work: Bitcoin's compact form, and the adjustment (docs/protocol.md, "Merged mining").

The target depends only on the chain. It rises, so that a proof needs less work, while no proof arrives.
"""

from alysd.consensus.violations import BadTarget
from alysd.types.chain_spec import ChainSpec

_SIGN = 0x0080_0000
_MANTISSA = 0x007F_FFFF
_MAX_TARGET = 2**256 - 1


def target_of(bits: int) -> int:
    """Expand compact `bits` to the number that a proof's hash must not exceed.

    The same as Bitcoin's `arith_uint256::SetCompact`. Raises `BadTarget` for bits that are negative, zero or
    overflow there.
    """
    size = bits >> 24
    mantissa = bits & _MANTISSA
    target = mantissa >> 8 * (3 - size) if size <= 3 else mantissa << 8 * (size - 3)
    if bits & _SIGN or not 0 < target <= _MAX_TARGET:
        raise BadTarget(bits)
    return target


def bits_of(target: int) -> int:
    """Compress a target to its 15 to 23 leading bits, as Bitcoin's `arith_uint256::GetCompact` does.

    The target is rounded down, never up.
    """
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & _SIGN:
        # The top bit would be read as a sign: shift the mantissa down by a byte.
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def next_bits(bits: int, distance_slots: int, spec: ChainSpec) -> int:
    """The compact target of a proof whose range ends `distance_slots` slots after the end of the previous range.

    `bits` is the target of the previous proof. With that target t0, the spacing s and the adjustment a of `spec`,
    and the distance d, the new target is t0 · clamp(d/s, 1−a, 1+a) · (1+a)^max(0, floor(d/s) − 1). It is computed
    as an exact fraction, rounded down once, and limited to the range from 1 to the limit of `spec`. Raises
    `BadTarget` when `bits` is not a valid target.
    """
    limit = target_of(spec.pow_limit)
    spacing, percent = spec.auxpow_spacing_slots, spec.auxpow_max_adjustment_percent
    # clamp(d/s, ...) times 100·s, so that all numbers are integers.
    scaled = min(max(100 * distance_slots, (100 - percent) * spacing), (100 + percent) * spacing)
    easings = max(0, distance_slots // spacing - 1)
    if percent * easings >= 25_600:
        # (1+a)^(256/a) is at least 2^256 for a up to 1, so any target exceeds the limit here.
        # This also keeps the powers below small when no proof has arrived for a long time.
        return bits_of(limit)
    easings = easings if percent else 0
    target = target_of(bits) * scaled * (100 + percent) ** easings // (100 * spacing * 100**easings)
    return bits_of(min(max(target, 1), limit))
