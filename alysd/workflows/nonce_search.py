"""The search for a header's nonce, in a worker thread and in batches that are short enough to stop at once."""

import hashlib

import trio

NONCES = 2**32
"""How many nonces a header has."""

BATCH_NONCES = 10_000
"""Nonces per batch, after which the search can be cancelled: about 25 ms at 400,000 hashes per second."""

_MIDSTATE_BYTES = 64
"""SHA-256's block size: the first block of a header is the same for all nonces and is hashed once."""


async def find_nonce(header_start: bytes, target: int, first: int = 0) -> int | None:
    """Find the lowest nonce from `first` on whose header hashes to at most `target`, or None.

    `header_start` is a Bitcoin header without its nonce, 76 bytes. Waits for a worker thread, batch by batch, and
    can be cancelled between them.
    """
    for start in range(first, NONCES, BATCH_NONCES):
        end = min(start + BATCH_NONCES, NONCES)
        found = await trio.to_thread.run_sync(search, header_start, target, start, end)
        if found is not None:
            return found
    return None


def search(header_start: bytes, target: int, start: int, end: int) -> int | None:
    """The lowest nonce in `range(start, end)` whose header hashes to at most `target`, or None."""
    midstate = hashlib.sha256(header_start[:_MIDSTATE_BYTES])
    tail = header_start[_MIDSTATE_BYTES:]
    sha256 = hashlib.sha256
    for nonce in range(start, end):
        inner = midstate.copy()
        inner.update(tail + nonce.to_bytes(4, "little"))
        if int.from_bytes(sha256(inner.digest()).digest(), "little") <= target:
            return nonce
    return None
