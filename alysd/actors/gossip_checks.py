"""Has each message of gossip judged, and passes new and valid messages to the actors that need them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import attrs
import trio

from alysd.actors.gossip_judge import GossipJudge, JudgedProposal, digest_of
from alysd.actors.gossip_memory import MOST_PROPOSALS, GossipMemory
from alysd.actors.peer_client import PeerClient
from alysd.consensus.update_violations import NoGovernance, OutOfPlace, TooManyUpdates
from alysd.consensus.violations import SlotPassed, SlotTooEarly, UnknownParent
from alysd.consensus.work_violations import RangeNotCommitted, WrongBits, WrongRangeEnd, WrongRangeStart
from alysd.errors import Malformed, NotNow, Refused
from alysd.messages.approval import ApprovalGathering, ConsiderProposal, CountApproval, NoteRecovery
from alysd.messages.auxpow import ConsiderProof, MergedMining
from alysd.messages.federation_update import FederationUpdates, SubmitFederationUpdate
from alysd.messages.network import GossipReceived
from alysd.messages.peg_signatures import ConsiderPegSignature, PegSigning, UnknownVersion
from alysd.nurseries import Address, Deferred, NotAnswered, Tell
from alysd.timing import Timing
from alysd.types.federation_update import FederationUpdate
from alysd.types.peers import GossipVerdict, PeerOffence, Topic
from alysd.types.peg import PegSignature
from alysd.types.proposal import SlotApproval
from alysd.types.units import Slot
from alysd.wire.federation_update import decode_update
from alysd.wire.gossip import (
    decode_approval,
    decode_peg_signature,
    decode_proof,
    decode_recovery,
    proposal_slot,
)

P = TypeVar("P")

OTHER_VIEW = (NotNow, UnknownParent, WrongRangeStart, WrongRangeEnd, RangeNotCommitted, WrongBits)
"""The refusals of a proof of work that a node with another head may have found valid.

