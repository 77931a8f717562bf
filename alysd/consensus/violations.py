"""One error for every rule that a block or a proof of work can break (docs/protocol.md)."""

from typing import Any, ClassVar

import attrs

from alysd.errors import InvalidBlock, InvalidWork, Refused
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Slot


def shown(value: object) -> str:
    """A value as an error shows it: bytes in hex."""
    return value.hex() if isinstance(value, bytes) else str(value)


@attrs.frozen
class Differs(Refused):
    """A part of a block, or of a proof, is not what the rules make it; `rule` says in words which."""

    rule: ClassVar[str]
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.rule}: expected {shown(self.expected)}, found {shown(self.found)}"


@attrs.frozen
class UnknownParent(InvalidBlock):
    """The node has no block `parent` that is final or above: the block's past is missing, or was abandoned."""

    parent: BlockHash

    def __str__(self) -> str:
        return f"no block {displayed(self.parent)} among the final one and those above it"


@attrs.frozen
class SlotNotAfterParent(InvalidBlock):
    """One block a slot at most: a block's slot is later than its parent's."""

    parent: Slot
    found: Slot

    def __str__(self) -> str:
        return f"slot {self.found} is not after the parent's slot {self.parent}"


@attrs.frozen
class SlotTooEarly(InvalidBlock):
    """The slot begins more than half a slot from now; `ahead` and `allowed` in seconds."""

    slot: Slot
    ahead: float
    allowed: float

    def __str__(self) -> str:
        return f"slot {self.slot} begins {self.ahead:.1f} s from now, {self.allowed:.1f} s are allowed"


@attrs.frozen
class BlockTooLarge(InvalidBlock):
    """The encoded block is larger than the chain's `max_block_bytes`; both in bytes."""

    limit: int
    found: int

    def __str__(self) -> str:
        return f"the block takes {self.found} bytes, {self.limit} are allowed"


class WrongApprovalLength(Differs, InvalidBlock):
    """The approvals' bit list has one bit an authority."""

    rule = "bits in the list of approvals"


@attrs.frozen
class AuthorMissing(InvalidBlock):
    """The author of a slot approves its own block; `author` is the index of the authority whose turn it is."""

    slot: Slot
    author: int

    def __str__(self) -> str:
        return f"authority {self.author}, whose turn slot {self.slot} is, has not approved the block"


@attrs.frozen
class BelowQuorum(InvalidBlock):
    """A block may be imported from ceil(2n/3) approvals on."""

    quorum: int
    found: int

    def __str__(self) -> str:
        return f"{self.found} approvals, {self.quorum} are needed"


@attrs.frozen
class BadApprovalSignature(InvalidBlock):
    """The aggregate signature is not one of the `approvals` authorities whose bits are set, over this block."""

    approvals: int

    def __str__(self) -> str:
        return f"the signature does not prove the {self.approvals} approvals that the block claims"


class WrongExecutionParent(Differs, InvalidBlock):
    """The payload builds on the parent's payload."""

    rule = "execution parent hash"


class WrongBlockNumber(Differs, InvalidBlock):
    """The execution block number is the parent's plus one."""

    rule = "execution block number"


class WrongTimestamp(Differs, InvalidBlock):
    """The execution timestamp is exactly the slot's start."""

    rule = "execution timestamp"


class WrongRandao(Differs, InvalidBlock):
    """`prev_randao` is sha256 of parent hash and slot."""

    rule = "prev_randao"


class WrongFeeRecipient(Differs, InvalidBlock):
    """Priority fees go to the burn address."""

    rule = "fee recipient"


class WrongBlobGas(Differs, InvalidBlock):
    """There are no blobs: nobody keeps or serves them here."""

    rule = "blob gas used"


class WrongWithdrawals(Differs, InvalidBlock):
    """The withdrawals are exactly those that the rules mint."""

    rule = "withdrawals"


@attrs.frozen
class HaltedWithoutWork(InvalidBlock):
    """More than `limit` blocks wait for a proof of work: only a block that includes one may follow."""

    limit: int

    def __str__(self) -> str:
        return f"more than {self.limit} blocks wait for a proof of work, and this block includes none"


@attrs.frozen
class PegNotActive(InvalidBlock):
    """The peg is not active on this chain: a block's `field` of the peg must be empty."""

    field: str
    count: int

    def __str__(self) -> str:
        return f"the peg is not active on this chain: {self.field} must be empty, found {self.count}"


