"""The search for a nonce: finds the first, tries each once, and can be stopped."""

import pytest
import trio

from alysd.types.hashes import sha256d
from alysd.workflows import nonce_search
from alysd.workflows.nonce_search import find_nonce, search

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


async def test_batches_leave_no_nonce_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonce_search, "BATCH_NONCES", 7)
    found = next(nonce for nonce in range(500) if value(nonce) <= ONE_IN_16 // 8)
    assert await find_nonce(START, ONE_IN_16 // 8) == found


async def test_all_nonces_tried_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The miner would wait for ever instead of trying another coinbase."""
    monkeypatch.setattr(nonce_search, "NONCES", 30)
    monkeypatch.setattr(nonce_search, "BATCH_NONCES", 20)
    assert await find_nonce(START, 0) is None
    assert await find_nonce(START, 0, first=30) is None


async def test_a_search_that_finds_nothing_can_be_cancelled() -> None:
    """Ctrl-C and shutdown would wait for all four thousand million nonces."""
    with trio.move_on_after(0.05) as scope:
        await find_nonce(START, 0)
    assert scope.cancelled_caught
