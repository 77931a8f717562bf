"""The queue of proofs: its order, and which proofs it keeps."""

import attrs

from alysd.actors.auxpow_queue import QUEUED_AFTER_A_BLOCK, WorkQueue
from alysd.messages.auxpow import QueuedWork
from alysd.testing.blocks import CHAIN_ID, MINER, digest
from alysd.testing.chain import EASY_BITS
from alysd.types.auxpow import AuxPowHeader
from alysd.types.hashes import AuxHash, BlockHash

FINAL = BlockHash(digest("final"))
NEXT_FINAL = BlockHash(digest("next final"))


def work(length: int, value: int) -> QueuedWork:
    start, end = BlockHash(digest("start")), BlockHash(digest("end", length))
    header = AuxPowHeader(start, end, EASY_BITS, CHAIN_ID, MINER, None)
    return QueuedWork(header, AuxHash(digest("work", length)), length, value)


def test_the_longest_range_comes_first_and_among_equals_the_lowest_hash() -> None:
    """A block would make fewer blocks final than it could."""
    queue = WorkQueue()
    for length, value in ((3, 10), (5, 30), (5, 20), (4, 1)):
        assert queue.add(work(length, value), FINAL)
    assert [(w.bundle_length, w.proof_value) for w in queue.after(FINAL)] == [(5, 20), (5, 30), (4, 1), (3, 10)]


def test_the_same_proof_twice_waits_once() -> None:
    """One proof handed in again and again would push all others out."""
    queue = WorkQueue()
    assert queue.add(work(3, 10), FINAL)
    assert queue.add(work(3, 10), FINAL)
    assert len(queue) == 1


def test_a_full_queue_drops_the_worst() -> None:
    queue = WorkQueue()
    for value in range(QUEUED_AFTER_A_BLOCK):
        queue.add(work(3, 100 + value), FINAL)
    assert not queue.add(work(2, 0), FINAL)
    assert queue.add(work(4, 10**6), FINAL)
    assert len(queue) == QUEUED_AFTER_A_BLOCK
    assert queue.after(FINAL)[0].bundle_length == 4
    assert queue.after(FINAL)[-1].proof_value == 100 + QUEUED_AFTER_A_BLOCK - 2


def test_proofs_after_different_final_blocks_do_not_compete_and_are_forgotten_apart() -> None:
    """A long range of an abandoned branch would take the place of work that can be included."""
    queue = WorkQueue()
    queue.add(work(9, 1), FINAL)
    queue.add(work(2, 1), NEXT_FINAL)
    assert [w.bundle_length for w in queue.after(NEXT_FINAL)] == [2]
    queue.keep(frozenset({NEXT_FINAL}))
    assert queue.after(FINAL) == ()
    assert len(queue) == 1


def test_a_proof_is_known_by_its_parent_header() -> None:
    """Variants of one proof would push all others out."""
    queue = WorkQueue()
    for value in range(7):
        queue.add(work(3, 100 + value), FINAL)
    best = work(5, 1)
    for place in range(QUEUED_AFTER_A_BLOCK):
        assert queue.add(attrs.evolve(best, header=attrs.evolve(best.header, chain_id=place)), FINAL)
    assert len(queue) == 8


def test_a_proof_is_known_by_its_parent_hash_after_the_same_final_block() -> None:
    queue = WorkQueue()
    assert not queue.has(10, FINAL)
    queue.add(work(3, 10), FINAL)
    assert queue.has(10, FINAL)
    assert not queue.has(11, FINAL)
    assert not queue.has(10, NEXT_FINAL)
