"""The violations: one error class per rule that a block or a proof of work can break (docs/protocol.md)."""

from typing import Any, ClassVar

import attrs

from alysd.errors import InvalidApproval, InvalidBlock, InvalidWork, NotNow, Refused
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import MAX_WEI, Height, Slot, Wei


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
            f"block {displayed(self.parent)} is unknown: it is neither the last final block nor a block above that"
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
            f"slot {self.slot} has passed: a block is approved in its slot or the next, and now is {self.present}"
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
    """A range of blocks is not what was asked for; `reason` says what is wrong with it."""

    reason: str

    def __str__(self) -> str:
        return f"not a range of the chain: {self.reason}"


@attrs.frozen
class BelowCheckpoint(InvalidBlock):
    """A single block at or below the checkpoint. Sync alone brings these blocks."""

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


class WrongExecutionParent(Differs, InvalidBlock):
    """The payload does not build on the parent's payload."""

    rule = "execution parent hash"


class WrongBlockNumber(Differs, InvalidBlock):
    """The execution block number is not the parent's plus one."""

    rule = "execution block number"


class WrongTimestamp(Differs, InvalidBlock):
    """The execution timestamp is not the start of the slot."""

    rule = "execution timestamp"


class WrongRandao(Differs, InvalidBlock):
    """`prev_randao` is not the sha256 of parent hash and slot."""

    rule = "prev_randao"


class WrongFeeRecipient(Differs, InvalidBlock):
    """The payload's fee recipient is not the burn address."""

    rule = "fee recipient"


class WrongBlobGas(Differs, InvalidBlock):
    """The payload uses blob gas, but the chain has no blobs: no node would store or serve them."""

    rule = "blob gas used"


@attrs.frozen
class EmptyTransaction(InvalidBlock):
    """The transaction at index `place` is empty. The payload's hash would not cover it."""

    place: int

    def __str__(self) -> str:
        return f"transaction {self.place} is empty"


class WrongWithdrawals(Differs, InvalidBlock):
    """The withdrawals are not exactly those that the rules require."""

    rule = "withdrawals"


class WrongGasUsed(Differs, InvalidBlock):
    """The sum of the gas in the receipts differs from the payload's `gas_used`."""

    rule = "gas used"


@attrs.frozen
class GasAboveLimit(InvalidBlock):
    """The transaction at index `place` uses more gas than its gas limit."""

    place: int
    limit: int
    found: int

    def __str__(self) -> str:
        return f"transaction {self.place} uses {self.found} gas, but its gas limit is {self.limit}"


@attrs.frozen
class PriceBelowBaseFee(InvalidBlock):
    """The transaction at index `place` offers less than the block's base fee; both are in wei per gas."""

    place: int
    base_fee: Wei
    found: Wei

    def __str__(self) -> str:
        return f"transaction {self.place} offers {self.found} wei per gas, but the base fee is {self.base_fee}"


@attrs.frozen
class FeesAboveSupply(InvalidBlock):
    """The unpaid fees after the block, `found` in wei, exceed the supply of all bitcoin."""

    found: Wei

    def __str__(self) -> str:
        return f"the unpaid fees are {self.found} wei, more than the {MAX_WEI} wei that can exist"


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
class InvalidPayload(InvalidBlock):
    """The execution client finds the payload invalid; `reason` is the client's message."""

    reason: str

    def __str__(self) -> str:
        return f"the execution client finds the payload invalid: {self.reason}"


@attrs.frozen
class BadTarget(InvalidWork):
    """The compact bits are not a valid target: they are negative, zero, or above 256 bits."""

    bits: int

    def __str__(self) -> str:
        return f"the bits {self.bits:08x} are not a target: their value is negative, zero or too large"


class WorkMissing(InvalidWork):
    """The merged-mining header has no proof, which is allowed only in the genesis block."""

    def __str__(self) -> str:
        return "the merged-mining header has no proof"


class WrongHeaderChainId(Differs, InvalidWork):
    """The merged-mining header has the id of another chain."""

    rule = "chain id of the header"


