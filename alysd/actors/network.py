"""The network actor: judges gossip, knows the connected peers, and keeps their scores.

Each message of gossip is judged in the order of cost: size and slot, the memory of the slot, the peer's rate, and
only then the signature, in a worker thread (docs/protocol.md, "Network").
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median
from typing import TypeVar

import attrs
import trio

from alysd.actors.gossip_memory import MOST_PROPOSALS, GossipMemory
from alysd.actors.peer_client import PeerClient
from alysd.actors.peer_scores import BAN_SECONDS, BOUND, PeerScores
from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.consensus.candidates import check_proposal, check_slot_approval, check_window
from alysd.consensus.federation import federation_at
from alysd.consensus.recovery import check_statement
from alysd.errors import InvalidBlock, Malformed, PeerUnavailable, Refused
from alysd.messages.approval import ApprovalGathering, ConsiderProposal, CountApproval, NoteRecovery
from alysd.messages.log.base import log
from alysd.messages.log.network import ClocksAgree, ClocksDiffer, PeerBanned
from alysd.messages.network import (
    BlamePeer,
    GetPeers,
    GossipReceived,
    Network,
    PeerConnected,
    PeerInfo,
    PeerLost,
    PollPeers,
    PublishApproval,
    PublishProposal,
    PublishRecovery,
)
from alysd.messages.peer_host import DisconnectPeer, PublishGossip, ReportPeers
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import PeerAhead, Sync
from alysd.nurseries import Actor, Address, NotAnswered, Tell, handles
from alysd.ports import Bls, Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.peers import GossipVerdict, PeerOffence, PeerStatus, Topic
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Slot
from alysd.wire.block_ssz import slot_proof
from alysd.wire.gossip import (
    MAX_PROPOSAL_BYTES,
    EncodedProposal,
    decode_approval,
    decode_proposal,
    decode_recovery,
    encode_approval,
    encode_proposal,
    encode_recovery,
    proposal_slot,
)

P = TypeVar("P")

POLL_SECONDS = 10.0
"""The interval of the requests for the status of all peers: a node that is behind notices it within this time."""

MAX_PEERS = 256
"""The maximum number of peers that the actor knows. The peer host accepts fewer connections."""


PROPOSALS_PER_SLOT = 2
"""The number of proposals that an honest peer sends per slot, at most."""

APPROVALS_PER_SLOT = 4
"""The number of approvals that an honest peer sends per slot and authority: two of known blocks, two of others."""

ALLOWED_PER_SLOT = 2.0
"""The messages that a peer may send per slot, as a multiple of what an honest one sends."""

ALLOWED_AT_ONCE = 4.0
"""The messages that a peer may send at once, in the same unit: messages may be late."""


@attrs.frozen
class NetworkMemory:
    """The state of the actor that survives its restarts: scores and rates of peers, and the memory of gossip.

    A crash would otherwise forgive every peer. The connected peers are not part of it: the peer host reports them.
    `rates` limits each peer, per topic. Its unit is what an honest peer sends in one slot.
    """

    scores: PeerScores
    gossip: GossipMemory
    rates: Mapping[Topic, RateLimits]

    @classmethod
    def of(cls, timing: Timing) -> "NetworkMemory":
        """An empty memory."""
        rate = AllowedRate(per_second=ALLOWED_PER_SLOT / timing.slot_seconds, burst=ALLOWED_AT_ONCE)
        return cls(PeerScores(), GossipMemory(), {topic: RateLimits(rate) for topic in Topic})


@attrs.define
class _Peer:
    """A connected peer. `ahead` is the least difference between its clock and this node's, in seconds.

    `asked` has the kinds of requests that are open, so that each kind is open only once.
    """

    address: str
    inbound: bool
    status: PeerStatus | None = None
    ahead: float | None = None
    asked: set[str] = attrs.field(factory=set[str])


class NetworkActor(Actor[Network]):
    """Judges what peers send, tells the other actors what is new, and publishes what this node makes.

    It never waits for a peer while it handles a message: requests run in its background.
    """

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        bls: Bls,
        memory: NetworkMemory,
        client: PeerClient,
        reader: Address[Reads],
        approval: Address[ApprovalGathering],
        sync: Address[Sync],
        timing: Timing,
    ) -> None:
        self._context = context
        self._clock = clock
        self._bls = bls
        self._memory = memory
        self._client = client
        self._host = client.host
        self._reader = reader
        self._approval = approval
        self._sync = sync
        self._timing = timing
        self._peers: dict[str, _Peer] = {}
        self._clocks_differ = False
        self._federation: Federation
        # One job of each kind per peer, see `_start`.
        self._send_job, self._jobs = trio.open_memory_channel[Callable[[], Awaitable[None]]](2 * MAX_PEERS)

    async def pre_start(self) -> None:
        """Ask the peer host for the connected peers: some have connected before this instance started."""
        await self._read_federation()
        _tell(self._host, ReportPeers())
        self.timers.every(POLL_SECONDS, PollPeers())

    async def background(self) -> None:
        """Run the requests to peers, side by side."""
        async with trio.open_nursery() as nursery:
            async for job in self._jobs:
                nursery.start_soon(job)

    # Peers

    @handles(PeerConnected)
    async def connected(self, message: PeerConnected) -> None:
        """Remember the peer, and ask for its status at once."""
        if message.peer not in self._peers and len(self._peers) < MAX_PEERS:
            self._peers[message.peer] = _Peer(message.address, message.inbound)
            self._start(message.peer, "status", self._ask_status)

    @handles(PeerLost)
    async def lost(self, message: PeerLost) -> None:
        """Forget the peer, but not its score."""
        self._peers.pop(message.peer, None)

    @handles(PollPeers)
    async def poll(self, message: PollPeers) -> None:
        """Ask every peer for its status."""
        for peer in self._peers:
            self._start(peer, "status", self._ask_status)
        self._compare_clocks()
        await self._read_federation()

    @handles(BlamePeer)
    async def blame(self, message: BlamePeer) -> None:
        """Lower the peer's score; disconnect it if the score falls too low."""
        score = self._memory.scores.penalise(message.peer, message.offence, trio.current_time())
        if score <= BOUND:
            self._ban(message.peer, message.offence)

    @handles(GetPeers)
    async def peers(self, message: GetPeers) -> tuple[PeerInfo, ...]:
        """The connected peers."""
        now, scores = trio.current_time(), self._memory.scores
        return tuple(
            PeerInfo(name, peer.address, peer.inbound, scores.score(name, now), peer.status)
            for name, peer in self._peers.items()
        )

    async def _read_federation(self) -> None:
        """Read the federation that makes and approves the children of the head."""
        tip = await self._reader.ask(ReadForkchoice(), seconds=self._timing.local_answer)
        self._federation = federation_at(tip.head, self._context)

    def _ban(self, peer: str, offence: PeerOffence) -> None:
        seconds = BAN_SECONDS[offence]
        log(PeerBanned(peer, offence.value, seconds))
        self._peers.pop(peer, None)
        _tell(self._host, DisconnectPeer(peer, offence.value, seconds))

    def _start(self, peer: str, kind: str, job: Callable[[str], Awaitable[None]]) -> None:
        """Start a request to `peer`, unless one of this kind is open."""
        known = self._peers.get(peer)
        if known is not None and kind not in known.asked:
            known.asked.add(kind)
            self._send_job.send_nowait(partial(self._run, known, kind, partial(job, peer)))

    async def _run(self, known: _Peer, kind: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except (PeerUnavailable, Malformed):
            return  # the client has reported the peer
        finally:
            known.asked.discard(kind)

    async def _ask_status(self, peer: str) -> None:
        before = self._clock.time()
        status = await self._client.status(peer)
        known = self._peers.get(peer)
        if known is None:
            return
        if status.genesis != self._context.genesis:
            self._client.blame(peer, PeerOffence.OTHER_CHAIN)
            return
        known.status = status
        known.ahead = _least_difference(status.time, before, self._clock.time())
        _tell(self._sync, PeerAhead(peer, status))

    def _compare_clocks(self) -> None:
        """Log when the median difference of the peers' clocks exceeds half a slot, and when it no longer does.

        Half a slot is the difference at which other nodes refuse this node's blocks.
        """
        known = [peer.ahead for peer in self._peers.values() if peer.ahead is not None]
        if not known:
            return
        ahead = median(known)
        differ = abs(ahead) > self._timing.slot_seconds / 2
        if differ and not self._clocks_differ:
            log(ClocksDiffer(ahead, len(known)))
        elif self._clocks_differ and not differ:
            log(ClocksAgree())
        self._clocks_differ = differ

    # Gossip

    @handles(GossipReceived)
    async def judge(self, message: GossipReceived) -> GossipVerdict:
        """Judge one message. Takes a few milliseconds, and up to 0.2 s for the most expensive proposal."""
        judge = {
            Topic.PROPOSAL: self._judge_proposal,
            Topic.APPROVAL: self._judge_approval,
            Topic.RECOVERY: self._judge_recovery,
        }.get(message.topic)
        try:
            return GossipVerdict.IGNORE if judge is None else await judge(message.peer, message.data)
        except Malformed:
            self._client.blame(message.peer, PeerOffence.MALFORMED)
        except Refused:
            self._client.blame(message.peer, PeerOffence.FORGED)
        return GossipVerdict.REJECT

    async def _judge_proposal(self, peer: str, data: bytes) -> GossipVerdict:
        slot, now = proposal_slot(data), self._clock.time()
        if not self._is_present(slot, now) or not self._memory.gossip.wants_proposal(slot):
            return GossipVerdict.IGNORE
        if not self._within_rate(peer, Topic.PROPOSAL, PROPOSALS_PER_SLOT):
            return GossipVerdict.IGNORE

        def decode_and_check() -> Proposal:
            proposal = decode_proposal(data)
            check_proposal(proposal, self._federation, self._context, now, self._bls.verify)
            return proposal

        proposal = await trio.to_thread.run_sync(decode_and_check)
        return GossipVerdict.ACCEPT if self._consider(proposal, peer) else GossipVerdict.IGNORE

    async def _judge_approval(self, peer: str, data: bytes) -> GossipVerdict:
        approval, now = decode_approval(data), self._clock.time()
        if not self._is_present(approval.slot, now) or not self._memory.gossip.wants_approval(approval):
            return GossipVerdict.IGNORE
        if not self._within_rate(peer, Topic.APPROVAL, APPROVALS_PER_SLOT * len(self._federation.authorities)):
            return GossipVerdict.IGNORE
        await trio.to_thread.run_sync(
            check_slot_approval, approval, self._federation, self._context, now, self._bls.verify
        )
        self._memory.gossip.add_approval(approval)
        _tell(self._approval, CountApproval(approval))
        if not self._memory.gossip.knows_proposal(approval.slot, approval.block):
            self._start(peer, "proposals", partial(self._fetch_proposal, approval))
        return GossipVerdict.ACCEPT

    async def _judge_recovery(self, peer: str, data: bytes) -> GossipVerdict:
        statement, now = decode_recovery(data), self._clock.time()
        if not self._is_present(statement.slot, now) or not self._memory.gossip.wants_recovery(statement):
            return GossipVerdict.IGNORE
        if not self._within_rate(peer, Topic.RECOVERY, len(self._federation.authorities)):
            return GossipVerdict.IGNORE
        await trio.to_thread.run_sync(
            check_statement, statement, self._federation, self._context, now, self._bls.verify
        )
        self._memory.gossip.add_recovery(statement)
        _tell(self._approval, NoteRecovery(statement))
        return GossipVerdict.ACCEPT

    def _is_present(self, slot: Slot, now: float) -> bool:
        """Whether proposals and approvals of this slot are handled now. Peers with other clocks are not blamed."""
        try:
            check_window(slot, self._context.spec, now)
        except InvalidBlock:
            return False
        return True

    def _within_rate(self, peer: str, topic: Topic, per_slot: int) -> bool:
        allowed = self._memory.rates[topic].take(peer, trio.current_time(), 1 / per_slot)
        if not allowed:
            self._client.blame(peer, PeerOffence.FLOODING)
        return allowed

    def _consider(self, proposal: Proposal, peer: str) -> bool:
        """Tell the approval workflow of a checked proposal, if it is new and one of the first two of its slot."""
        signed = proposal.signed
        if not self._memory.gossip.add_proposal(signed.block.slot, signed.hash):
            return False
        _tell(self._approval, ConsiderProposal(proposal, peer))
        return True

    async def _fetch_proposal(self, approval: SlotApproval, peer: str) -> None:
        """Get the proposal that `approval` announces from `peer`, unless gossip brings it first."""
        await trio.sleep(self._timing.proposal_wait)
        if self._memory.gossip.knows_proposal(approval.slot, approval.block):
            return
        found = await self._client.proposals_since(peer, approval.slot)
        for encoded in [one for one in found if one.signed.block.slot == approval.slot][:MOST_PROPOSALS]:
            slot, now = approval.slot, self._clock.time()
            if not self._is_present(slot, now) or not self._memory.gossip.wants_proposal(slot):
                return

            def check(encoded: EncodedProposal = encoded, now: float = now) -> Proposal:
                proposal = encoded.proposal()
                check_proposal(
                    proposal, self._federation, self._context, now, self._bls.verify, author_alone=False
                )
                return proposal

            try:
                proposal = await trio.to_thread.run_sync(check)
            except Refused:
                self._client.blame(peer, PeerOffence.FALSE_PROPOSAL)
                return
            self._consider(proposal, peer)

    # What this node makes

    @handles(PublishProposal)
    async def publish_proposal(self, message: PublishProposal) -> None:
        """Send the proposal to all peers; or only its author's approval if it is too large. Then they fetch it."""
        signed = message.proposal.signed
        self._memory.gossip.add_proposal(signed.block.slot, signed.hash)
        data = await trio.to_thread.run_sync(encode_proposal, message.proposal)
        if len(data) <= MAX_PROPOSAL_BYTES:
            _tell(self._host, PublishGossip(Topic.PROPOSAL, data))
        else:
            approvals, proof = signed.approvals, await trio.to_thread.run_sync(slot_proof, signed.block)
            self._publish(SlotApproval(proof, approvals.signers.index(True), approvals.signature))

    @handles(PublishApproval)
    async def publish_approval(self, message: PublishApproval) -> None:
        """Send the approval to all peers."""
        self._publish(message.approval)

    @handles(PublishRecovery)
    async def publish_recovery(self, message: PublishRecovery) -> None:
        """Send the statement to all peers."""
        self._memory.gossip.add_recovery(message.statement)
        _tell(self._host, PublishGossip(Topic.RECOVERY, encode_recovery(message.statement)))

    def _publish(self, approval: SlotApproval) -> None:
        self._memory.gossip.add_approval(approval)
        _tell(self._host, PublishGossip(Topic.APPROVAL, encode_approval(approval)))

    def visible_state(self) -> Mapping[str, object]:
        """The connected peers, with their scores and the differences of their clocks in seconds."""
        now, scores = trio.current_time(), self._memory.scores
        return {
            name: {"address": peer.address, "score": scores.score(name, now), "clock_ahead": peer.ahead}
            for name, peer in self._peers.items()
        }


def _least_difference(theirs: float, before: float, after: float) -> float:
    """The least difference of two clocks: a peer read `theirs` at some time from `before` to `after` on this node.

    A busy machine takes seconds to answer. The middle of that time would be wrong by up to half of it.
    """
    return max(theirs - after, 0.0) + min(theirs - before, 0.0)


def _tell(address: Address[P], message: Tell[P]) -> None:
    """Send without waiting. The message is dropped if its actor is busy or down: the network is lossy anyway."""
    try:
        address.tell(message)
    except NotAnswered:
        return
