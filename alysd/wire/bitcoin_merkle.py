"""Bitcoin's Merkle tree over transaction ids: its root, and the branch that proves one leaf.

A level of odd length is filled up with a copy of its last hash. All hashes are in internal byte order.
"""

from collections.abc import Sequence

from alysd.types.auxpow import MerkleBranch
from alysd.types.hashes import sha256d


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over `leaves`, of which there is at least one."""
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def merkle_branch(leaves: Sequence[bytes], index: int) -> MerkleBranch:
    """The siblings from leaf `index` up to the root, in the order in which they are hashed in."""
    siblings: list[bytes] = []
    level, position = list(leaves), index
    while len(level) > 1:
        siblings.append(level[min(position ^ 1, len(level) - 1)])
        level, position = _level_above(level), position // 2
    return MerkleBranch(tuple(siblings), index)


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    last = len(level) - 1
    return [sha256d(level[i] + level[min(i + 1, last)]) for i in range(0, len(level), 2)]
