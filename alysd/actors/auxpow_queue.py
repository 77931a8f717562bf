"""The queue of proofs that wait for a block to include them, best first.

The best proof is the one that makes the most blocks final. Among proofs of equally many blocks, it is the one with
the lowest parent hash, which proves the most work. A proof can only be used in a branch that contains the final
block before the proof's range, so the proofs are grouped by that block.
"""

from bisect import insort

from alysd.messages.auxpow import QueuedWork
from alysd.types.hashes import BlockHash

QUEUED_AFTER_A_BLOCK = 32
"""The maximum number of queued proofs whose ranges follow one final block.

Usually the best proof is used. The others are for branches without the newest blocks of the best proof's range.
Branches that lack more than a few of these blocks are rare.
"""


class WorkQueue:
    """The valid proofs, grouped by the final block before their range."""

    def __init__(self) -> None:
        self._after: dict[BlockHash, list[QueuedWork]] = {}

    def __len__(self) -> int:
        return sum(len(works) for works in self._after.values())

    def add(self, work: QueuedWork, previous: BlockHash) -> bool:
        """Queue a proof whose range follows `previous`. Returns false if better proofs fill the queue.

        The hash of the parent header identifies a proof. Adding a proof again has no effect.
        """
        works = self._after.setdefault(previous, [])
        if not _contains(works, work):
            insort(works, work, key=_rank)
            del works[QUEUED_AFTER_A_BLOCK:]
        return _contains(works, work)

    def has(self, proof_value: int, previous: BlockHash) -> bool:
        """Whether a proof with this parent hash is queued, and its range follows `previous`."""
        return any(work.proof_value == proof_value for work in self.after(previous))

    def after(self, previous: BlockHash) -> tuple[QueuedWork, ...]:
        """The proofs whose range follows `previous`, best first."""
        return tuple(self._after.get(previous, ()))

    def keep(self, previous: frozenset[BlockHash]) -> None:
        """Keep only the proofs whose range follows one of the `previous` blocks."""
        self._after = {block: works for block, works in self._after.items() if block in previous}


def _contains(works: list[QueuedWork], work: QueuedWork) -> bool:
    return any(queued.proof_value == work.proof_value for queued in works)


def _rank(work: QueuedWork) -> tuple[int, int]:
    return -work.bundle_length, work.proof_value
