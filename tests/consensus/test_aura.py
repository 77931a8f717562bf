from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.aura import expected_author, slot_at, slot_start
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
