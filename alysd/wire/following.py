"""Blocks of which a signer sees only some parts, in SSZ (docs/protocol.md, "Signer").

In place of a field that is not seen, a view has the field's root. 32 bytes are their own root, so the root of the
view is the block's hash.
"""

from alysd.types.block import Block
from alysd.types.following import PegView, WorkView
from alysd.types.hashes import BlockHash
from alysd.wire.block_ssz import AUXPOW_HEADER, BLOCK, CONFIRMED_PEG_OUTS, PEG_INS, PEG_OUT_PROPOSAL
from alysd.wire.ssz import Bytes, UInt
from alysd.wire.ssz_composite import Container, Option

PEG_VIEW = Container(
    PegView,
    parent_hash=Bytes(32),
    slot=UInt(8),
    payload=Bytes(32),
    peg_ins=PEG_INS,
    peg_out_proposal=PEG_OUT_PROPOSAL,
    auxpow_header=Bytes(32),
    finalized_peg_outs=Bytes(32),
    confirmed_peg_outs=CONFIRMED_PEG_OUTS,
    federation_update=Bytes(32),
)
"""192 bytes for a block without peg contents, and at most 83 KB: 64 deposits of 64 outputs, and a proposal."""

WORK_VIEW = Container(
    WorkView,
    parent_hash=Bytes(32),
    slot=UInt(8),
    payload=Bytes(32),
    peg_ins=Bytes(32),
    peg_out_proposal=Bytes(32),
    auxpow_header=Option(AUXPOW_HEADER),
    finalized_peg_outs=Bytes(32),
    confirmed_peg_outs=Bytes(32),
    federation_update=Bytes(32),
)
"""The view of a block with a proof of work."""


def peg_view(block: Block) -> PegView:
    """The block with only the parts of the peg that a signer reads. This takes as long as `block_hash`."""
    roots = BLOCK.field_roots(block)
    return PegView(
        block.parent_hash,
        block.slot,
        roots[2],
        block.peg_ins,
        block.peg_out_proposal,
        roots[5],
        roots[6],
        block.confirmed_peg_outs,
        roots[8],
    )


def work_view(block: Block) -> WorkView:
    """The block with only its merged-mining header. This takes as long as `block_hash`."""
    roots = BLOCK.field_roots(block)
    header = block.auxpow_header
    return WorkView(block.parent_hash, block.slot, roots[2], roots[3], roots[4], header, *roots[6:9])


def peg_view_hash(view: PegView) -> BlockHash:
    """The hash of the block. Takes 0.1 ms for one without peg contents."""
    return BlockHash(PEG_VIEW.root(view))


def work_view_hash(view: WorkView) -> BlockHash:
    """The hash of the block."""
    return BlockHash(WORK_VIEW.root(view))
