"""A Byzantine member: a whole node whose endpoint of the network lies with the member's key.

The node itself follows the rules. Its endpoint changes its messages: it proposes a second block in its slots,
approves everything, holds back blocks and approvals, sends garbage, and gives false answers.
"""

from collections.abc import Callable, Sequence
from random import Random

import attrs
import trio

from alysd.consensus.federation import approval_message, federation_at
from alysd.consensus.payload import payload_attributes
from alysd.errors import Malformed
from alysd.ports import Bls, GossipSink
from alysd.testing.chain import ChainHand
from alysd.testing.engine import FakeEngine
from alysd.testing.federation.gossip import SimulatedGossip
from alysd.testing.federation.memory_store import MemoryStore
from alysd.testing.federation.peg.adversary import PegLiar
from alysd.testing.federation.signer import Signed
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.hashes import BlsSignature
from alysd.types.peers import GossipVerdict, PeerAddress, StreamKind, Topic
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import block_hash, slot_proof
from alysd.wire.execution_header import block_hash_of
from alysd.wire.gossip import APPROVAL_BYTES, decode_proposal, encode_approval, encode_proposal

HELD_SLOTS = 2.5
"""The longest time, in slots, for which a block or an approval is held back."""

FORK_DEPTH = 6
"""The number of newest canonical blocks on one of which a second block builds."""


@attrs.frozen
class Habits:
    """The probability of each misbehaviour, each time that it is possible. `garbage` is per second."""

    equivocate: float = 0.0
    fork: float = 0.0
    approve_all: float = 0.0
    withhold_approval: float = 0.0
    withhold_block: float = 0.0
    garbage: float = 0.0
    false_answers: float = 0.0


@attrs.define(eq=False)
class Liar:
    """The means of a Byzantine member to lie: its key, its node's blocks, and a source of randomness.

    `note` takes descriptions of its lies, and `peg` lies about the peg, if there is one.
    """

    index: int
    secret: bytes
    habits: Habits
    hand: ChainHand
    scheme: Bls
    store: MemoryStore
    engine: FakeEngine
    choices: Random
    signed: Signed
    note: Callable[[str], object]
    peg: PegLiar | None = None

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.choices.random() < probability

    def approval(self, proposal: Proposal) -> SlotApproval:
        """Approve any block."""
        block, identity = proposal.signed.block, proposal.signed.hash
        self.signed(block, identity)
        message = approval_message(self.hand.context.genesis, identity)
        return SlotApproval(slot_proof(block), self.index, self.scheme.sign(self.secret, message))

    async def second_proposal(self, slot: Slot) -> Proposal:
        """Make another block of this member's `slot`, on the newest block or on an earlier one."""
        head = self.store.forkchoice().head
        back = self.choices.randrange(FORK_DEPTH) if self.chance(self.habits.fork) else 0
        signed = self.store.canonical_range(Height(max(head.height - back, 0)), 1)[0]
        parent = self.store.state(signed.hash)
        attributes = payload_attributes(parent, slot, None, self.hand.context)
        engine = attrs.evolve(self.engine)  # a client of its own, so that the node's keeps its head
        on = parent.payload_hash
        payload = await engine.build_payload(on, on, on, attributes)
        payload = attrs.evolve(payload, extra_data=self.choices.randbytes(8))
        payload = attrs.evolve(payload, block_hash=block_hash_of(payload, attributes.parent_beacon_block_root))
        block = Block(parent.hash, slot, payload)
        return self._authored(block, None if parent.hash == self.hand.context.genesis else signed.approvals)

    def false_proposal(self, proposal: Proposal) -> tuple[Proposal, str] | None:
        """The member's own proposal with a lie about the peg, and the lie; None to tell none."""
        block = proposal.signed.block
        told = self.peg and self.peg.block(block, self.store.state(block.parent_hash))
        if not told:
            return None
        false, words = told
        return self._authored(false, proposal.parent_approvals), words

    def _authored(self, block: Block, parents: Approvals | None) -> Proposal:
        """A proposal of this member with its approval."""
        none = Approvals((), BlsSignature(b""))
        unsigned = SignedBlock(block_hash(block), block, none)
        own = self.approval(Proposal(unsigned, None))
        members = len(federation_at(self.hand.genesis_state, self.hand.context).authorities)
        author = Approvals(tuple(index == self.index for index in range(members)), own.signature)
        return Proposal(attrs.evolve(unsigned, approvals=author), parents)


