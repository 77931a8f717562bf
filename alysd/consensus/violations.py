"""The violations: one error class per rule that a block, an approval or evidence can break (docs/protocol.md).

`payload_violations` has those of the execution payload, `work_violations` those of a proof of work, and
`alysd.peg.violations` those of the peg.
"""

from typing import Any, ClassVar

import attrs

from alysd.errors import InvalidApproval, InvalidBlock, NotNow, Refused
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height, Slot


def shown(value: object) -> str:
    """A value as text for an error; bytes are shown in hex."""
    return value.hex() if isinstance(value, bytes) else str(value)


@attrs.frozen
class Differs(Refused):
    """A value in a block or in a proof differs from the one that the rules require; `rule` names the value."""

    rule: ClassVar[str]
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.rule}: expected {shown(self.expected)}, found {shown(self.found)}"


@attrs.frozen
class UnknownParent(InvalidBlock):
    """The parent block `parent` is missing, below the last final block, or on an abandoned branch."""

    parent: BlockHash

    def __str__(self) -> str:
        return (
            f"block {displayed(self.parent)} is unknown: it is neither the last final block nor a block above it"
        )


@attrs.frozen
class SlotNotAfterParent(InvalidBlock):
    """The block's slot is not after its parent's: there is at most one block per slot."""

    parent: Slot
    found: Slot

    def __str__(self) -> str:
        return f"slot {self.found} is not after the parent's slot {self.parent}"


@attrs.frozen
class SlotTooEarly(InvalidBlock, NotNow):
    """The block's slot begins more than half a slot from now; `ahead` and `allowed` are in seconds.

    This is the only rule that depends on a clock. Clocks differ, so the sender is not to blame, and the block may
    be valid later. Therefore the error is also a `NotNow`.
    """

    slot: Slot
    ahead: float
    allowed: float

    def __str__(self) -> str:
        return f"slot {self.slot} begins {self.ahead:.1f} s from now; at most {self.allowed:.1f} s are allowed"


@attrs.frozen
class SlotPassed(InvalidBlock):
    """It is too late to approve a block of `slot`: the present slot is later than the next one."""

    slot: Slot
    present: Slot

    def __str__(self) -> str:
        return (
            f"slot {self.slot} has passed: a block is approved in its slot or the next, and now is slot "
            f"{self.present}"
        )


@attrs.frozen
class BlockTooLarge(InvalidBlock):
    """The encoded block is larger than the chain's `max_block_bytes`; `limit` and `found` are in bytes."""

    limit: int
    found: int

    def __str__(self) -> str:
        return f"the block has {self.found} bytes; at most {self.limit} are allowed"


class WrongApprovalLength(Differs, InvalidBlock):
    """The bit list of the approvals does not have one bit per authority."""

    rule = "bits in the list of approvals"


@attrs.frozen
class AuthorMissing(InvalidBlock):
    """The author of the slot has not approved its own block; `author` is the index of that authority."""

    slot: Slot
    author: int

    def __str__(self) -> str:
        return f"authority {self.author}, the author of slot {self.slot}, has not approved the block"


@attrs.frozen
class BelowQuorum(InvalidBlock):
    """The block has fewer approvals than the quorum, ceil(2n/3)."""

    quorum: int
    found: int

    def __str__(self) -> str:
        return f"the block has {self.found} approvals; the quorum is {self.quorum}"


@attrs.frozen
class BelowFormerQuorum(InvalidBlock):
    """In a hand-over, the block has fewer approvals of the former federation's members than their quorum."""

    quorum: int
    found: int

    def __str__(self) -> str:
        return (
            f"the block has {self.found} approvals of the former federation, which hands over; its quorum is "
            f"{self.quorum}"
        )


@attrs.frozen
class BadApprovalSignature(InvalidBlock):
    """The aggregate signature does not match this block and the `approvals` authorities whose bits are set."""

    approvals: int

    def __str__(self) -> str:
        return f"the signature does not prove the {self.approvals} approvals that the block claims"