@attrs.frozen
class InvalidPayload(InvalidBlock):
    """The execution client judges the payload invalid; `reason` in its words."""

    reason: str

    def __str__(self) -> str:
        return f"the execution client refuses the payload: {self.reason}"


@attrs.frozen
class BadTarget(InvalidWork):
    """Compact bits that stand for no target: negative, zero, or above 256 bits."""

    bits: int

    def __str__(self) -> str:
        return f"bits {self.bits:08x} are negative, zero or overflow"


class WorkMissing(InvalidWork):
    """The header of a block other than the genesis block has a proof."""

    def __str__(self) -> str:
        return "the header of merged mining comes without a proof"


class WrongHeaderChainId(Differs, InvalidWork):
    """The header is of this chain."""

    rule = "chain id of the header"


class WrongRangeStart(Differs, InvalidWork):
    """The range begins at the child of the last range's end."""

    rule = "first block of the range"

    def __str__(self) -> str:
        return f"{self.rule}: expected {displayed(self.expected)}, found {displayed(self.found)}"


@attrs.frozen
class WrongRangeEnd(InvalidWork):
    """The range ends in the block's own ancestry, after the last range's end."""

    found: bytes

    def __str__(self) -> str:
        found = displayed(self.found)
        return f"last block of the range: {found} is not between the last final block and the parent"


@attrs.frozen
class WrongBits(InvalidWork):
    """The target follows from the last one and the slots that the range takes."""

    expected: int
    found: int

    def __str__(self) -> str:
        return f"bits of the header: expected {self.expected:08x}, found {self.found:08x}"


@attrs.frozen
class ParentOfOurChain(InvalidWork):
    """The parent block is of another chain than ours: its version must not name `chain_id` (Namecoin)."""

    chain_id: int

    def __str__(self) -> str:
        return f"the parent block's version names our own chain id {self.chain_id}"


@attrs.frozen
class ChainBranchTooLong(InvalidWork):
    """The branch from the chain's place to the committed root has at most `limit` siblings (Namecoin)."""

    limit: int
    found: int

    def __str__(self) -> str:
        return f"the chain branch has {self.found} siblings, {self.limit} are allowed"


@attrs.frozen
class CoinbaseNotFirst(InvalidWork):
    """The coinbase is the parent block's first transaction: the index of its branch is 0."""

    index: int

    def __str__(self) -> str:
        return f"the coinbase branch has index {self.index}: the coinbase is the first transaction, index 0"


class WrongCoinbaseBranch(Differs, InvalidWork):
    """The coinbase branch leads to the parent header's merkle root."""

    rule = "merkle root of the parent block"


class CommitmentMissing(InvalidWork):
    """The coinbase commits to nothing."""

    def __str__(self) -> str:
        return "the coinbase holds no commitment (fabe6d6d)"


@attrs.frozen
class CommitmentTwice(InvalidWork):
    """One commitment in the place found, or the same work could be for two ranges."""

    place: str
    count: int

    def __str__(self) -> str:
        return f"the coinbase holds {self.count} commitments in its {self.place}, 1 is allowed"


@attrs.frozen
class CommitmentMisplaced(InvalidWork):
    """The commitment takes 44 bytes, in the scriptSig, in one OP_RETURN push, or as an output's whole script."""

    place: str

    def __str__(self) -> str:
        return f"the commitment in the coinbase's {self.place} is not 44 bytes in one of the three accepted forms"


class WrongCommitment(Differs, InvalidWork):
    """The committed root is what the chain branch leads to from this work's hash; both as displayed."""

    rule = "committed merkle root"


class WrongTreeSize(Differs, InvalidWork):
    """The committed size is 2 to the length of the chain branch."""

    rule = "size of the commitment's tree"


class WrongTreeIndex(Differs, InvalidWork):
    """A chain has one place in the tree, derived from the nonce and its id: it cannot stand there twice."""

    rule = "index in the commitment's tree"


@attrs.frozen
class NotEnoughWork(InvalidWork):
    """The parent block's hash, as a number, is at most the target."""

    target: int
    found: int

    def __str__(self) -> str:
        return f"the parent block's hash {self.found:064x} is above the target {self.target:064x}"
