"""One error for every rule a block can break (docs/protocol.md, "Validity, in order of cost").

Those of a proof of work are in `consensus.work_violations`.
"""

from typing import Any, ClassVar

import attrs

from alysd.errors import InvalidBlock
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Slot


def shown(value: object) -> str:
    """A value as an error shows it: bytes in hex."""
    return value.hex() if isinstance(value, bytes) else str(value)


@attrs.frozen
class BlockDiffers(InvalidBlock):
    """A field of a block is not what the rules make it; `rule` says in words which."""

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


class WrongApprovalLength(BlockDiffers):
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


class WrongExecutionParent(BlockDiffers):
    """The payload builds on the parent's payload."""

    rule = "execution parent hash"


class WrongBlockNumber(BlockDiffers):
    """The execution block number is the parent's plus one."""

    rule = "execution block number"


class WrongTimestamp(BlockDiffers):
    """The execution timestamp is exactly the slot's start."""

    rule = "execution timestamp"


class WrongRandao(BlockDiffers):
    """`prev_randao` is sha256 of parent hash and slot."""

    rule = "prev_randao"


class WrongFeeRecipient(BlockDiffers):
    """Priority fees go to the burn address."""

    rule = "fee recipient"


class WrongBlobGas(BlockDiffers):
    """There are no blobs: nobody keeps or serves them here."""

    rule = "blob gas used"


class WrongWithdrawals(BlockDiffers):
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
