"""The network actor: has gossip judged, knows the connected peers, and keeps their scores.

`actors.gossip_judge` has the rules of gossip (docs/protocol.md, "Network").
"""

from collections.abc import Awaitable, Callable, Container, Mapping
from functools import partial
from hashlib import sha256
from statistics import median
from typing import TypeVar

import attrs
import trio

from alysd.actors.gossip_judge import GossipJudge, GossipRates, digest_of
from alysd.actors.gossip_memory import MOST_PROPOSALS, GossipMemory
from alysd.actors.peer_client import PeerClient
from alysd.actors.peer_scores import BAN_SECONDS, BOUND, PeerScores
from alysd.consensus.candidates import check_proposal
from alysd.consensus.federation import federation_at
from alysd.consensus.violations import SlotPassed, SlotTooEarly, UnknownParent
from alysd.consensus.work_violations import RangeNotCommitted, WrongBits, WrongRangeEnd, WrongRangeStart
from alysd.errors import Malformed, NotNow, PeerUnavailable, Refused
from alysd.messages.approval import ApprovalGathering, ConsiderProposal, CountApproval, NoteRecovery
from alysd.messages.auxpow import ConsiderProof, MergedMining
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
    PublishPegSignature,
    PublishProof,
    PublishProposal,
    PublishRecovery,
)
from alysd.messages.peer_host import DisconnectPeer, PublishGossip, ReportPeers
from alysd.messages.peg_signatures import ConsiderPegSignature, PegSigning, UnknownVersion
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import PeerAhead, Sync
from alysd.nurseries import Actor, Address, Deferred, NotAnswered, Tell, handles
from alysd.ports import Bls, Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainContext
from alysd.types.peers import GossipVerdict, PeerOffence, PeerStatus, Topic
from alysd.types.peg import PegSignature
from alysd.types.proposal import Proposal, SlotApproval
from alysd.wire.block_ssz import slot_proof
from alysd.wire.gossip import (
    MAX_PROPOSAL_BYTES,
    decode_approval,
    decode_peg_signature,
    decode_proof,
    decode_proposal,
    decode_recovery,
    encode_approval,
    encode_peg_signature,
    encode_proof,
    encode_proposal,
    encode_recovery,
)
from alysd.wire.sync import MAX_ANSWER_BYTES

P = TypeVar("P")

POLL_SECONDS = 10.0
"""The interval of the requests for the status of all peers: a node that is behind notices it within this time."""

MAX_PEERS = 256
"""The maximum number of peers that the actor knows. The peer host accepts fewer connections."""


OTHER_VIEW = (NotNow, UnknownParent, WrongRangeStart, WrongRangeEnd, RangeNotCommitted, WrongBits)
"""The refusals of a proof of work that a node with another head may have found valid.

The target can differ between branches too, because it depends on earlier proofs."""


