"""The network actor: has gossip judged, knows the connected peers, and keeps their scores.

`actors.gossip_checks` has gossip judged by the rules of `actors.gossip_judge` (docs/protocol.md, "Network").
"""

from collections.abc import Awaitable, Callable, Container, Mapping
from functools import partial
from hashlib import sha256

import attrs
import trio

from alysd.actors.gossip_checks import GossipChecks, GossipReaders, PeerJob, offer
from alysd.actors.gossip_judge import GossipJudge, GossipRates, digest_of
from alysd.actors.gossip_memory import GossipMemory
from alysd.actors.other_chains import OtherChains
from alysd.actors.peer_client import PeerClient
from alysd.actors.peer_scores import BAN_SECONDS, BOUND, CONFIGURED_SECONDS, PeerScores
from alysd.consensus.federation import deposit_holders
from alysd.consensus.federation_update import next_federations
from alysd.errors import Malformed, PeerUnavailable, PeerWithoutProtocol
from alysd.messages.approval import ApprovalGathering
from alysd.messages.auxpow import MergedMining
from alysd.messages.federation_update import FederationUpdates
from alysd.messages.log.base import log
from alysd.messages.log.network import ClocksAgree, ClocksDiffer, PeerBanned, PeerOfOtherChain
from alysd.messages.network import (
    BlamePeer,
    GetOtherChainPeers,
    GetPeers,
    GossipReceived,
    Network,
    OtherChainPeer,
    PeerConnected,
    PeerInfo,
    PeerLost,
    PollPeers,
    PublishApproval,
    PublishPegSignature,
    PublishProof,
    PublishProposal,
    PublishRecovery,
    PublishUpdate,
)
from alysd.messages.peer_host import DisconnectPeer, PublishGossip, ReportPeers
from alysd.messages.peg_signatures import PegSigning
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import PeerAhead, Sync
from alysd.nurseries import Actor, Address, Deferred, NotAnswered, handles
from alysd.ports import Bls, Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.federation_update import LEAST_NOTICE
from alysd.types.hashes import BlockHash
from alysd.types.peers import ClockDifference, GossipVerdict, PeerOffence, PeerStatus, Topic
from alysd.types.proposal import SlotApproval
from alysd.types.units import Slot
from alysd.wire.block_ssz import slot_proof
from alysd.wire.federation_update import encode_update
from alysd.wire.gossip import (
    MAX_PROPOSAL_BYTES,
    encode_approval,
    encode_peg_signature,
    encode_proof,
    encode_proposal,
    encode_recovery,
)

POLL_SECONDS = 10.0
"""The interval of the requests for the status of all peers: a node that is behind notices it within this time."""

PARTING_SECONDS = 2.0
"""The time for which a peer of another chain stays connected. Within it the peer gets this node's status, so that
its operator learns the reason too: a node that disconnected at once would not have answered the other one.
"""

FORMER_SLOTS = 300
"""The number of slots for which messages of a former federation are still judged. Members that lag make them."""

MAX_PEERS = 256
"""The maximum number of peers that the actor knows. The peer host accepts fewer connections."""


@attrs.frozen
class NetworkMemory:
    """The state of the actor that survives its restarts: what it knows of peers, and the memory of gossip.

    Without it, a crash would delete the scores of hostile peers. The connected peers are not part of it, because
    the peer host reports them again. `federations` are those whose messages are judged, each with the time until
    which it counts.
    """

    scores: PeerScores
    gossip: GossipMemory
    rates: GossipRates
    other_chains: OtherChains = attrs.field(factory=OtherChains)
    federations: dict[Federation, float] = attrs.field(factory=dict[Federation, float])

    @classmethod
    def of(cls, timing: Timing) -> "NetworkMemory":
        """An empty memory."""
        return cls(PeerScores(), GossipMemory(), GossipRates.of(timing))


@attrs.define
class _Peer:
    """A connected peer.

    `ahead` is the least possible difference of its clock from this node's at its last status, in seconds; it is
    negative if the peer's clock is behind. `asked` has the kinds of its open requests and checks: at most one of
    each kind is open.
    """

    address: str
    inbound: bool
    status: PeerStatus | None = None
    ahead: float | None = None
    asked: set[str] = attrs.field(factory=set[str])


