"""The rules of approval and of commitment (docs/protocol.md, "The approval rule", "Committed blocks").

An authority approves a block only if the slot of the block's parent is at least the authority's lock: the highest
slot of all blocks of which the authority has approved a child. A block is committed when an approved block of the
next slot builds on it. While less than a third of the authorities break the rules, no two committed blocks
conflict. docs/protocol.md has the proof, and `tests/consensus/test_approval.py` searches all small chains for a
conflict.
"""

from collections.abc import Sequence

import attrs

from alysd.errors import KeyUsedElsewhere, NotRecovering, WouldBreakLock, WouldDoubleSign
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, displayed
from alysd.types.signing import SignedSlot, UnknownApproval
from alysd.types.units import Slot


def check_approval(
    slot: Slot, block: BlockHash, parent_slot: Slot, last: SignedSlot, *, supported: bool = False
) -> None:
    """Check that an authority whose last approval is `last` may approve `block`, which has `slot`.

    `parent_slot` is the slot of the block's parent. The block that was approved last may be approved again. Raises
    `WouldDoubleSign` if the slot is not after the slot of the last approval, and `WouldBreakLock` if the parent
    has an earlier slot than the lock. A recovering authority that `joins` may approve a block on an earlier
    parent if the block is `supported` by others (`consensus.recovery.is_supported`).
    """
    if slot < last.slot:
        raise WouldDoubleSign(
            f"slot {slot} is before slot {last.slot}, the last slot in which this key has signed"
        )
    if slot == last.slot and last.recovering:
        raise WouldDoubleSign(
            f"slot {slot}: the signing guard of this key was lost, and the key may have signed in each slot up to "
            f"slot {slot}"
        )
    if slot == last.slot and block != last.block:
        raise WouldDoubleSign(
            f"slot {slot}: this key has already signed block {displayed(last.block)} in this slot, "
            f"so it must not sign {displayed(block)}"
        )
    supported = supported and last.joins
    if parent_slot < last.lock and last.recovering and not supported:
        raise WouldBreakLock(
            f"slot {slot}: the signing guard of this key was lost, and the parent has slot {parent_slot}: this "
            f"key approves only children of blocks from slot {last.lock} on"
            + (", or blocks that all other members approve" if last.joins else "")
        )
    if parent_slot < last.lock and not last.recovering:
        raise WouldBreakLock(
            f"slot {slot}: the parent has slot {parent_slot}, but the lock of this key is slot {last.lock}, so it "
            f"must not sign a block with an earlier parent"
        )


def check_recovering(last: SignedSlot) -> None:
    """Check that an authority with the record `last` may state that its guard is lost. Raises `NotRecovering`."""
    if not last.recovering:
        raise NotRecovering(f"the signing guard of this key is not lost: its last approval has slot {last.slot}")


STATEMENT_GAP = 2
"""The number of slots after its last statement for which a recovering authority approves blocks.

It makes a statement in every slot. If more time has passed, the node was stopped, or its clock was set."""


def stated(last: SignedSlot, before: Slot | None, slot: Slot) -> SignedSlot:
    """The record of a recovering authority with which it states its loss in `slot`.

    `before` is the slot of its last statement, None for the first one since the start of the node. The clock may
    have been behind when `alysd recover` wrote the record, so the key may have signed in every slot up to the
    present one. Therefore the first statement, and one after a gap, raise the record to the next slot. Raises
    `NotRecovering`.
    """
    check_recovering(last)
    raised = Slot(slot + 1)
    if (before is None or not before <= slot <= before + STATEMENT_GAP) and last.slot < raised:
        return attrs.evolve(last, slot=raised, lock=raised)
    return last


def check_stated(slot: Slot, last: SignedSlot, before: Slot | None) -> None:
    """Check that a recovering authority has made a statement in or just before `slot`. Raises `WouldBreakLock`."""
    if last.recovering and (before is None or slot > before + STATEMENT_GAP):
        raise WouldBreakLock(
            f"slot {slot}: the signing guard of this key was lost, and the node has not stated the loss in the "
            f"last {STATEMENT_GAP} slots: the node states it in the next slot, once its clock is trusted"
        )


def is_unknown(slot: Slot, block: BlockHash, last: SignedSlot) -> bool:
    """Whether an authority with the record `last` has not made this approval of `block` in `slot`.

    The record is written before each signature. So another node uses the key, or the record is an old copy.
    """
    return slot > last.slot or (slot == last.slot and block != last.block and not last.recovering)


def with_unknown(last: SignedSlot, slot: Slot, block: BlockHash) -> SignedSlot:
    """The record after a valid approval of `block` by its key was seen: the same one if the record knows it.

    Only the first unknown approval is recorded.
    """
    if last.unknown is not None or not is_unknown(slot, block, last):
        return last
    return attrs.evolve(last, unknown=UnknownApproval(slot, block))


def check_key(last: SignedSlot) -> None:
    """Raise `KeyUsedElsewhere` if an approval by this key was seen that this node has not made."""
    if last.unknown is not None:
        raise KeyUsedElsewhere(
            f"this key has approved block {displayed(last.unknown.block)} of slot {last.unknown.slot}, but its "
            f"signing guard has slot {last.slot}: another node signs with this key, or the guard is an old copy, "
            "so this node signs nothing more. Stop the other node for good; then stop this one and run "
            "`alysd recover`"
        )


def commits(slot: Slot, child_slot: Slot) -> bool:
    """Whether an approved child of `child_slot` commits its parent of `slot`."""
    return child_slot == slot + 1


def committed(branch: Sequence[ChainState]) -> Sequence[ChainState]:
    """The part of a branch up to its newest committed block; empty if no block of it is committed.

    `branch` has the states of approved blocks, each the child of the one before it.
    """
    for end in range(len(branch) - 1, 0, -1):
        if commits(branch[end - 1].slot, branch[end].slot):
            return branch[:end]
    return ()
