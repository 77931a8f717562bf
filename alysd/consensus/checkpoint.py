"""The rules of a checkpoint: only its chain is imported (docs/protocol.md, "Sync").

Keys of former members can approve another chain from any old block on. Only a hash that the operator got elsewhere
tells a newcomer which of the chains is the real one.
"""

from collections.abc import Iterable

from alysd.consensus.violations import BelowCheckpoint, OffCheckpoint
from alysd.types.block import Block, SignedBlock
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import BlockHash
from alysd.types.units import Height


def check_above(block: Block, checkpoint: Checkpoint | None) -> None:
    """Check that a single block is above the checkpoint. Raises `BelowCheckpoint`.

    Sync alone brings the blocks up to the checkpoint, because it finds them by their hashes.
    """
    if checkpoint is not None and block.height <= checkpoint.height:
        raise BelowCheckpoint(block.height, str(checkpoint))


def linked(newest_first: Iterable[SignedBlock], start: Height, end: Height, last: BlockHash) -> list[SignedBlock]:
    """The blocks, oldest first, if they are the ancestors of the block `last` with the heights `start` to `end`.

    The hashes prove it, so the approvals are not checked. Raises `OffCheckpoint`.
    """
    found: list[SignedBlock] = []
    wanted, height = last, end
    for signed in newest_first:
        if signed.hash != wanted or signed.block.height != height:
            raise OffCheckpoint(height, wanted, signed.hash)
        found.append(signed)
        wanted, height = signed.block.parent_hash, Height(height - 1)
    if height != start - 1:
        raise OffCheckpoint(height, wanted, None)
    return found[::-1]
