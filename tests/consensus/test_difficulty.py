"""The target's rule against exact fractions, and the compact form against Bitcoin's own test values."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.difficulty import bits_of, next_bits, target_of
from alysd.consensus.violations import BadTarget
from alysd.testing.blocks import EASY_BITS, make_spec


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        # Bitcoin Core, src/test/arith_uint256_tests.cpp, "bignum_SetCompact".
        (0x01120000, 0x12),
        (0x02123400, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x20123456, 0x123456 << 232),
        # Bitcoin's limits: mainnet and regtest.
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
    ],
)
def test_compact_bits_are_bitcoins(bits: int, target: int) -> None:
    assert target_of(bits) == target
    assert bits_of(target) == bits


@pytest.mark.parametrize("bits", [0x04923456, 0x01FEDCBA, 0x20923456])
def test_negative_bits_are_refused(bits: int) -> None:
    with pytest.raises(BadTarget, match="negative"):
        target_of(bits)


@pytest.mark.parametrize("bits", [0x00123456, 0x01003456, 0, 0x20000000])
def test_a_target_of_zero_is_refused(bits: int) -> None:
    with pytest.raises(BadTarget):
        target_of(bits)


@pytest.mark.parametrize("bits", [0xFF123456, 0x21010000, 0x22000100 + 1, 0xFFFFFFFF & ~0x00800000])
def test_a_target_above_256_bits_is_refused(bits: int) -> None:
    with pytest.raises(BadTarget):
        target_of(bits)


@given(st.integers(1, 2**256 - 1))
def test_compressing_rounds_down_by_less_than_one_part_in_32768(target: int) -> None:
    """Rounding up would let a proof through that is above the target."""
    kept = target_of(bits_of(target))
    assert kept <= target
    assert (target - kept) * 32768 <= target


@given(st.integers(0, 2**32 - 1))
def test_no_bits_make_anything_but_a_target_or_its_named_error(bits: int) -> None:
    try:
        target = target_of(bits)
    except BadTarget:
        return
    assert 0 < target < 2**256


def oracle(bits: int, distance: int, spacing: int, percent: int, limit: int) -> int:
    """The rule as docs/protocol.md writes it, in exact fractions."""
    adjustment = Fraction(percent, 100)
    ratio = Fraction(distance, spacing)
    factor = min(max(ratio, 1 - adjustment), 1 + adjustment)
    target = Fraction(target_of(bits)) * factor
    for _ in range(max(0, distance // spacing - 1)):
        if target >= target_of(limit) or not adjustment:
            break
        target *= 1 + adjustment
    return bits_of(max(1, min(int(target), target_of(limit))))


@given(
    st.integers(1, 2**255 - 1),
    st.integers(0, 20_000),
    st.integers(1, 300),
    st.integers(0, 99),
    st.sampled_from([0x207FFFFF, 0x1D00FFFF]),
)
def test_the_target_moves_as_the_exact_fractions_say(
    start: int, distance: int, spacing: int, percent: int, limit: int
) -> None:
    spec = make_spec(auxpow_spacing_slots=spacing, auxpow_max_adjustment_percent=percent, pow_limit=limit)
    bits = bits_of(start)
    assert next_bits(bits, distance, spec) == oracle(bits, distance, spacing, percent, limit)


@given(st.integers(2**200, 2**250), st.integers(0, 3000), st.integers(0, 3000))
def test_more_slots_never_make_the_target_harder(start: int, one: int, other: int) -> None:
    """Or waiting could be the cheaper way for a miner, and a chain that nobody mines might never recover."""
    spec, bits = make_spec(), bits_of(start)
    first, second = sorted((one, other))
    assert target_of(next_bits(bits, first, spec)) <= target_of(next_bits(bits, second, spec))


def test_on_time_keeps_the_target_and_twice_as_late_eases_it_twice() -> None:
    spec, bits = make_spec(), bits_of(10**60)
    kept = target_of(bits)
    assert next_bits(bits, 30, spec) == bits
    assert next_bits(bits, 27, spec) == bits_of(kept * 9 // 10)
    assert next_bits(bits, 1, spec) == bits_of(kept * 8 // 10)
    assert next_bits(bits, 60, spec) == bits_of(kept * 144 // 100)


def test_decades_without_work_cost_nothing_to_compute() -> None:
    """The powers in the formula must not grow with the time that passed since the genesis block."""
    assert next_bits(0x03000001, 850_000_000, make_spec()) == EASY_BITS
    frozen = make_spec(auxpow_max_adjustment_percent=0)
    assert next_bits(0x1D00FFFF, 850_000_000, frozen) == 0x1D00FFFF


def test_the_smallest_target_is_one() -> None:
    assert next_bits(0x01010000, 1, make_spec(auxpow_max_adjustment_percent=99)) == bits_of(1)
