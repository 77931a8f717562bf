from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.types.federation import Federation, quorum_of
from alysd.types.hashes import BlsPublicKey
from alysd.types.units import Slot


def keys(members: int) -> tuple[BlsPublicKey, ...]:
    return tuple(BlsPublicKey(bytes([place]) * 48) for place in range(members))


@given(st.integers(0, 2**40), st.integers(1, 20))
def test_every_authority_has_one_turn_in_every_round(first: int, members: int) -> None:
    federation = Federation(keys(members), (), ())
    turns = Counter(federation.author(Slot(first + step)) for step in range(members))
    assert turns == Counter(range(members))


def test_turns_follow_the_order_of_the_authorities() -> None:
    federation = Federation(keys(3), (), ())
    assert [federation.author(Slot(slot)) for slot in (9, 10, 11, 12)] == [0, 1, 2, 0]


def test_a_member_is_found_by_its_key() -> None:
    federation = Federation(keys(3), (), ())
    assert [federation.index_of(key) for key in keys(4)] == [0, 1, 2, None]


@pytest.mark.parametrize(
    ("members", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (9, 6), (10, 7), (100, 67)]
)
def test_the_quorum_is_two_thirds_rounded_up(members: int, quorum: int) -> None:
    assert quorum_of(members) == quorum
