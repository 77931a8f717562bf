"""One sender's line of transactions."""

from collections.abc import Sequence
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.pool.sender_line import Pooled, SenderLine
from tests.embedded.pool.transactions import transaction

COST = transaction().cost
NEVER = float("-inf")

_order = count()


def pooled(nonce: int, arrived: float = 0.0, gas: int = 21_000) -> Pooled:
    return Pooled(transaction(nonce=nonce, gas=gas), arrived, next(_order))


def line(*nonces: int, at: int = 0, balance: int = 100 * COST) -> SenderLine:
    made = SenderLine()
    made.set_account(at, balance)
    for nonce in nonces:
        made.put(pooled(nonce))
    return made


def nonces(several: Sequence[Pooled]) -> list[int]:
    return [one.transaction.nonce for one in several]


def test_the_gapless_start_is_pending_and_the_rest_waits() -> None:
    full = line(5, 7, 4, at=4)
    assert (nonces(full.pending), nonces(full.queued), full.next_nonce) == ([4, 5], [7], 6)
    assert (full.queued_count, full.tail_is_queued, full.tail.transaction.nonce) == (1, True, 7)


def test_filling_the_gap_makes_all_pending() -> None:
    full = line(4, 6, at=4)
    full.put(pooled(5))
    assert (nonces(full.pending), full.queued_count, full.tail_is_queued) == ([4, 5, 6], 0, False)


def test_money_ends_the_pending_part() -> None:
    full = line(0, 1, 2, balance=2 * COST + COST // 2)
    assert (nonces(full.pending), nonces(full.queued)) == ([0, 1], [2])
    full.set_account(1, 2 * COST)
    assert nonces(full.pending) == [1, 2]


def test_dropping_one_makes_its_successors_wait() -> None:
    full = line(0, 1, 2)
    full.drop(1)
    assert (nonces(full.pending), nonces(full.queued)) == ([0], [2])


def test_putting_one_with_the_same_nonce_replaces() -> None:
    full, new = line(0, 1), pooled(1)
    full.put(new)
    assert (len(full), full.at(1)) == (2, new)
    assert full.at(5) is None


def test_what_is_committed_leaves_out_the_one_to_be_replaced() -> None:
    assert line(0, 1, 5).committed(without=1) == 2 * COST
    assert line(0, 1, 5).committed(without=9) == 3 * COST


def test_used_nonces_and_what_is_too_dear_or_too_large_go() -> None:
    full = line(0, 1, 2)
    full.put(pooled(3, gas=1_000_000))
    full.set_account(1, 100 * COST)
    assert nonces(full.drop_impossible(999_999, NEVER)) == [0, 3]
    full.set_account(1, COST - 1)
    assert nonces(full.drop_impossible(999_999, NEVER)) == [1, 2]
    assert len(full) == 0


def test_only_used_nonces_are_dropped_as_used() -> None:
    full = line(0, 1, 2, 9)
    full.set_account(2, 100 * COST)
    assert nonces(full.drop_used()) == [0, 1]
    assert (nonces(full.pending), nonces(full.queued), full.queued_count) == ([2], [9], 1)


def test_only_what_waits_grows_too_old() -> None:
    full = line(0)
    full.put(pooled(5, arrived=10.0))
    full.put(pooled(6, arrived=20.0))
    assert nonces(full.drop_impossible(10**9, 20.0)) == [5]
    assert (nonces(full.pending), nonces(full.queued)) == ([0], [6])


@given(st.sets(st.integers(0, 20)), st.integers(0, 20), st.integers(0, 25))
def test_pending_and_queued_make_up_the_line(present: set[int], at: int, affordable: int) -> None:
    full = line(*present, at=at, balance=affordable * COST)
    full.drop_impossible(10**9, NEVER)
    kept = sorted(nonce for nonce in present if nonce >= at) if affordable else []
    assert nonces(full.pending) + nonces(full.queued) == kept
    assert len(full.pending) <= affordable
    assert nonces(full.pending) == list(range(at, at + len(full.pending)))
