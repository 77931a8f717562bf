"""Slots, quiet waits, and the halt of production."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.aura import BUSY_PART, halted, quiet_wait, slot_at, slot_start
from alysd.testing.blocks import context_of, genesis, make_spec
from alysd.types.federation import Federation
from alysd.types.units import Height, Slot


def of(members: int) -> Federation:
    return context_of(make_spec(members)).first_federation


def test_a_slot_lasts_from_its_start_to_just_before_the_next() -> None:
    assert slot_at(1_700_000_000.0, 2) == 850_000_000
    assert slot_at(1_700_000_001.999, 2) == 850_000_000
    assert slot_at(1_700_000_002.0, 2) == 850_000_001


@given(st.integers(0, 2**40), st.integers(1, 60))
def test_a_slot_start_lies_in_its_slot(number: int, seconds: int) -> None:
    """A timestamp that lies in another slot would make every block of the chain invalid."""
    assert slot_at(slot_start(Slot(number), seconds), seconds) == number


@given(
    st.floats(0, 2**32, allow_nan=False),
    st.floats(0, 100, allow_nan=False),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(0, 4),
)
def test_a_quiet_wait_ends_where_no_block_is_made_and_no_later(
    now: float, seconds: float, slot_seconds: int, members: int, place: int
) -> None:
    """A restart would cost the slot that it should spare, or put itself off for ever."""
    federation, authority = of(members), place % members
    wait = quiet_wait(now, seconds, slot_seconds, federation, authority)
    assert seconds <= wait <= seconds + slot_seconds * BUSY_PART + 1e-5
    end = now + wait + 1e-5  # a float of today's unix time is good for a microsecond
    slot = slot_at(end, slot_seconds)
    if federation.author(slot) == authority:
        assert end - slot_start(slot, slot_seconds) >= slot_seconds * BUSY_PART or wait == seconds


def test_a_quiet_wait_spares_the_first_half_of_an_own_slot_only() -> None:
    """With one authority every slot is its own: what waited for a foreign one would never return."""
    alone, two = of(1), of(2)
    assert quiet_wait(100.2, 0.0, 2, alone, 0) == pytest.approx(0.8)
    assert quiet_wait(101.2, 0.0, 2, alone, 0) == 0.0
    assert quiet_wait(101.2, 1.0, 2, alone, 0) == pytest.approx(1.8)
    assert quiet_wait(100.2, 0.0, 2, two, 1) == 0.0, "slot 50 is the other's"
    assert quiet_wait(100.2, 2.0, 2, two, 1) == pytest.approx(2.8)
    assert quiet_wait(100.2, 0.0, 2, alone, None) == 0.0, "no slot is that of a node outside the federation"


@pytest.mark.parametrize(("waiting", "expected"), [(0, False), (100, False), (101, True)])
def test_production_halts_above_the_limit_and_not_at_it(waiting: int, expected: bool) -> None:
    spec = make_spec(max_blocks_without_auxpow=100)
    state = attrs.evolve(genesis(spec), height=Height(7 + waiting), last_final_height=Height(7))
    assert halted(state, spec) is expected