@attrs.frozen
class NotTheAuthorAlone(InvalidBlock):
    """A proposal has `found` approvals. It must have only its author's, so that it has one form."""

    found: int

    def __str__(self) -> str:
        return f"the proposal has {self.found} approvals; it must have only its author's"


@attrs.frozen
class ParentApprovalsMissing(InvalidBlock):
    """A proposal does not have the approvals of its parent, whose hash is `parent`."""

    parent: BlockHash

    def __str__(self) -> str:
        return f"the proposal has no approvals of its parent {displayed(self.parent)}"


@attrs.frozen
class GenesisApproved(InvalidBlock):
    """A proposal on the genesis block has approvals of its parent, but nobody approves the genesis block."""

    def __str__(self) -> str:
        return "the proposal has approvals of the genesis block, which nobody approves"


@attrs.frozen
class NoSuchAuthority(InvalidApproval):
    """An approval has the index `authority`, but the federation has only `members` authorities."""

    members: int
    authority: int

    def __str__(self) -> str:
        return f"there is no authority {self.authority}: the federation has {self.members}, numbered from 0"


@attrs.frozen
class ForgedApproval(InvalidApproval):
    """The signature of an approval is not that of the authority with the index `authority`."""

    authority: int

    def __str__(self) -> str:
        return f"the signature is not that of authority {self.authority} for this block"


@attrs.frozen
class ForgedStatement(InvalidApproval):
    """The signature of a recovery statement is not that of the authority with the index `authority`."""

    authority: int

    def __str__(self) -> str:
        return f"the signature is not that of authority {self.authority} for a recovery in this slot"


@attrs.frozen
class BrokenRange(InvalidBlock):
    """A peer's blocks are not the range that was requested, or no part of a chain; `reason` names the fault."""

    reason: str

    def __str__(self) -> str:
        return f"not a range of the chain: {self.reason}"


@attrs.frozen
class FederationUnknown(NotNow):
    """The approvals of a block are of no known federation, but the federation may have changed before the block.

    `heights` are those of the blocks whose federations this node knows.
    """

    height: Height
    heights: range

    def __str__(self) -> str:
        return (
            f"the approvals of the block at height {self.height} are of no known federation; this node knows "
            f"those of the heights {self.heights.start} to {self.heights.stop - 1}"
        )


@attrs.frozen
class BelowCheckpoint(InvalidBlock):
    """A single block is at or below the checkpoint. Such blocks are imported only in the ranges of sync."""

    height: Height
    checkpoint: str

    def __str__(self) -> str:
        return f"the block at height {self.height} is not above the checkpoint {self.checkpoint}"


@attrs.frozen
class OffCheckpoint(InvalidBlock):
    """A peer's block at `height` is `found`, or missing; the chain of the checkpoint has the block `wanted`."""

    height: Height
    wanted: BlockHash
    found: BlockHash | None

    def __str__(self) -> str:
        found = "missing" if self.found is None else displayed(self.found)
        return (
            f"not the chain of the checkpoint: the block at height {self.height} is {found}, "
            f"but must be {displayed(self.wanted)}"
        )


@attrs.frozen
class HaltedWithoutWork(InvalidBlock):
    """More than `limit` blocks wait for a proof of work, and the block does not include one."""

    limit: int

    def __str__(self) -> str:
        return f"more than {self.limit} blocks wait for a proof of work, and this block includes none"


@attrs.frozen
class PegNotActive(InvalidBlock):
    """The block's peg field `field` is not empty, but the peg is not active on this chain."""

    field: str
    count: int

    def __str__(self) -> str:
        return f"the peg is not active on this chain: {self.field} must be empty, found {self.count}"


@attrs.frozen
class BadEvidence(Refused):
    """Evidence does not show that an authority has broken the approval rule."""

    reason: str

    def __str__(self) -> str:
        return f"the evidence proves nothing: {self.reason}"
