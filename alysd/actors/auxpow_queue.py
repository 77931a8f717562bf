"""Proofs that wait for a block to include them, best first.

The best proof makes most blocks final; among equals the one with the lowest parent hash is the harder one. What a
branch can use depends on the final block that it follows, so proofs are kept apart by that block.
"""

from bisect import insort

from alysd.messages.auxpow import QueuedWork
from alysd.types.hashes import BlockHash

QUEUED_AFTER_A_BLOCK = 32
"""Proofs kept that follow the same final block. One is used, the rest serve branches that lack its newest blocks:
a branch point a block deep needs one more, and branches deeper than a few blocks are rare."""


class WorkQueue:
    """Judged proofs, by the final block that their range follows."""

    def __init__(self) -> None:
        self._after: dict[BlockHash, list[QueuedWork]] = {}

    def __len__(self) -> int:
        return sum(len(works) for works in self._after.values())

    def add(self, work: QueuedWork, previous: BlockHash) -> bool:
        """Queue a proof whose range follows `previous`; whether it is there now.

        It is not when better ones fill the queue. The same proof again changes nothing.
        """
        works = self._after.setdefault(previous, [])
        if work not in works:
            insort(works, work, key=_rank)
            del works[QUEUED_AFTER_A_BLOCK:]
        return work in works

    def after(self, previous: BlockHash) -> tuple[QueuedWork, ...]:
        """The proofs whose range follows `previous`, best first."""
        return tuple(self._after.get(previous, ()))

    def keep(self, previous: frozenset[BlockHash]) -> None:
        """Forget the proofs that follow none of the `previous` blocks."""
        self._after = {block: works for block, works in self._after.items() if block in previous}


def _rank(work: QueuedWork) -> tuple[int, int]:
    return -work.bundle_length, work.proof_value