@attrs.define(eq=False)
class LyingGossip:
    """Implements `alysd.ports.Gossip` over `endpoint`, with the habits of `liar`."""

    endpoint: SimulatedGossip
    liar: Liar

    async def run(self, sink: GossipSink) -> None:
        """Connect to the network until cancelled, and send garbage now and then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._litter)
            await self.endpoint.run(_LyingSink(sink, self))
            nursery.cancel_scope.cancel()

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Send `data`, or something else, now or later, to all peers or to some."""
        liar, peers = self.liar, list(self.endpoint.links)
        if topic is Topic.PROPOSAL:
            await self._propose(data, peers)
        elif topic is Topic.PEG_SIGNATURE and liar.peg is not None:
            false = liar.peg.signature(data)
            if false is not None:
                await self.endpoint.publish(topic, false)
        elif topic is Topic.APPROVAL and liar.chance(liar.habits.withhold_approval):
            self._later(topic, data, peers)
        else:
            await self.endpoint.publish(topic, data)

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        """Send a request."""
        return await self.endpoint.request(peer, kind, request, max_bytes, seconds)

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Disconnect."""
        await self.endpoint.disconnect(peer, seconds)

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        """Change the peers."""
        await self.endpoint.change_peers(peers, max_inbound)

    async def consider(self, data: bytes) -> None:
        """Approve the proposal of another member, whatever it is."""
        liar = self.liar
        if not liar.chance(liar.habits.approve_all):
            return
        try:
            approval = liar.approval(decode_proposal(data))
        except Malformed:
            return
        encoded, peers = encode_approval(approval), list(self.endpoint.links)
        if liar.chance(liar.habits.withhold_approval):
            self._later(Topic.APPROVAL, encoded, peers)
        else:
            self.endpoint.send(Topic.APPROVAL, encoded, peers)

    async def _propose(self, data: bytes, peers: Sequence[str]) -> None:
        liar = self.liar
        if liar.peg is not None and (false := liar.false_proposal(decode_proposal(data))):
            proposal, words = false
            liar.note(f"lies: {words}")
            data = encode_proposal(proposal)
        late: list[str] = []
        if liar.chance(liar.habits.withhold_block):
            # From all, or from some: these get it from the others.
            late = list(peers) if liar.chance(0.5) else [peer for peer in peers if liar.chance(0.6)]
        soon = [peer for peer in peers if peer not in late]
        if liar.chance(liar.habits.equivocate):
            second = encode_proposal(await liar.second_proposal(decode_proposal(data).signed.block.slot))
            self.endpoint.send(Topic.PROPOSAL, second, [peer for peer in peers if liar.chance(0.6)])
            soon = [peer for peer in soon if liar.chance(0.6)]
        self.endpoint.send(Topic.PROPOSAL, data, soon)
        self._later(Topic.PROPOSAL, data, late)

    def _later(self, topic: Topic, data: bytes, peers: Sequence[str]) -> None:
        wait = HELD_SLOTS * self.liar.hand.spec.slot_seconds * self.liar.choices.random()
        self.endpoint.network.agenda.after(wait, lambda: self.endpoint.send(topic, data, peers))

    async def _litter(self) -> None:
        choices = self.liar.choices
        while True:
            await trio.sleep(1)
            if self.liar.chance(self.liar.habits.garbage):
                junk = choices.randbytes(choices.choice((0, 1, APPROVAL_BYTES, 1000)))
                self.endpoint.send(choices.choice(list(Topic)), junk, list(self.endpoint.links))


@attrs.frozen
class _LyingSink:
    """Passes on to the node's `sink`, except for answers that are replaced by garbage."""

    sink: GossipSink
    gossip: LyingGossip

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        await self.sink.connected(peer, address, inbound=inbound)

    async def lost(self, peer: str) -> None:
        await self.sink.lost(peer)

    async def judge(self, peer: str, topic: Topic, data: bytes) -> GossipVerdict:
        if topic is Topic.PROPOSAL:
            await self.gossip.consider(data)
        return await self.sink.judge(peer, topic, data)

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        liar, answer = self.gossip.liar, await self.sink.answer(peer, kind, request)
        if not liar.chance(liar.habits.false_answers):
            return answer
        junk = liar.choices.randbytes(100)
        return liar.choices.choice((b"", junk, answer[:-1], answer[::-1]))
