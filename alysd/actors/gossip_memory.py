"""The memory of gossip: which messages of the present slots this node has passed on already.

The node passes on at most two different proposals of one slot: two are evidence against their author. It passes on
every approval of these proposals, and at most two approvals of other blocks per authority and slot. Proofs of work
belong to no slot, so the memory keeps the newest ones.
"""

from collections import OrderedDict

import attrs

from alysd.types.hashes import BlockHash
from alysd.types.proposal import RecoveryStatement, SlotApproval
from alysd.types.units import Slot

MOST_PROPOSALS = 2
"""The number of different proposals of one slot that are passed on."""

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
    """The hashes of proposals, the digests of their encodings, and the approvals that were passed on.

    An approval is a pair of authority and block. `recovering` are the authorities whose recovery statements were
    passed on.
    """

    proposals: list[BlockHash] = attrs.field(factory=list[BlockHash])
    digests: set[bytes] = attrs.field(factory=set[bytes])
    approvals: set[tuple[int, BlockHash]] = attrs.field(factory=set[tuple[int, BlockHash]])
    recovering: set[int] = attrs.field(factory=set[int])


class GossipMemory:
    """Remembers the newest slots and proofs. Its size is bounded by the number of authorities."""

    def __init__(self) -> None:
        self._slots: dict[Slot, _SlotMemory] = {}
        self._proofs: OrderedDict[bytes, None] = OrderedDict()

    def wants_proposal(self, slot: Slot) -> bool:
        """Whether one more proposal of `slot` would be passed on if it differs from those before."""
        memory = self._slots.get(slot)
        return memory is None or len(memory.proposals) < MOST_PROPOSALS

    def knows_proposal(self, slot: Slot, block: BlockHash) -> bool:
        """Whether the proposal `block` of `slot` was added."""
        memory = self._slots.get(slot)
        return memory is not None and block in memory.proposals

    def knows_digest(self, slot: Slot, digest: bytes) -> bool:
        """Whether `digest` was added: a proposal that has it need not be decoded again."""
        memory = self._slots.get(slot)
        return memory is not None and digest in memory.digests

    def add_digest(self, slot: Slot, digest: bytes) -> None:
        """Add the digest of the encoded block of a proposal that was added. A block has only one encoding."""
        self._at(slot).digests.add(digest)

    def add_proposal(self, slot: Slot, block: BlockHash) -> bool:
        """Add a checked proposal. Returns False if it was added before, or there is no place for it."""
        if not self.wants_proposal(slot) or self.knows_proposal(slot, block):
            return False
        self._at(slot).proposals.append(block)
        return True

    def wants_approval(self, approval: SlotApproval) -> bool:
        """Whether this approval would be passed on."""
        memory = self._slots.get(approval.slot)
        if memory is None:
            return True
        if (approval.authority, approval.block) in memory.approvals:
            return False
        if approval.block in memory.proposals:
            return True
        unknown = [
            block
            for authority, block in memory.approvals
            if authority == approval.authority and block not in memory.proposals
        ]
        return len(unknown) < MOST_UNKNOWN

    def add_approval(self, approval: SlotApproval) -> None:
        """Add a checked approval."""
        self._at(approval.slot).approvals.add((approval.authority, approval.block))

    def wants_recovery(self, statement: RecoveryStatement) -> bool:
        """Whether this statement would be passed on: the first one of its authority and slot."""
        memory = self._slots.get(statement.slot)
        return memory is None or statement.authority not in memory.recovering

    def add_recovery(self, statement: RecoveryStatement) -> None:
        """Add a checked statement."""
        self._at(statement.slot).recovering.add(statement.authority)

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
