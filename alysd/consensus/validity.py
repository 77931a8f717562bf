"""Whether a block keeps the rules (docs/protocol.md, "Validity, in order of cost")."""

from collections.abc import Sequence

from alysd.consensus.approvals import Verifier, check_approvals
from alysd.consensus.aura import slot_start
from alysd.consensus.auxpow_header import check_header
from alysd.consensus.payload import check_payload, check_withdrawals
from alysd.consensus.production import halted
from alysd.consensus.violations import (
    BlockTooLarge,
    HaltedWithoutWork,
    PegNotActive,
    SlotNotAfterParent,
    SlotTooEarly,
    UnknownParent,
)
from alysd.types.block import Block
from alysd.types.chain import ChainState, ReceivedBlock, ValidBlock
from alysd.types.chain_spec import ChainContext, ChainSpec


def check_block(
    received: ReceivedBlock,
    parent: ChainState,
    ancestry: Sequence[ChainState],
    context: ChainContext,
    now: float,
    verify: Verifier,
) -> ValidBlock:
    """Judge a block by every rule but the execution client's, cheapest first.

    `ancestry` runs from the child of the last final block, as `parent` sees it, up to `parent`; only a block with
    a header of merged mining needs it. `now` in unix seconds. Raises a subclass of `InvalidBlock` or `InvalidWork`
    for the first rule that is broken. Takes about 3 ms, for the signature.
    """
    signed, block, spec = received.signed, received.signed.block, context.spec
    if block.parent_hash != parent.hash:
        raise UnknownParent(block.parent_hash)
    _check_slot(block, parent, spec, now)
    if received.encoded_size > spec.max_block_bytes:
        raise BlockTooLarge(spec.max_block_bytes, received.encoded_size)
    check_approvals(signed, parent, context, verify)
    check_payload(block, parent, context)
    if block.auxpow_header is not None:
        check_header(block.auxpow_header, parent, ancestry, spec)
    elif halted(parent, spec):
        raise HaltedWithoutWork(spec.max_blocks_without_auxpow)
    check_withdrawals(block, parent, context)
    _check_peg(block)
    return ValidBlock(signed, parent)


def _check_slot(block: Block, parent: ChainState, spec: ChainSpec, now: float) -> None:
    if block.slot <= parent.slot:
        raise SlotNotAfterParent(parent.slot, block.slot)
    ahead = slot_start(block.slot, spec.slot_seconds) - now
    allowed = spec.slot_seconds / 2
    if ahead > allowed:
        raise SlotTooEarly(block.slot, ahead, allowed)


def _check_peg(block: Block) -> None:
    for field, count in (
        ("peg_ins", len(block.peg_ins)),
        ("peg_out_proposal", block.peg_out_proposal is not None),
        ("finalized_peg_outs", len(block.finalized_peg_outs)),
    ):
        if count:
            raise PegNotActive(field, int(count))