class WrongRangeStart(Differs, InvalidWork):
    """The range does not begin with the child of the last final block."""

    rule = "first block of the range"

    def __str__(self) -> str:
        return f"{self.rule}: expected {displayed(self.expected)}, found {displayed(self.found)}"


@attrs.frozen
class WrongRangeEnd(InvalidWork):
    """The end of the range is not an ancestor of the block, or not above the last final block."""

    found: bytes

    def __str__(self) -> str:
        found = displayed(self.found)
        return (
            f"last block of the range: expected an ancestor of this block above the last final one, found {found}"
        )


@attrs.frozen
class RangeNotCommitted(InvalidWork):
    """The end of the range is not committed: its child on this branch, if any, is not of the next slot.

    `end` and `child` are the slots of these two blocks; `child` is None if there is no child.
    """

    end: Slot
    child: Slot | None

    def __str__(self) -> str:
        follows = "no block follows" if self.child is None else f"the next block is of slot {self.child}"
        return f"last block of the range: expected a committed block, found one of slot {self.end}, and {follows}"


@attrs.frozen
class WrongBits(InvalidWork):
    """The header's target does not follow from the previous target and the length of the range in slots."""

    expected: int
    found: int

    def __str__(self) -> str:
        return f"bits of the header: expected {self.expected:08x}, found {self.found:08x}"


@attrs.frozen
class ParentOfOurChain(InvalidWork):
    """The version of the parent block contains this chain's id: a chain cannot be its own parent (Namecoin)."""

    chain_id: int

    def __str__(self) -> str:
        return f"the parent block's version contains this chain's own id {self.chain_id}"


@attrs.frozen
class ChainBranchTooLong(InvalidWork):
    """The branch from the chain's work to the committed root has more than `limit` siblings (Namecoin)."""

    limit: int
    found: int

    def __str__(self) -> str:
        return f"the chain branch has {self.found} siblings; at most {self.limit} are allowed"


@attrs.frozen
class CoinbaseNotFirst(InvalidWork):
    """The index of the coinbase branch is not 0: the coinbase must be the parent block's first transaction."""

    index: int

    def __str__(self) -> str:
        return f"the coinbase branch has index {self.index}: the coinbase must be the first transaction, index 0"


class WrongCoinbaseBranch(Differs, InvalidWork):
    """The coinbase branch does not lead to the parent header's merkle root."""

    rule = "merkle root of the parent block"


class CommitmentMissing(InvalidWork):
    """The coinbase contains no commitment."""

    def __str__(self) -> str:
        return "the coinbase contains no commitment (fabe6d6d)"


@attrs.frozen
class CommitmentTwice(InvalidWork):
    """The coinbase has several commitments in one place, so one parent block could prove work for two ranges."""

    place: str
    count: int

    def __str__(self) -> str:
        return f"the coinbase contains {self.count} commitments in its {self.place}; only one is allowed"


@attrs.frozen
class CommitmentMisplaced(InvalidWork):
    """The commitment is incomplete, or in none of: the scriptSig, one OP_RETURN push, a whole output script."""

    place: str

    def __str__(self) -> str:
        return f"the commitment in the coinbase's {self.place} is not 44 bytes in one of the three accepted forms"


class WrongCommitment(Differs, InvalidWork):
    """The committed root differs from the root of the work's hash and the chain branch. Both are as displayed."""

    rule = "committed merkle root"


class WrongTreeSize(Differs, InvalidWork):
    """The committed tree size is not 2 to the power of the length of the chain branch."""

    rule = "size of the commitment's tree"


class WrongTreeIndex(Differs, InvalidWork):
    """The index in the tree is not the one that follows from nonce and chain id."""

    rule = "index in the commitment's tree"


@attrs.frozen
class NotEnoughWork(InvalidWork):
    """The parent block's hash, as a number, is above the target."""

    target: int
    found: int

    def __str__(self) -> str:
        return f"the parent block's hash {self.found:064x} is above the target {self.target:064x}"


@attrs.frozen
class BadEvidence(Refused):
    """Evidence does not show that an authority has broken the approval rule."""

    reason: str

    def __str__(self) -> str:
        return f"the evidence proves nothing: {self.reason}"
