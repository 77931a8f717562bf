"""One error for every rule a proof of work can break (docs/protocol.md, "Merged mining")."""

from typing import Any, ClassVar

import attrs

from alysd.consensus.violations import shown
from alysd.errors import InvalidWork
from alysd.types.hashes import displayed


@attrs.frozen
class WorkDiffers(InvalidWork):
    """A part of a proof is not what the rules make it; `rule` says in words which."""

    rule: ClassVar[str]
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.rule}: expected {shown(self.expected)}, found {shown(self.found)}"


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


class WrongHeaderChainId(WorkDiffers):
    """The header is of this chain."""

    rule = "chain id of the header"


class WrongRangeStart(WorkDiffers):
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


class WrongCoinbaseBranch(WorkDiffers):
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


class WrongCommitment(WorkDiffers):
    """The committed root is what the chain branch leads to from this work's hash; both as displayed."""

    rule = "committed merkle root"


class WrongTreeSize(WorkDiffers):
    """The committed size is 2 to the length of the chain branch."""

    rule = "size of the commitment's tree"


class WrongTreeIndex(WorkDiffers):
    """A chain has one place in the tree, derived from the nonce and its id: it cannot stand there twice."""

    rule = "index in the commitment's tree"


@attrs.frozen
class NotEnoughWork(InvalidWork):
    """The parent block's hash, as a number, is at most the target."""

    target: int
    found: int

    def __str__(self) -> str:
        return f"the parent block's hash {self.found:064x} is above the target {self.target:064x}"
