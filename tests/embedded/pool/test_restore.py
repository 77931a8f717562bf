"""A restarted node's pool has the transactions that waited, and no others."""

from pathlib import Path

import pytest

from alysd.embedded.pool.journal import PoolJournal
from alysd.embedded.pool.refusals import Dropped
from alysd.embedded.pool.transaction_pool import REMEMBERED, Restored, TransactionPool
from tests.embedded.engine.kit import CHAIN_ID, GWEI, OTHER, RICH, transfer
from tests.embedded.pool.restarts import GAS_LIMIT, Place, account, add, everyone_at


def test_what_waited_waits_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    pool = place.open()
    assert place.restored == Restored(0, 0, 0)
    first, second, later, other = add(
        pool, transfer(RICH, 0), transfer(RICH, 1), transfer(RICH, 5), transfer(OTHER, 0)
    )
    again = place.open()
    assert place.restored == Restored(4, 0, 0)
    assert again.content().pending == {RICH.address: [first, second], OTHER.address: [other]}
    assert again.content().queued == {RICH.address: [later]}


def test_what_a_block_has_included_does_not_return(tmp_path: Path) -> None:
    place = Place(tmp_path)
    add(place.open(), transfer(RICH, 0), transfer(RICH, 1))
    again = place.open(everyone_at(1))
    assert place.restored == Restored(1, 1, 0)
    assert again.next_nonce(RICH.address, 1) == 2
    place.open(everyone_at(1))
    assert place.restored == Restored(1, 0, 0), "the start before has removed the other one from the file"


def test_every_transaction_is_checked_again(tmp_path: Path) -> None:
    """The journal must not bring in what the pool would refuse today."""
    place = Place(tmp_path)
    add(place.open(), transfer(RICH, 0), transfer(OTHER, 0))
    poor = {RICH.address: account(balance=1)}
    place.open(lambda sender: poor.get(sender, account()))
    assert place.restored == Restored(1, 1, 0)
    place.open(minimum_tip=10**12)
    assert place.restored == Restored(0, 1, 0)


def test_a_transaction_of_another_chain_is_left_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    add(place.open(), transfer(RICH, 0))
    pool = TransactionPool(CHAIN_ID + 1, journal=place.journal)
    assert pool.restore(everyone_at(0), GAS_LIMIT, 0.0) == Restored(0, 1, 0)


def test_a_replaced_transaction_does_not_return(tmp_path: Path) -> None:
    place = Place(tmp_path)
    _, better = add(place.open(), transfer(RICH, 0), transfer(RICH, 0, max_fee=200 * GWEI, tip=2 * GWEI))
    again = place.open()
    assert place.restored == Restored(1, 1, 0)
    assert again.content().pending == {RICH.address: [better]}


def test_a_long_line_returns_whole_whatever_its_order_in_the_file(tmp_path: Path) -> None:
    """Only 64 transactions of a sender may wait for a nonce, but 100 were executable."""
    place = Place(tmp_path)
    pool = place.open()
    add(pool, *(transfer(RICH, nonce) for nonce in range(100)))
    add(pool, transfer(RICH, 0, max_fee=200 * GWEI, tip=2 * GWEI))
    place.open()
    assert place.restored.waiting == 100
    place.open()
    assert place.restored == Restored(100, 0, 0), "the replacement is now behind the 99 others in the file"


def test_a_transaction_of_an_abandoned_block_is_in_the_journal_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    pool = place.open()
    (one,) = add(pool, transfer(RICH, 0))
    pool.follow([one], [], everyone_at(1), GAS_LIMIT, 0.0)
    again = place.open(everyone_at(1))
    assert place.restored == Restored(0, 1, 0), "the file has no transactions now"
    again.follow([], [one], everyone_at(0), GAS_LIMIT, 0.0)
    place.open()
    assert place.restored == Restored(1, 0, 0)


