"""The memory of gossip: which messages of the present slots this node has passed on already.

Of each author, the node passes on at most two different proposals of one slot: two are evidence against it. It
passes on every approval of these proposals, and at most two approvals of other blocks per authority and slot.
Proofs of work belong to no slot, so the memory keeps the newest ones.

An authority is known by its key. While the federation changes, a message may be valid with several indices, and
anyone can replace the index by another one. Such a copy must not count as the message of another authority.
"""

from collections import OrderedDict
from collections.abc import Collection

import attrs

from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.proposal import RecoveryStatement, SlotApproval
from alysd.types.units import Slot

MOST_PROPOSALS = 2
"""The number of different proposals of one slot and author that are passed on."""

MOST_UNKNOWN = 2
"""The number of approvals that are passed on per authority and slot although their block is unknown.

An honest authority approves one block per slot. A second approval proves that it is not honest, and further ones
add nothing.
"""

KEPT_PROOFS = 1024
"""The number of judged proofs of work that are remembered: more than honest peers send in five minutes."""

KEPT_SLOTS = 4
"""The number of slots that are remembered. At a time, messages of three slots are accepted (`check_window`)."""


@attrs.define
class _SlotMemory:
    """The hashes of proposals by their authors, the digests of their encodings, and the approvals passed on.

    An approval is a pair of authority and block. `recovering` are the authorities whose recovery statements were
    passed on. `copies` has the approvals and statements themselves, so that their copies need no check. A
    signature has one valid form, so an authority has at most as many copies as there are federations.
    """

    proposals: dict[BlsPublicKey, list[BlockHash]] = attrs.field(factory=dict[BlsPublicKey, list[BlockHash]])
    digests: set[bytes] = attrs.field(factory=set[bytes])
    approvals: set[tuple[BlsPublicKey, BlockHash]] = attrs.field(factory=set[tuple[BlsPublicKey, BlockHash]])
    recovering: set[BlsPublicKey] = attrs.field(factory=set[BlsPublicKey])
    copies: set[SlotApproval | RecoveryStatement] = attrs.field(factory=set[SlotApproval | RecoveryStatement])

    def knows(self, block: BlockHash) -> bool:
        return any(block in blocks for blocks in self.proposals.values())

    def wants(self, authority: BlsPublicKey, block: BlockHash) -> bool:
        if (authority, block) in self.approvals:
            return False
        unknown = [other for key, other in self.approvals if key == authority and not self.knows(other)]
        return self.knows(block) or len(unknown) < MOST_UNKNOWN


class GossipMemory:
    """Remembers the newest slots and proofs. Its size is bounded by the number of authorities."""

    def __init__(self) -> None:
        self._slots: dict[Slot, _SlotMemory] = {}
        self._proofs: OrderedDict[bytes, None] = OrderedDict()

    def wants_proposal(self, slot: Slot, authors: Collection[BlsPublicKey]) -> bool:
        """Whether one more proposal of one of the `authors` would be passed on if it differs from those before."""
        memory = self._slots.get(slot)
        return memory is None or any(len(memory.proposals.get(author, ())) < MOST_PROPOSALS for author in authors)

    def knows_proposal(self, slot: Slot, block: BlockHash) -> bool:
        """Whether the proposal `block` of `slot` was added."""
        memory = self._slots.get(slot)
        return memory is not None and memory.knows(block)

    def knows_digest(self, slot: Slot, digest: bytes) -> bool:
        """Whether `digest` was added: a proposal that has it need not be decoded again."""
        memory = self._slots.get(slot)
        return memory is not None and digest in memory.digests

    def add_digest(self, slot: Slot, digest: bytes) -> None:
        """Add the digest of the encoded block, with its author's approval, of a proposal that was added.

        Such a block has only one encoding per federation.
        """
        self._at(slot).digests.add(digest)

    def add_proposal(self, slot: Slot, block: BlockHash, author: BlsPublicKey) -> bool:
        """Add a checked proposal. Returns False if it was added before, or there is no place for it."""
        blocks = self._at(slot).proposals.setdefault(author, [])
        if len(blocks) >= MOST_PROPOSALS or block in blocks:
            return False
        blocks.append(block)
        return True

    def wants_approval(self, approval: SlotApproval, authorities: Collection[BlsPublicKey]) -> bool:
        """Whether this approval would be passed on if it is that of one of the `authorities`."""
        memory = self._slots.get(approval.slot)
        if memory is None:
            return True
        return approval not in memory.copies and any(memory.wants(key, approval.block) for key in authorities)

    def add_approval(self, approval: SlotApproval, authority: BlsPublicKey) -> bool:
        """Add a checked approval of `authority`. Returns whether it is to be passed on."""
        memory = self._at(approval.slot)
        wanted = memory.wants(authority, approval.block)
        if wanted:
            memory.approvals.add((authority, approval.block))
        if (authority, approval.block) in memory.approvals:
            memory.copies.add(approval)
        return wanted

    def wants_recovery(self, statement: RecoveryStatement, authorities: Collection[BlsPublicKey]) -> bool:
        """Whether this statement would be passed on: the first one of its slot by one of the `authorities`."""
        memory = self._slots.get(statement.slot)
        if memory is None:
            return True
        return statement not in memory.copies and any(key not in memory.recovering for key in authorities)

    def add_recovery(self, statement: RecoveryStatement, authority: BlsPublicKey) -> bool:
        """Add a checked statement of `authority`. Returns whether it is to be passed on."""
        memory = self._at(statement.slot)
        wanted = authority not in memory.recovering
        memory.recovering.add(authority)
        memory.copies.add(statement)
        return wanted

    def add_own(self, message: SlotApproval | RecoveryStatement) -> None:
        """Add a message of this node, which it sends itself. Copies of it need no check."""
        self._at(message.slot).copies.add(message)

    def knows_proof(self, digest: bytes) -> bool:
        """Whether the proof of work with this digest of its encoding was judged."""
        return digest in self._proofs

    def add_proof(self, digest: bytes) -> None:
        """Add the digest of a judged proof of work. A proof has only one encoding."""
        self._proofs[digest] = None
        if len(self._proofs) > KEPT_PROOFS:
            self._proofs.popitem(last=False)

    def _at(self, slot: Slot) -> _SlotMemory:
        memory = self._slots.get(slot)
        if memory is None:
            memory = self._slots[slot] = _SlotMemory()
            while len(self._slots) > KEPT_SLOTS:
                del self._slots[min(self._slots)]
        return memory
