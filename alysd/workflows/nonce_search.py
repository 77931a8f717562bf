"""The search for a header's nonce, in a worker thread.

It works in short batches and can be cancelled between them.
"""

import hashlib

import attrs
import trio

_MIDSTATE_BYTES = 64
"""The block size of SHA-256. The first 64 bytes of a header contain no nonce and are hashed only once."""


@attrs.frozen
class NonceSearch:
    """Tries the first `nonces` nonces of a header, by default all, in batches of `batch` per call of a thread.

    A batch takes about 25 ms, at 400,000 hashes per second.
    """

    nonces: int = 2**32
    batch: int = 10_000

    async def find(self, header_start: bytes, target: int, first: int = 0) -> int | None:
        """Find the lowest nonce, from `first` on, with which the header's hash is at most `target`, or None.

        `header_start` is a Bitcoin header without its nonce, 76 bytes. Waits for a worker thread, batch by batch;
        can be cancelled between batches.
        """
        for start in range(first, self.nonces, self.batch):
            end = min(start + self.batch, self.nonces)
            found = await trio.to_thread.run_sync(search, header_start, target, start, end)
            if found is not None:
                return found
        return None


ALL_NONCES = NonceSearch()
"""The search that a miner uses."""


def search(header_start: bytes, target: int, start: int, end: int) -> int | None:
    """The lowest nonce in `range(start, end)` with which the header's hash is at most `target`, or None."""
    midstate = hashlib.sha256(header_start[:_MIDSTATE_BYTES])
    tail = header_start[_MIDSTATE_BYTES:]
    sha256 = hashlib.sha256
    for nonce in range(start, end):
        inner = midstate.copy()
        inner.update(tail + nonce.to_bytes(4, "little"))
        if int.from_bytes(sha256(inner.digest()).digest(), "little") <= target:
            return nonce
    return None