@attrs.frozen
class NetworkMemory:
    """The state of the actor that survives its restarts: scores and rates of peers, and the memory of gossip.

    Without it, a crash would delete the scores of hostile peers. The connected peers are not part of it, because
    the peer host reports them again.
    """

    scores: PeerScores
    gossip: GossipMemory
    rates: GossipRates

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
    """Judges what peers send, tells the other actors what is new, and publishes what this node makes.

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
        self._auxpow = auxpow
        self._federation = federation
        self._timing = timing
        self._configured = configured
        self._peers: dict[str, _Peer] = {}
        self._clocks_differ = False
        self._judge = GossipJudge(context, clock, bls, memory.gossip, memory.rates, configured, client.blame)
        # Room for one job of each kind per peer (`_start`), for the judge's lanes, and for reading the federation.
        self._send_job, self._jobs = trio.open_memory_channel[Callable[[], Awaitable[None]]](4 * MAX_PEERS)
        self._reading = False

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
        if not self._reading:
            self._reading = True
            self._send_job.send_nowait(self._renew_federation)

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
            PeerInfo(name, peer.address, peer.inbound, scores.score(name, now), peer.status)
            for name, peer in self._peers.items()
        )

    async def _read_federation(self) -> None:
        """Read the federation that makes and approves the children of the head."""
        tip = await self._reader.ask(ReadForkchoice(), seconds=self._timing.local_answer)
        self._judge.federation = federation_at(tip.head, self._context)

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
        self._peers.pop(peer, None)
        _tell(self._host, DisconnectPeer(peer, offence.value, seconds))

    def _start(self, peer: str, kind: str, job: Callable[[str], Awaitable[None]]) -> bool:
        """Start work for `peer`, unless work of this kind is open. Returns whether it was started."""
        known = self._peers.get(peer)
        if known is None or kind in known.asked:
            return False
        known.asked.add(kind)
        self._send_job.send_nowait(partial(self._run, known, kind, partial(job, peer)))
        return True

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
    async def judge(self, message: GossipReceived) -> GossipVerdict | Deferred[GossipVerdict]:
        """Judge one message. An approval takes 3 ms; proposals and proofs are checked in the background."""
        peer, data = message.peer, message.data
        try:
            match message.topic:
                case Topic.PROPOSAL:
                    verdict = self._judge.glance(peer, data)
                    return self._check_in_background(peer, data) if verdict is None else verdict
                case Topic.APPROVAL:
                    return await self._judge_approval(peer, data)
                case Topic.RECOVERY:
                    return await self._judge_recovery(peer, data)
                case Topic.AUXPOW:
                    verdict = self._judge.proof(peer, data)
                    return self._consider_in_background(peer, data) if verdict is None else verdict
                case Topic.PEG_SIGNATURE:
                    return self._consider_signature(peer, decode_peg_signature(data))
        except Refused as error:
            return self._reject(peer, error)

    def _check_in_background(self, peer: str, data: bytes) -> Deferred[GossipVerdict]:
        answer = Deferred[GossipVerdict]()

        async def check() -> None:
            try:
                proposal = await self._judge.check(peer, data)
            except Refused as error:
                answer.reply(self._reject(peer, error))
                return
            added = self._consider(proposal, peer, data)
            answer.reply(GossipVerdict.ACCEPT if added else GossipVerdict.IGNORE)

        self._send_job.send_nowait(check)
        return answer

    def _consider_in_background(self, peer: str, data: bytes) -> GossipVerdict | Deferred[GossipVerdict]:
        """Let the merged-mining actor check a proof of work, at most one per peer at a time."""
        answer = Deferred[GossipVerdict]()
        started = self._start(peer, "proof", partial(self._consider_proof, data, answer))
        return answer if started else GossipVerdict.UNJUDGED

    async def _consider_proof(self, data: bytes, answer: Deferred[GossipVerdict], peer: str) -> None:
        try:
            header = await trio.to_thread.run_sync(decode_proof, data)
            new = await self._auxpow.ask(ConsiderProof(header), seconds=self._timing.mining_handler)
        except (*OTHER_VIEW, NotAnswered):
            answer.reply(GossipVerdict.UNJUDGED)
        except Refused as error:
            answer.reply(self._reject(peer, error))
        else:
            answer.reply(self._judge.valid_proof(data, new=new))

    def _consider_signature(self, peer: str, signature: PegSignature) -> GossipVerdict | Deferred[GossipVerdict]:
        """Let the federation actor check the signatures of a payment."""
        lane = self._judge.peg_signature(peer)
        if lane is None:
            return GossipVerdict.UNJUDGED
        answer = Deferred[GossipVerdict]()

        async def consider() -> None:
            try:
                async with lane.turn():
                    new = await self._federation.ask(
                        ConsiderPegSignature(signature), seconds=self._timing.local_answer
                    )
            except (UnknownVersion, NotAnswered):
                answer.reply(GossipVerdict.UNJUDGED)
            except Refused as error:
                answer.reply(self._reject(peer, error))
            else:
                answer.reply(GossipVerdict.ACCEPT if new else GossipVerdict.IGNORE)

        self._send_job.send_nowait(consider)
        return answer

    def _reject(self, peer: str, error: Refused) -> GossipVerdict:
        """Blame the peer for a message that a check has refused, and return the verdict.

        If the slot of the message has ended since the message arrived, the peer is not blamed.
        """
        if isinstance(error, SlotPassed):
            return GossipVerdict.IGNORE
        if isinstance(error, SlotTooEarly):
            return GossipVerdict.UNJUDGED
        malformed = isinstance(error, Malformed)
        self._client.blame(peer, PeerOffence.MALFORMED if malformed else PeerOffence.FORGED)
        return GossipVerdict.REJECT

    async def _judge_approval(self, peer: str, data: bytes) -> GossipVerdict:
        approval = decode_approval(data)
        verdict = await self._judge.approval(peer, approval)
        if verdict is GossipVerdict.ACCEPT:
            _tell(self._approval, CountApproval(approval))
            if not self._memory.gossip.knows_proposal(approval.slot, approval.block):
                self._start(peer, "proposals", partial(self._fetch_proposal, approval))
        return verdict

    async def _judge_recovery(self, peer: str, data: bytes) -> GossipVerdict:
        statement = decode_recovery(data)
        verdict = await self._judge.recovery(peer, statement)
        if verdict is GossipVerdict.ACCEPT:
            _tell(self._approval, NoteRecovery(statement))
        return verdict

    def _consider(self, proposal: Proposal, peer: str, data: bytes | None = None) -> bool:
        """Tell the approval workflow of a checked proposal, if it is new and one of the first two of its slot.

        `data` is its encoding as it came in gossip.
        """
        signed, gossip = proposal.signed, self._memory.gossip
        added = gossip.add_proposal(signed.block.slot, signed.hash)
        if data is not None and gossip.knows_proposal(signed.block.slot, signed.hash):
            gossip.add_digest(signed.block.slot, digest_of(data))
        if not added:
            return False
        _tell(self._approval, ConsiderProposal(proposal, peer))
        return True

    async def _fetch_proposal(self, approval: SlotApproval, peer: str) -> None:
        """Get the proposal that `approval` announces from `peer`, unless gossip brings it first."""
        await trio.sleep(self._timing.proposal_wait)
        if self._memory.gossip.knows_proposal(approval.slot, approval.block):
            return
        found = await self._client.proposals_of(peer, approval.slot)
        for data in found[:MOST_PROPOSALS]:
            slot, now = approval.slot, self._clock.time()
            if self._judge.by_time(slot) is not None or not self._memory.gossip.wants_proposal(slot):
                return

            def check(data: bytes = data, now: float = now) -> Proposal:
                proposal, federation = decode_proposal(data, MAX_ANSWER_BYTES), self._judge.federation
                check_proposal(proposal, federation, self._context, now, self._bls.verify, author_alone=False)
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
        """Send the proposal to all peers. If it is too large, send its author's approval, and peers fetch it."""
        signed = message.proposal.signed
        self._memory.gossip.add_proposal(signed.block.slot, signed.hash)
        data = await trio.to_thread.run_sync(encode_proposal, message.proposal)
        if len(data) <= MAX_PROPOSAL_BYTES:
            self._memory.gossip.add_digest(signed.block.slot, digest_of(data))
            _tell(self._host, PublishGossip(Topic.PROPOSAL, data))
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
        _tell(self._host, PublishGossip(Topic.AUXPOW, data))

    @handles(PublishRecovery)
    async def publish_recovery(self, message: PublishRecovery) -> None:
        """Send the statement to all peers."""
        self._memory.gossip.add_recovery(message.statement)
        _tell(self._host, PublishGossip(Topic.RECOVERY, encode_recovery(message.statement)))

    @handles(PublishPegSignature)
    async def publish_peg_signature(self, message: PublishPegSignature) -> None:
        """Send the signatures of a payment to all peers."""
        _tell(self._host, PublishGossip(Topic.PEG_SIGNATURE, encode_peg_signature(message.signature)))

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
    """The least possible difference between two clocks, in seconds.

    A peer read `theirs` on its clock at an unknown time between `before` and `after` on this node's clock. The
    middle of that time would be a worse estimate: on a busy machine, an answer takes seconds.
    """
    return max(theirs - after, 0.0) + min(theirs - before, 0.0)


def _tell(address: Address[P], message: Tell[P]) -> None:
    """Send without waiting. The message is dropped if its actor is busy or down: the network is lossy anyway."""
    try:
        address.tell(message)
    except NotAnswered:
        return