The target can differ between branches too, because it depends on earlier proofs."""

OTHER_BRANCH = (OutOfPlace, TooManyUpdates)
"""The refusals of a change of the federation that a node with another head may have accepted."""

PeerJob = Callable[[str], Awaitable[None]]


@attrs.frozen
class GossipReaders:
    """The actors that receive the messages of gossip; `updates` is None on a chain without governance keys."""

    approval: Address[ApprovalGathering]
    auxpow: Address[MergedMining]
    federation: Address[PegSigning]
    updates: Address[FederationUpdates] | None = None


class GossipChecks:
    """Judges messages by `judge`, keeps the valid ones in `memory`, and passes them on to the readers `to`.

    `start` starts work of one kind for a peer in the background, unless work of this kind is open for the peer,
    and returns whether it started. `run` starts any work in the background.
    """

    def __init__(
        self,
        judge: GossipJudge,
        memory: GossipMemory,
        client: PeerClient,
        to: GossipReaders,
        timing: Timing,
        start: Callable[[str, str, PeerJob], bool],
        run: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self._judge = judge
        self._memory = memory
        self._client = client
        self._to = to
        self._timing = timing
        self._start = start
        self._run = run

    async def judge(self, message: GossipReceived) -> GossipVerdict | Deferred[GossipVerdict]:
        """The verdict on a message. An approval takes 3 ms; proposals and proofs are checked in the background."""
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
                case Topic.FEDERATION_UPDATE:
                    return self._consider_update(peer, decode_update(data))
        except Refused as error:
            return self._reject(peer, error)

    def _check_in_background(self, peer: str, data: bytes) -> Deferred[GossipVerdict]:
        answer = Deferred[GossipVerdict]()

        async def check() -> None:
            try:
                judged = await self._judge.check(peer, data)
            except Refused as error:
                answer.reply(self._reject(peer, error, proposal_slot(data)))
                return
            added = self._consider(judged, peer, data)
            answer.reply(GossipVerdict.ACCEPT if added else GossipVerdict.IGNORE)

        self._run(check)
        return answer

    def _consider_in_background(self, peer: str, data: bytes) -> GossipVerdict | Deferred[GossipVerdict]:
        """Let the merged-mining actor check a proof of work, at most one per peer at a time."""
        answer = Deferred[GossipVerdict]()
        started = self._start(peer, "proof", partial(self._consider_proof, data, answer))
        return answer if started else GossipVerdict.UNJUDGED

    async def _consider_proof(self, data: bytes, answer: Deferred[GossipVerdict], peer: str) -> None:
        try:
            header = await trio.to_thread.run_sync(decode_proof, data)
            new = await self._to.auxpow.ask(ConsiderProof(header), seconds=self._timing.mining_handler)
        except (*OTHER_VIEW, NotAnswered):
            answer.reply(GossipVerdict.UNJUDGED)
        except Refused as error:
            answer.reply(self._reject(peer, error))
        else:
            answer.reply(self._judge.valid_proof(data, new=new))

    def _consider_signature(self, peer: str, signature: PegSignature) -> GossipVerdict | Deferred[GossipVerdict]:
        """Let the federation actor check the signatures of a payment."""
        queue = self._judge.peg_signature(peer)
        if queue is None:
            return GossipVerdict.UNJUDGED
        answer = Deferred[GossipVerdict]()

        async def consider() -> None:
            try:
                async with queue.turn():
                    new = await self._to.federation.ask(
                        ConsiderPegSignature(signature), seconds=self._timing.local_answer
                    )
            except (UnknownVersion, NotAnswered):
                answer.reply(GossipVerdict.UNJUDGED)
            except Refused as error:
                answer.reply(self._reject(peer, error))
            else:
                answer.reply(GossipVerdict.ACCEPT if new else GossipVerdict.IGNORE)

        self._run(consider)
        return answer

    def _consider_update(self, peer: str, update: FederationUpdate) -> GossipVerdict | Deferred[GossipVerdict]:
        """Let the actor of federation updates check a change, and keep it if it is new."""
        updates = self._to.updates
        if updates is None:
            raise NoGovernance
        queue = self._judge.update(peer)
        if queue is None:
            return GossipVerdict.UNJUDGED
        answer = Deferred[GossipVerdict]()

        async def consider() -> None:
            try:
                async with queue.turn():
                    new = await updates.ask(SubmitFederationUpdate(update), seconds=self._timing.local_answer)
            except (*OTHER_BRANCH, NotAnswered):
                answer.reply(GossipVerdict.UNJUDGED)
            except Refused as error:
                answer.reply(self._reject(peer, error))
            else:
                answer.reply(GossipVerdict.ACCEPT if new else GossipVerdict.IGNORE)

        self._run(consider)
        return answer

    def _reject(self, peer: str, error: Refused, slot: Slot | None = None) -> GossipVerdict:
        """Blame the peer for a message that a check has refused, and return the verdict.

        If the slot of the message has ended since the message arrived, the peer is not blamed. Nor is it for a
        message of a `slot` whose federation this node may not know.
        """
        if isinstance(error, SlotPassed):
            return GossipVerdict.IGNORE
        if isinstance(error, SlotTooEarly):
            return GossipVerdict.UNJUDGED
        malformed = isinstance(error, Malformed)
        if slot is not None and not malformed and self._judge.may_be_unknown(slot):
            return GossipVerdict.UNJUDGED
        self._client.blame(peer, PeerOffence.MALFORMED if malformed else PeerOffence.FORGED)
        return GossipVerdict.REJECT

    async def _judge_approval(self, peer: str, data: bytes) -> GossipVerdict:
        approval = decode_approval(data)
        try:
            found = await self._judge.approval(peer, approval)
        except Refused as error:
            return self._reject(peer, error, approval.slot)
        if isinstance(found, GossipVerdict):
            return found
        offer(self._to.approval, CountApproval(approval, found))
        if not self._memory.knows_proposal(approval.slot, approval.block):
            self._start(peer, "proposals", partial(self._fetch_proposal, approval))
        return GossipVerdict.ACCEPT

    async def _judge_recovery(self, peer: str, data: bytes) -> GossipVerdict:
        statement = decode_recovery(data)
        try:
            found = await self._judge.recovery(peer, statement)
        except Refused as error:
            return self._reject(peer, error, statement.slot)
        if isinstance(found, GossipVerdict):
            return found
        offer(self._to.approval, NoteRecovery(statement, found))
        return GossipVerdict.ACCEPT

    def _consider(self, judged: JudgedProposal, peer: str, data: bytes | None = None) -> bool:
        """Tell the approval workflow of a checked proposal, if it is one of its author's first two of the slot.

        `data` is its encoding as it came in gossip.
        """
        signed, gossip = judged.proposal.signed, self._memory
        added = gossip.add_proposal(signed.block.slot, signed.hash, judged.author)
        if data is not None and gossip.knows_proposal(signed.block.slot, signed.hash):
            gossip.add_digest(signed.block.slot, digest_of(data))
        if not added:
            return False
        offer(self._to.approval, ConsiderProposal(judged.proposal, peer, judged.federation, judged.parents))
        return True

    async def _fetch_proposal(self, approval: SlotApproval, peer: str) -> None:
        """Get the proposal that `approval` announces from `peer`, unless gossip brings it first."""
        await trio.sleep(self._timing.proposal_wait)
        if self._memory.knows_proposal(approval.slot, approval.block):
            return
        found = await self._client.proposals_of(peer, approval.slot)
        for data in found[:MOST_PROPOSALS]:
            slot = approval.slot
            if self._judge.by_time(slot) is not None or not self._judge.wants_proposal(slot):
                return
            try:
                judged = await self._judge.check_fetched(data)
            except Refused:
                if not self._judge.may_be_unknown(slot):
                    self._client.blame(peer, PeerOffence.FALSE_PROPOSAL)
                return
            self._consider(judged, peer)


def offer(address: Address[P], message: Tell[P]) -> None:
    """Send without waiting. The message is dropped if its actor is busy or down: the network is lossy anyway."""
    try:
        address.tell(message)
    except NotAnswered:
        return