def test_what_was_dropped_does_not_return(tmp_path: Path) -> None:
    """Its sender was told the reason by the hash, and sends other transactions in its place."""
    place = Place(tmp_path)
    pool = place.open()
    endless, other = add(pool, transfer(RICH, 0), transfer(OTHER, 0))
    pool.discard(endless, "takes longer than 0.75 s")
    pool.sync_journal()
    for restored in (Restored(1, 1, 0), Restored(1, 0, 0)):
        again = place.open()
        assert place.restored == restored
        assert again.content().pending == {OTHER.address: [other]}
        assert again.drop_reason(endless.hash) == "takes longer than 0.75 s"
    with pytest.raises(Dropped):
        add(again, endless.raw)


def test_the_thread_that_discards_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """It builds a block. If the process ends before the next sync, the transaction is tried again."""
    place = Place(tmp_path)
    pool = place.open()
    (endless,) = add(pool, transfer(RICH, 0))
    before = place.journal.read_bytes()
    pool.discard(endless, "takes longer than 0.75 s")
    assert place.journal.read_bytes() == before
    place.open()
    assert place.restored == Restored(1, 0, 0)


def test_a_dropped_transaction_that_an_abandoned_block_brings_back_is_no_longer_dropped(tmp_path: Path) -> None:
    """Another node included it. It waited, but was said to be dropped, and did not return after a restart."""
    place = Place(tmp_path)
    pool = place.open()
    (one, other) = add(pool, transfer(RICH, 0), transfer(OTHER, 0))
    for written in (True, False):
        pool.discard(one, "takes longer than 0.75 s")
        if written:
            pool.sync_journal()
        pool.follow([one], [], everyone_at(0), GAS_LIMIT, 0.0)
        pool.follow([], [one], everyone_at(0), GAS_LIMIT, 0.0)
        assert pool.drop_reason(one.hash) is None
        assert pool.get(one.hash) == one
        pool.sync_journal()
        pool = place.open()
        assert place.restored == Restored(2, 0, 0)
        assert pool.content().pending == {RICH.address: [one], OTHER.address: [other]}


def test_what_was_removed_does_not_return_but_may_come_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    pool = place.open()
    (removed,) = add(pool, transfer(RICH, 0))
    pool.remove(removed)
    pool.remove(removed)
    again = place.open()
    assert place.restored == Restored(0, 0, 0)
    assert add(again, removed.raw) == [removed]


def test_the_reasons_in_the_file_are_bounded_but_none_of_its_transactions_returns(tmp_path: Path) -> None:
    place = Place(tmp_path)
    pool = place.open()
    (endless,) = add(pool, transfer(RICH, 0))
    pool.discard(endless, "first")
    journal = PoolJournal(place.journal, lambda: [endless.raw], lambda: {endless.hash: "first"})
    journal.renew()
    for number in range(REMEMBERED):
        journal.drop(number.to_bytes(32, "big"), "later")
    again = place.open()
    assert place.restored == Restored(0, 1, 0)
    assert again.drop_reason(endless.hash) is None
    assert again.drop_reason(bytes(32)) == "later"
    place.open()
    assert len(place.journal.read_bytes()) < 60_000, "the file has the remembered ones only"


def test_a_torn_record_is_reported_and_removed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    add(place.open(), transfer(RICH, 0), transfer(RICH, 1))
    place.journal.write_bytes(place.journal.read_bytes()[:-1])
    place.open()
    assert place.restored.waiting == 1
    assert place.restored.unreadable_bytes > 100
    place.open()
    assert place.restored == Restored(1, 0, 0)


def test_a_full_pool_returns_within_its_limits(tmp_path: Path) -> None:
    place = Place(tmp_path)
    add(place.open(), *(transfer(RICH, nonce) for nonce in range(10)))
    again = place.open(transactions=4)
    assert again.counts() == (4, 0)
    assert place.restored == Restored(4, 6, 0)


def test_a_pool_without_a_journal_has_nothing_to_restore(tmp_path: Path) -> None:
    pool = TransactionPool(CHAIN_ID)
    add(pool, transfer(RICH, 0))
    pool.sync_journal()
    assert pool.restore(everyone_at(0), GAS_LIMIT, 0.0) == Restored(0, 0, 0)
    assert list(tmp_path.iterdir()) == []
