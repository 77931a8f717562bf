"""The validation of a block, and the chain's state after it (docs/protocol.md, "Validity, in order of cost")."""

from collections.abc import Sequence
from types import MappingProxyType

from alysd.consensus.aura import check_begins, halted
from alysd.consensus.auxpow import aux_hash, check_header, covered
from alysd.consensus.federation import Verifier, check_approvals, federation_at
from alysd.consensus.federation_update import NO_CHECKS, UpdateChecks, after_block, check_update
from alysd.consensus.payload import check_payload, check_withdrawals
from alysd.consensus.payload_violations import FeesAboveSupply
from alysd.consensus.peg_ledger import Entries, take_burns, take_contents
from alysd.consensus.ranges import VerifiedRange
from alysd.consensus.violations import (
    BlockTooLarge,
    HaltedWithoutWork,
    PegNotActive,
    SlotNotAfterParent,
    UnknownParent,
)
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock, LedgerChange, ReceivedBlock, ValidBlock
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.execution import PayloadResults
from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import MAX_WEI, Wei

NO_ENTRIES: Entries = MappingProxyType({})
"""The entries for a block that reads none, such as any block on a chain without a peg."""


def check_block(
    received: ReceivedBlock,
    parent: ChainState,
    ancestry: Sequence[ChainState],
    context: ChainContext,
    now: float,
    verify: Verifier,
    verified: VerifiedRange | None = None,
    entries: Entries = NO_ENTRIES,
    updates: UpdateChecks = NO_CHECKS,
) -> ValidBlock:
    """Check a block against all rules except those of execution, the cheapest rules first.

    `ancestry` has the states of the blocks up to `parent` that wait for a proof of work, oldest first; only a
    block with a merged-mining header needs it. `now` is in Unix seconds. The approvals of a block in `verified`
    are not checked again. `entries` are those that `peg_ledger.entry_keys` and `version_keys` name, after
    `parent`, and `updates` checks an update of the federation. Raises a subclass of `InvalidBlock` or
    `InvalidWork` for the first rule that the block breaks. Takes about 3 ms, mostly for the signature.
    """
    return _check(received, parent, ancestry, context, now, verify, entries, updates, verified)


def check_candidate(
    received: ReceivedBlock,
    parent: ChainState,
    ancestry: Sequence[ChainState],
    context: ChainContext,
    now: float,
    verify: Verifier,
    entries: Entries = NO_ENTRIES,
    updates: UpdateChecks = NO_CHECKS,
) -> ValidBlock:
    """Check a candidate against the rules of `check_block`, except that its author's approval is enough."""
    return _check(received, parent, ancestry, context, now, verify, entries, updates, quorum=False)


def _check(
    received: ReceivedBlock,
    parent: ChainState,
    ancestry: Sequence[ChainState],
    context: ChainContext,
    now: float,
    verify: Verifier,
    entries: Entries,
    updates: UpdateChecks,
    verified: VerifiedRange | None = None,
    *,
    quorum: bool = True,
) -> ValidBlock:
    signed, block, spec = received.signed, received.signed.block, context.spec
    if block.parent_hash != parent.hash:
        raise UnknownParent(block.parent_hash)
    _check_slot(block, parent, spec, now)
    if received.encoded_size > spec.max_block_bytes:
        raise BlockTooLarge(spec.max_block_bytes, received.encoded_size)
    federation = federation_at(parent, context)
    if verified is None or not verified.covers(signed, federation):
        check_approvals(signed, federation, context, verify, quorum=quorum)
    check_payload(block, parent, context)
    if block.auxpow_header is not None:
        check_header(block.auxpow_header, parent, ancestry, spec)
    elif halted(parent, spec):
        raise HaltedWithoutWork(spec.max_blocks_without_auxpow)
    if block.federation_update is not None:
        check_update(block.federation_update, parent, context, updates)
    if context.peg is None:
        check_withdrawals(block, parent, context)
        _check_no_peg(block)
        return ValidBlock(signed, parent)
    step = take_contents(block.peg, block.auxpow_header, parent, context, context.peg, entries)
    check_withdrawals(block, parent, context, step.mints)
    return ValidBlock(signed, parent, step.change)