class NetworkActor(Actor[Network]):
    """Judges the messages of peers, passes new ones to the other actors, and publishes this node's own.

    It waits neither for a peer nor for the database while it handles a message: requests run in its background,
    and so do the checks of proposals. `configured` has the ids of the peers that the configuration names.
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
        auxpow: Address[MergedMining],
        federation: Address[PegSigning],
        timing: Timing,
        configured: Container[str] = (),
        updates: Address[FederationUpdates] | None = None,
    ) -> None:
        self._context = context
        self._clock = clock
        self._memory = memory
        self._client = client
        self._host = client.host
        self._reader = reader
        self._sync = sync
        self._timing = timing
        self._configured = configured
        self._peers: dict[str, _Peer] = {}
        self._clocks_differ = False
        self._judge = GossipJudge(context, clock, bls, memory.gossip, memory.rates, configured, client.blame)
        readers = GossipReaders(approval, auxpow, federation, updates)
        self._checks = GossipChecks(
            self._judge, memory.gossip, client, readers, timing, self._start, self._run_in_background
        )
        # Room for one job of each kind per peer (`_start`), for the judge's queues, and to read the federation.
        self._send_job, self._jobs = trio.open_memory_channel[Callable[[], Awaitable[None]]](4 * MAX_PEERS)
        self._reading = False

    async def pre_start(self) -> None:
        """Ask the peer host for the connected peers: some have connected before this instance started."""
        await self._read_federation()
        offer(self._host, ReportPeers())
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
        if not self._reading:
            self._reading = True
            self._run_in_background(self._renew_federation)

    @handles(BlamePeer)
    async def blame(self, message: BlamePeer) -> None:
        """Lower the peer's score; disconnect it if the score falls too low.

        A configured peer is not blamed for a missing answer. It may be under attack, and if members banned each
        other for that, they would lose their quorum. Its connection ends anyway when no bytes come from the peer.
        """
        if message.offence is PeerOffence.NO_ANSWER and message.peer in self._configured:
            return
        score = self._memory.scores.penalise(message.peer, message.offence, trio.current_time())
        if score <= BOUND:
            self._ban(message.peer, message.offence)

    @handles(GetPeers)
    async def peers(self, message: GetPeers) -> tuple[PeerInfo, ...]:
        """The connected peers."""
        now, scores = trio.current_time(), self._memory.scores
        return tuple(
            PeerInfo(
                name,
                peer.address,
                peer.inbound,
                scores.score(name, now),
                peer.status,
                peer.ahead,
                name in self._configured,
            )
            for name, peer in self._peers.items()
        )

    @handles(GetOtherChainPeers)
    async def other_chain_peers(self, message: GetOtherChainPeers) -> tuple[OtherChainPeer, ...]:
        """The configured peers that were on another chain when they were last connected."""
        return tuple(one for one in self._memory.other_chains.peers() if one.peer in self._configured)

    async def _read_federation(self) -> None:
        """Read the federations that may make and approve messages now: the next ones, and those of late messages.

        A change is included at least `LEAST_NOTICE` blocks before it takes effect, so a head that is fewer slots
        behind shows it. Other nodes may judge by a former federation for longer than this one: it blames nobody
        for messages that it cannot verify for as long again, and after its start if the federation has changed.
        """
        tip = await self._reader.ask(ReadForkchoice(), seconds=self._timing.local_answer)
        known, governance = self._memory.federations, tip.head.governance
        now, following = trio.current_time(), next_federations(tip.head, self._context)
        until = now + FORMER_SLOTS * self._timing.slot_seconds
        over = [one for one, end in known.items() if end <= now and one not in following]
        if over or (not known and governance is not None and governance.sequence > 0):
            self._judge.lenient_until = until
        for one in (*over, *following):
            known.pop(one, None)
        known.update(dict.fromkeys(following, until))
        self._judge.federations = tuple(known)
        self._judge.signers = sum(len(one.keys) for one in deposit_holders(tip.head, self._context))
        if governance is not None:
            self._judge.known_until = Slot(tip.head.slot + LEAST_NOTICE)

    async def _renew_federation(self) -> None:
        """Read the federation again. Without an answer, keep the previous one."""
        try:
            await self._read_federation()
        except NotAnswered:
            return
        finally:
            self._reading = False

    def _ban(self, peer: str, offence: PeerOffence) -> None:
        seconds = BAN_SECONDS[offence]
        log(PeerBanned(peer, offence.value, seconds))
        self._disconnect(peer, offence, seconds)

    def _disconnect(self, peer: str, offence: PeerOffence, seconds: float) -> None:
        self._peers.pop(peer, None)
        offer(self._host, DisconnectPeer(peer, offence.value, seconds))

    def _start(self, peer: str, kind: str, job: PeerJob) -> bool:
        """Start work for `peer`, unless work of this kind is open. Returns whether it was started."""
        known = self._peers.get(peer)
        if known is None or kind in known.asked:
            return False
        known.asked.add(kind)
        self._run_in_background(partial(self._run, known, kind, partial(job, peer)))
        return True

    def _run_in_background(self, job: Callable[[], Awaitable[None]]) -> None:
        self._send_job.send_nowait(job)

    async def _run(self, known: _Peer, kind: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except (PeerUnavailable, Malformed):
            return  # the client has reported the peer
        finally:
            known.asked.discard(kind)

    async def _ask_status(self, peer: str) -> None:
        before = self._clock.time()
        try:
            status = await self._client.status(peer)
        except PeerWithoutProtocol:
            await self._part_from(peer, None)
            return
        if status.genesis != self._context.genesis:
            await self._part_from(peer, status.genesis)
            return
        self._memory.other_chains.forget(peer)
        known = self._peers.get(peer)
        if known is None:
            return
        known.status = status
        known.ahead = _least_difference(status.time, before, self._clock.time())
        offer(self._sync, PeerAhead(peer, status))

    async def _part_from(self, peer: str, genesis: BlockHash | None) -> None:
        """Disconnect a peer of another chain, and say so; `genesis` is None if the peer has no status at all.

        A configured peer keeps its score and is tried again soon: its operator, or that of this node, may correct
        the files of the chain. The same finding about it is logged once.
        """
        configured, offence = peer in self._configured, PeerOffence.OTHER_CHAIN
        seconds = CONFIGURED_SECONDS if configured else BAN_SECONDS[offence]
        if not configured:
            self._memory.scores.penalise(peer, offence, trio.current_time())
        if not configured or self._memory.other_chains.note(OtherChainPeer(peer, genesis)):
            log(PeerOfOtherChain(peer, genesis, self._context.genesis, seconds))
        await trio.sleep(PARTING_SECONDS)
        self._disconnect(peer, offence, seconds)

    def _compare_clocks(self) -> None:
        """Log when the difference from the peers' clocks exceeds half a slot, and when it no longer does."""
        found = ClockDifference.of((peer.ahead, name in self._configured) for name, peer in self._peers.items())
        if found is None:
            return
        differ = found.exceeds(self._timing.slot_seconds)
        if differ and not self._clocks_differ:
            log(ClocksDiffer(found.ahead, found.peers, found.strangers))
        elif self._clocks_differ and not differ:
            log(ClocksAgree())
        self._clocks_differ = differ

    # Gossip

    @handles(GossipReceived)
    async def judge(self, message: GossipReceived) -> GossipVerdict | Deferred[GossipVerdict]:
        """Judge one message. An approval takes 3 ms; proposals and proofs are checked in the background."""
        return await self._checks.judge(message)

    # What this node makes

    @handles(PublishProposal)
    async def publish_proposal(self, message: PublishProposal) -> None:
        """Send the proposal to all peers. If it is too large, send its author's approval, and peers fetch it."""
        signed = message.proposal.signed
        self._memory.gossip.add_proposal(signed.block.slot, signed.hash, message.author)
        data = await trio.to_thread.run_sync(encode_proposal, message.proposal)
        if len(data) <= MAX_PROPOSAL_BYTES:
            self._memory.gossip.add_digest(signed.block.slot, digest_of(data))
            offer(self._host, PublishGossip(Topic.PROPOSAL, data))
        else:
            approvals, proof = signed.approvals, await trio.to_thread.run_sync(slot_proof, signed.block)
            self._publish(SlotApproval(proof, approvals.signers.index(True), approvals.signature))

    @handles(PublishApproval)
    async def publish_approval(self, message: PublishApproval) -> None:
        """Send the approval to all peers."""
        self._publish(message.approval)

    @handles(PublishProof)
    async def publish_proof(self, message: PublishProof) -> None:
        """Send the proof of work to all peers."""
        data = encode_proof(message.header)
        self._memory.gossip.add_proof(sha256(data).digest())
        offer(self._host, PublishGossip(Topic.AUXPOW, data))

    @handles(PublishRecovery)
    async def publish_recovery(self, message: PublishRecovery) -> None:
        """Send the statement to all peers."""
        self._memory.gossip.add_own(message.statement)
        offer(self._host, PublishGossip(Topic.RECOVERY, encode_recovery(message.statement)))

    @handles(PublishPegSignature)
    async def publish_peg_signature(self, message: PublishPegSignature) -> None:
        """Send the signatures of a payment to all peers."""
        offer(self._host, PublishGossip(Topic.PEG_SIGNATURE, encode_peg_signature(message.signature)))

    @handles(PublishUpdate)
    async def publish_update(self, message: PublishUpdate) -> None:
        """Send the change of the federation to all peers."""
        offer(self._host, PublishGossip(Topic.FEDERATION_UPDATE, encode_update(message.update)))

    def _publish(self, approval: SlotApproval) -> None:
        self._memory.gossip.add_own(approval)
        offer(self._host, PublishGossip(Topic.APPROVAL, encode_approval(approval)))

    def visible_state(self) -> Mapping[str, object]:
        """The connected peers, with their scores and the differences of their clocks in seconds."""
        now, scores = trio.current_time(), self._memory.scores
        return {
            name: {"address": peer.address, "score": scores.score(name, now), "clock_ahead": peer.ahead}
            for name, peer in self._peers.items()
        }


def _least_difference(theirs: float, before: float, after: float) -> float:
    """The least possible difference between two clocks, in seconds.

    A peer read `theirs` on its clock at an unknown time between `before` and `after` on this node's clock. The
    middle of that time would be a worse estimate: on a busy machine, an answer takes seconds.
    """
    return max(theirs - after, 0.0) + min(theirs - before, 0.0)
