"""A federation: its members make and approve blocks and hold the deposits."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import attrs

from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.units import Slot

Value = TypeVar("Value")

Role = Literal["authority", "follower"]
"""The role of a node. An authority has a key and makes and approves blocks; a follower only validates blocks."""


def quorum_of(members: int) -> int:
    """The quorum of a federation of n `members`: ceil(2n/3) (docs/protocol.md, "Approvals and quorum")."""
    return -(-2 * members // 3)


@attrs.frozen
class Federation:
    """The authorities' keys, the members' Bitcoin keys, and the addresses that share the federation's fees.

    A member is identified by its index in these tuples. `bitcoin_keys` are x-only (32 bytes, BIP-340).

    While one federation hands over to the next (docs/protocol.md, "Changes of the federation"), blocks need a
    quorum of both. Then `former` has the indices of the members of the former federation. Those of them that leave
    come last in `authorities`, after the members of the new federation; they have no Bitcoin key there.
    `leaving` is their number.
    """

    authorities: tuple[BlsPublicKey, ...]
    bitcoin_keys: tuple[bytes, ...]
    fee_addresses: tuple[EvmAddress, ...]
    former: tuple[int, ...] = ()
    leaving: int = 0

    @property
    def members(self) -> int:
        """The number of members. Slots rotate through them; in a hand-over, further authorities approve."""
        return len(self.authorities) - self.leaving

    @property
    def quorum(self) -> int:
        """The least number of approvals with which a block can count as approved. `has_quorum` decides.

        In a hand-over, members of both federations count for both.
        """
        new = quorum_of(self.members)
        if not self.former:
            return new
        old, both = quorum_of(len(self.former)), len(self.former) - self.leaving
        return max(new, old, new + old - both)

    def has_quorum(self, signers: Sequence[bool]) -> bool:
        """Whether the authorities whose bits are set are a quorum: in a hand-over, of both federations."""
        if sum(signers[: self.members]) < quorum_of(self.members):
            return False
        return not self.former or self.former_approvals(signers) >= quorum_of(len(self.former))

    def lacking(self, signers: Sequence[bool]) -> tuple[int, int, str]:
        """The approvals that a quorum needs, those that `signers` has, and the members whose approvals these are.

        In a hand-over they are those of the federation that lacks approvals: the "new" members or the "former"
        ones. Otherwise the text is empty.
        """
        if not self.former:
            return self.quorum, sum(signers), ""
        new = quorum_of(self.members), sum(signers[: self.members])
        if new[1] < new[0]:
            return *new, "new"
        return quorum_of(len(self.former)), self.former_approvals(signers), "former"

    def former_approvals(self, signers: Sequence[bool]) -> int:
        """The number of approvals by members of the former federation, in a hand-over."""
        return sum(signers[index] for index in self.former)

    def author(self, slot: Slot) -> int:
        """The index of the authority that may make the block of `slot`. Slots rotate through the members."""
        return slot % self.members

    def successor(self, update: "Federation") -> "Federation":
        """The federation in the hand-over from this one to `update`. This one is in no hand-over."""
        leaving = tuple(key for key in self.authorities if key not in update.authorities)
        authorities = update.authorities + leaving
        former = tuple(sorted(authorities.index(key) for key in self.authorities))
        return attrs.evolve(update, authorities=authorities, former=former, leaving=len(leaving))

    def settled(self) -> "Federation":
        """The same federation after the hand-over."""
        return attrs.evolve(self, authorities=self.authorities[: self.members], former=(), leaving=0)

    def by_index(self, values: Mapping[BlsPublicKey, Value]) -> dict[int, Value]:
        """The `values` of authorities by their indices. Those of other keys are left out."""
        return {index: values[key] for index, key in enumerate(self.authorities) if key in values}

    def signed_by(self, signers: Sequence[bool]) -> frozenset[BlsPublicKey]:
        """The keys of the authorities whose bits are set. There is one bit per authority."""
        return frozenset(key for key, given in zip(self.authorities, signers, strict=True) if given)

    def renumbered(self, signers: Sequence[bool], other: "Federation") -> tuple[bool, ...] | None:
        """The bits here of the authorities whose bits are set in `signers`, which has the numbers of `other`.

        None if one of them is no authority here, or `signers` does not have one bit per authority of `other`.
        """
        if len(signers) != len(other.authorities):
            return None
        keys = other.signed_by(signers)
        return tuple(key in keys for key in self.authorities) if keys <= set(self.authorities) else None

    def author_key(self, slot: Slot) -> BlsPublicKey:
        """The key of the authority that may make the block of `slot`."""
        return self.authorities[self.author(slot)]

    def index_of(self, key: BlsPublicKey) -> int | None:
        """The index of the authority with this key; None if no authority has it."""
        return self.authorities.index(key) if key in self.authorities else None


@attrs.frozen
class SlotSteps:
    """The times of a block's steps at a node after its arrival, each in seconds from the start of its slot.

    The steps are: this authority approved the block, the node knew the approvals of a quorum, and the node had
    imported the block. The time of a step that the block has not reached is None.
    """

    approved: float | None = None
    quorum: float | None = None
    imported: float | None = None


@attrs.frozen
class SlotRecord:
    """A node's record of a slot, made when the time in which authorities approve its block is over.

    `author` is the index of the slot's author. `seconds` is the time from the start of the slot until the author's
    block arrived, by the node's clock; None without a block. For the author's own node, that is when the block was
    signed. `approved` has the indices of the authorities that have approved it, as far as the node knows; `quorum`
    says whether they are a quorum. `steps` has the times of the later steps on this node.
    """

    slot: Slot
    author: int
    seconds: float | None
    approved: tuple[int, ...]
    quorum: bool
    steps: SlotSteps = SlotSteps()