def _check_slot(block: Block, parent: ChainState, spec: ChainSpec, now: float) -> None:
    if block.slot <= parent.slot:
        raise SlotNotAfterParent(parent.slot, block.slot)
    check_begins(block.slot, spec.slot_seconds, now)


def _check_no_peg(block: Block) -> None:
    for field, count in (
        ("peg_ins", len(block.peg_ins)),
        ("peg_out_proposal", block.peg_out_proposal is not None),
        ("finalized_peg_outs", len(block.finalized_peg_outs)),
        ("confirmed_peg_outs", len(block.confirmed_peg_outs)),
    ):
        if count:
            raise PegNotActive(field, int(count))


def complete_block(
    valid: ValidBlock, executed: PayloadResults, ancestry: Sequence[ChainState], context: ChainContext
) -> ExecutedBlock:
    """Compute the state after a valid block from the results of its execution, and its table changes.

    `ancestry` is as in `check_block`. Raises the errors of `apply_block`. Call it in a thread if there are burns,
    because these take time (`peg_ledger.take_burns`).
    """
    ledger = valid.ledger
    if context.peg is not None and ledger is not None:
        ledger = take_burns(ledger, executed.burns, valid.parent, context, context.peg)
    return apply_block(valid.parent, valid.signed, executed.fees, ancestry, ledger)


def apply_block(
    parent: ChainState,
    signed: SignedBlock,
    priority_fees: Wei,
    ancestry: Sequence[ChainState],
    ledger: LedgerChange | None = None,
) -> ExecutedBlock:
    """Compute the state after a valid block whose transactions paid `priority_fees` wei, and its table changes.

    `ledger` is the change of the peg's ledger by the whole block. `ancestry` is as in `check_block`. Raises
    `FeesAboveSupply` when the unpaid fees exceed all bitcoin, and a subclass of `InvalidWork` when the header's
    range is not in `ancestry`; this cannot happen to a block that `check_block` has accepted.
    """
    block, header = signed.block, signed.block.auxpow_header
    if header is None:
        bits, last_final, final_height = parent.bits, parent.last_final, parent.last_final_height
        # The genesis block's slot 0 is decades before block 1, so the first distance is counted from block 1.
        final_slot = parent.last_final_slot if parent.height else block.slot
        unpaid = parent.unpaid_fees + priority_fees
        changes = tuple[EntryChange, ...]()
    else:
        final = covered(header, ancestry)
        bits, last_final = header.bits, final.hashes[-1]
        final_height, final_slot = final.end_height, final.end_slot
        # This block mints the unpaid fees. The fees of its own transactions begin the next sum.
        unpaid = priority_fees
        changes = _proof_changes(signed, aux_hash(final.hashes, header.fee_recipient), final.hashes)
    if unpaid > MAX_WEI:
        raise FeesAboveSupply(Wei(unpaid))
    state = ChainState(
        hash=signed.hash,
        parent_hash=parent.hash,
        height=block.height,
        slot=block.slot,
        payload_hash=block.payload.block_hash,
        timestamp=block.payload.timestamp,
        bits=bits,
        last_final=last_final,
        last_final_height=final_height,
        last_final_slot=final_slot,
        unpaid_fees=Wei(unpaid),
        next_withdrawal=parent.next_withdrawal + len(block.payload.withdrawals),
        peg=parent.peg if ledger is None else ledger.totals,
        governance=after_block(block, parent, final_height),
    )
    return ExecutedBlock(signed, state, changes if ledger is None else changes + ledger.changes)


def _proof_changes(signed: SignedBlock, work: AuxHash, final: Sequence[BlockHash]) -> tuple[EntryChange, ...]:
    """The entries for the proof of work in the block `signed`, which makes the blocks `final` final."""
    proof = Proof(signed.hash, signed.block.height, work)
    return (
        *(EntryChange(Table.PROOFS, block_hash, proof) for block_hash in final),
        EntryChange(Table.WORKS, work, proof),
    )
