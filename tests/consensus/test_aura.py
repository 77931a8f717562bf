from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.aura import BUSY_PART, expected_author, quiet_wait, slot_at, slot_start
from alysd.types.hashes import BlsPublicKey
from alysd.types.units import Slot


def test_a_slot_lasts_from_its_start_to_just_before_the_next() -> None:
    assert slot_at(1_700_000_000.0, 2) == 850_000_000
    assert slot_at(1_700_000_001.999, 2) == 850_000_000
    assert slot_at(1_700_000_002.0, 2) == 850_000_001


@given(st.integers(0, 2**40), st.integers(1, 60))
def test_a_slot_start_lies_in_its_slot(number: int, seconds: int) -> None:
    """A timestamp that lies in another slot would make every block of the chain invalid."""
    assert slot_at(slot_start(Slot(number), seconds), seconds) == number


@given(st.integers(0, 2**40), st.integers(1, 20))
def test_every_authority_has_one_turn_in_every_round(first: int, members: int) -> None:
    keys = [BlsPublicKey(bytes([place]) * 48) for place in range(members)]
    turns = Counter(expected_author(Slot(first + step), keys) for step in range(members))
    assert turns == Counter(range(members))


def test_turns_follow_the_order_of_the_specification() -> None:
    keys = [BlsPublicKey(bytes([place]) * 48) for place in range(3)]
    assert [expected_author(Slot(slot), keys) for slot in (9, 10, 11, 12)] == [0, 1, 2, 0]


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
    keys, authority = [BlsPublicKey(bytes([n]) * 48) for n in range(members)], place % members
    wait = quiet_wait(now, seconds, slot_seconds, keys, authority)
    assert seconds <= wait <= seconds + slot_seconds * BUSY_PART + 1e-5
    end = now + wait + 1e-5  # a float of today's unix time is good for a microsecond
    slot = slot_at(end, slot_seconds)
    if expected_author(slot, keys) == authority:
        assert end - slot_start(slot, slot_seconds) >= slot_seconds * BUSY_PART or wait == seconds


def test_a_quiet_wait_spares_the_first_half_of_an_own_slot_only() -> None:
    """With one authority every slot is its own: what waited for a foreign one would never return."""
    alone, two = [BlsPublicKey(bytes(48))], [BlsPublicKey(bytes([n]) * 48) for n in range(2)]
    assert quiet_wait(100.2, 0.0, 2, alone, 0) == pytest.approx(0.8)
    assert quiet_wait(101.2, 0.0, 2, alone, 0) == 0.0
    assert quiet_wait(101.2, 1.0, 2, alone, 0) == pytest.approx(1.8)
    assert quiet_wait(100.2, 0.0, 2, two, 1) == 0.0, "slot 50 is the other's"
    assert quiet_wait(100.2, 2.0, 2, two, 1) == pytest.approx(2.8)
