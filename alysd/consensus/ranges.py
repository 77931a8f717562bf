"""The check of blocks that a peer has sent: by the approvals of the last one, and the hash links down from it.

The source is docs/protocol.md, "Sync". A quorum approves only a block whose ancestors it has, so one signature
proves a whole range. Block import still checks every rule of each block.
"""

from collections.abc import Iterable

from alysd.consensus.federation import Verifier, check_approvals
from alysd.consensus.violations import BrokenRange
from alysd.types.block import SignedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height


def check_range(
    newest_first: Iterable[SignedBlock],
    start: Height,
    federation: Federation,
    context: ChainContext,
    verify: Verifier,
) -> tuple[SignedBlock, ...]:
    """Check that the blocks are a part of the chain that begins at the height `start`. Returns them oldest first.

    `newest_first` is read only up to the first false block, so that a caller that computes the hashes meanwhile
    computes no more of them. Raises `BrokenRange` for blocks that are no branch, and the errors of
    `check_approvals` for the newest block.
    """
    blocks: list[SignedBlock] = []
    for signed in newest_first:
        if not blocks:
            check_approvals(signed, federation, context, verify, federation.quorum)
        elif signed.hash != blocks[-1].block.parent_hash or signed.block.height != blocks[-1].block.height - 1:
            raise BrokenRange(f"block {displayed(signed.hash)} is not the parent of the next one")
        blocks.append(signed)
    if blocks and blocks[-1].block.height != start:
        raise BrokenRange(f"it begins at height {blocks[-1].block.height}, not {start}")
    return tuple(reversed(blocks))


def check_single(
    found: Iterable[SignedBlock],
    wanted: BlockHash,
    federation: Federation,
    context: ChainContext,
    verify: Verifier,
) -> SignedBlock | None:
    """Check the answer to a request for the block `wanted`: nothing, or this block with the approvals of a quorum.

    Raises `BrokenRange` for another block, and the errors of `check_approvals`.
    """
    first: SignedBlock | None = None
    for signed in found:
        if first is not None or signed.hash != wanted:
            raise BrokenRange(f"block {displayed(wanted)} was asked for, and another one sent")
        first = signed
    if first is not None:
        check_approvals(first, federation, context, verify, federation.quorum)
    return first
