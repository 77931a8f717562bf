"""The violations of the rules of merged mining: one error class per rule that a proof of work can break."""

import attrs

from alysd.consensus.violations import Differs
from alysd.errors import InvalidWork
from alysd.types.hashes import displayed
from alysd.types.units import Slot


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
