"""The search for a nonce: finds the first, tries each once, and can be stopped."""

import trio

from alysd.types.hashes import sha256d
from alysd.workflows.nonce_search import ALL_NONCES, NonceSearch, search

START = bytes(range(76))
ONE_IN_16 = 2**252


def value(nonce: int) -> int:
    return int.from_bytes(sha256d(START + nonce.to_bytes(4, "little")), "little")


def test_the_first_nonce_that_meets_the_target_is_found() -> None:
    """The shortened hashing must be Bitcoin's own, or no block would ever be accepted."""
    found = [nonce for nonce in range(200) if value(nonce) <= ONE_IN_16]
    assert len(found) > 2
    assert search(START, ONE_IN_16, 0, 200) == found[0]
    assert search(START, ONE_IN_16, found[0] + 1, 200) == found[1]
    assert search(START, value(found[0]), found[0], found[0] + 1) == found[0]  # equal to the target is enough
    assert search(START, value(found[0]) - 1, found[0], found[0] + 1) is None


async def test_batches_leave_no_nonce_out() -> None:
    found = next(nonce for nonce in range(500) if value(nonce) <= ONE_IN_16 // 8)
    assert await NonceSearch(batch=7).find(START, ONE_IN_16 // 8) == found


async def test_all_nonces_tried_is_said() -> None:
    """The miner would wait for ever instead of trying another coinbase."""
    nonces = NonceSearch(nonces=30, batch=20)
    assert await nonces.find(START, 0) is None
    assert await nonces.find(START, 0, first=30) is None


async def test_a_search_that_finds_nothing_can_be_cancelled() -> None:
    """Ctrl-C and shutdown would wait for all four thousand million nonces."""
    with trio.move_on_after(0.05) as scope:
        await ALL_NONCES.find(START, 0)
    assert scope.cancelled_caught
