"""The judgement of gossip, with the cheapest checks first (docs/protocol.md, "Network").

The judge checks the rate of the peer and the slot, then the memory of the slot, and only then the signatures, in a
worker thread.

Peers that the configuration names, such as the members of the federation, share no budget with strangers. All
strangers together have one budget, because an attacker can have many identities. A message above a rate gets no
verdict, so the copy of another peer is judged.
"""

from collections.abc import Callable, Collection, Container, Mapping
from hashlib import sha256
from typing import TypeVar

import attrs
import trio

from alysd.actors.check_queue import CheckQueue
from alysd.actors.gossip_memory import GossipMemory
from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.consensus.candidates import check_proposal, check_slot_approval, check_window, check_with_any
from alysd.consensus.recovery import check_statement
from alysd.consensus.violations import SlotPassed, SlotTooEarly
from alysd.peg.proposals import MAX_IN_FLIGHT
from alysd.ports import Bls, Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.federation_update import MAX_UPDATE_MEMBERS
from alysd.types.hashes import BlsPublicKey
from alysd.types.peers import GossipVerdict, PeerOffence, Topic
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval
from alysd.types.units import Slot
from alysd.wire.gossip import decode_proposal, proposal_signed, proposal_slot
from alysd.wire.sync import MAX_ANSWER_BYTES

PROPOSALS_PER_SLOT = 2
"""The number of proposals that an honest peer sends per slot, at most."""

APPROVALS_PER_SLOT = 4
"""The number of approvals that an honest peer sends per slot and authority, at most.

Two are of known blocks, and two of others.
"""

PROOFS_PER_SLOT = 4
"""The number of proofs of work that an honest peer sends per slot, at most.

One is of its own miners, up to two are of others, and one is sent again. A chain has one proof in many slots."""

PEG_SIGNATURES_PER_SLOT = MAX_IN_FLIGHT
"""The number of messages with signatures of payments that an honest peer sends per slot and key, on average.

A key signs all payments of its federation in one slot: up to four, and one more of a former federation. Most slots
have none of them."""

FEWEST_SIGNERS, MOST_SIGNERS = 4, 2 * MAX_UPDATE_MEMBERS
"""The least and the greatest number of keys by which signatures of payments are counted.

The keys of former federations count too, since their payments stay in flight until they are signed. The bound, of
two federations of full size, limits what one peer can cause. A check takes up to 5 ms, but only for signatures
that are valid and new: a wrong one disconnects the peer, and others cost a look-up."""

PEG_SIGNATURES_REPEATED = PEG_SIGNATURES_PER_SLOT * FEWEST_SIGNERS
"""The number of known signatures of payments that a node sends again per slot, at most.

No judge counts fewer in a slot of an honest peer, whatever federations it knows."""

RELAYED_PER_SLOT = 1.0
"""The number of other nodes' proofs that this node passes on per slot. It queues more and sends the best later."""

RELAYED_AT_ONCE = 2.0

SMALL_PROOF = 4096
"""The size, in bytes, up to which a proof is decoded in less than 2 ms. The largest one takes some 50 ms.

The check of a decoded proof that lacks work costs almost nothing."""

SMALL_PROOFS_PER_SLOT = 64
"""The number of small proofs that count as one message of an honest peer in the budget of all strangers.

Large proofs have a budget of their own. So an attacker needs many worthless proofs to use up the budget that the
proofs of a follower's miner need.
"""

ALLOWED_PER_SLOT = 2.0
"""The messages that a peer may send per slot, as a multiple of those that an honest peer sends."""

ALLOWED_AT_ONCE = 4.0
"""The messages that a peer may send at once, in the unit of `ALLOWED_PER_SLOT`, because messages may be late."""

STRANGERS = 2
"""The rate of all strangers together, as a multiple of one peer's. Members usually send the messages first."""

WAITING = 8
"""The number of proposals of configured peers that wait for their check: two for each slot of the memory."""

SIGNATURES_WAITING = {True: 63, False: 7}
"""The number of signatures of payments that wait for their check, from configured peers and from strangers.

A check takes up to 5 ms."""

UPDATES_WAITING = 3
"""The number of changes of the federation that wait for their check, which takes up to 70 ms."""

Indexed = TypeVar("Indexed", SlotApproval, RecoveryStatement)

_ALL, _ALL_LARGE = "all strangers", "large proofs of all strangers"


@attrs.frozen
class GossipRates:
    """The rates of gossip per topic: of each peer, and of all strangers together.

    The unit is the number of messages that an honest peer sends in one slot. `relayed` limits the proofs of work
    of others that this node passes on, so that its peers do not count it as flooding.
    """

    peers: Mapping[Topic, RateLimits]
    strangers: Mapping[Topic, RateLimits]
    relayed: RateLimits

    @classmethod
    def of(cls, timing: Timing) -> "GossipRates":
        """The rates of a network without messages so far."""
        one = AllowedRate(per_second=ALLOWED_PER_SLOT / timing.slot_seconds, burst=ALLOWED_AT_ONCE)
        all_strangers = AllowedRate(per_second=STRANGERS * one.per_second, burst=STRANGERS * one.burst)
        relayed = AllowedRate(per_second=RELAYED_PER_SLOT / timing.slot_seconds, burst=RELAYED_AT_ONCE)
        return cls(
            {each: RateLimits(one) for each in Topic},
            {each: RateLimits(all_strangers) for each in Topic},
            RateLimits(relayed),
        )


@attrs.frozen
class JudgedProposal:
    """A proposal, and the federations for which it was accepted: that of the block, and that of its parent."""

    proposal: Proposal
    federation: Federation
    parents: Federation

    @property
    def author(self) -> BlsPublicKey:
        """The key of the block's author."""
        return self.federation.author_key(self.proposal.signed.block.slot)


class GossipJudge:
    """Judges gossip.

    The owner sets `federations` to those that may have made a message, in their order in time, and `known_until`
    to the last slot for which it knows them: a node that is far behind knows no later change. Until the time
    `lenient_until`, other nodes may still judge by a former federation that this node does not know any more.
    `signers` is the number of Bitcoin keys of all federations of the chain, which may sign payments.
    """

    federations: tuple[Federation, ...]
    signers: int = 0
    known_until: Slot | None = None
    lenient_until: float = 0.0

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        bls: Bls,
        memory: GossipMemory,
        rates: GossipRates,
        configured: Container[str],
        blame: Callable[[str, PeerOffence], None],
    ) -> None:
        self._context = context
        self._clock = clock
        self._bls = bls
        self._memory = memory
        self._rates = rates
        self._configured = configured
        self._blame = blame
        self._queues = {True: CheckQueue(WAITING), False: CheckQueue(0)}
        self._update_queues = {known: CheckQueue(UPDATES_WAITING) for known in (True, False)}
        self._signature_queues = {known: CheckQueue(waiting) for known, waiting in SIGNATURES_WAITING.items()}

    def by_time(self, slot: Slot) -> GossipVerdict | None:
        """The verdict on messages of a slot that is too early or over; None for any other slot.

        Clocks differ, so the peer is not blamed. A message that is too early stays unjudged: a later copy may be
        in time.
        """
        try:
            check_window(slot, self._context.spec, self._clock.time())
        except SlotTooEarly:
            return GossipVerdict.UNJUDGED
        except SlotPassed:
            return GossipVerdict.IGNORE
        return None

    # Proposals

    def glance(self, peer: str, data: bytes) -> GossipVerdict | None:
        """The verdict on a proposal if it needs no decoding; otherwise None. Raises `Malformed`.

        If the result is None, a place for the check is taken, and the caller has to call `check` with the same
        arguments.
        """
        slot = proposal_slot(data)
        memory = self._memory
        verdict = self._before_signature(
            peer,
            Topic.PROPOSAL,
            1 / PROPOSALS_PER_SLOT,
            slot,
            lambda: self.wants_proposal(slot) and not memory.knows_digest(slot, digest_of(data)),
        )
        if verdict is None and not self._queue(peer).take():
            return GossipVerdict.UNJUDGED
        return verdict

    async def check(self, peer: str, data: bytes) -> JudgedProposal:
        """Decode and check a proposal, after those that arrived earlier. It takes up to 0.2 s.

        Raises the `Refused` of the rule that the proposal breaks.
        """
        async with self._queue(peer).turn():
            return await self._decode_and_check(data, None, author_alone=True)

    async def check_fetched(self, data: bytes) -> JudgedProposal:
        """Decode and check a proposal that a peer has given on request: it may have more approvals, and be larger.

        Raises the `Refused` of the rule that the proposal breaks.
        """
        return await self._decode_and_check(data, MAX_ANSWER_BYTES, author_alone=False)

    async def _decode_and_check(self, data: bytes, limit: int | None, *, author_alone: bool) -> JudgedProposal:
        federations, now, verify = self.federations, self._clock.time(), self._bls.verify

        def decode_and_check(data: bytes) -> JudgedProposal:
            proposal = decode_proposal(data) if limit is None else decode_proposal(data, limit)
            found = check_with_any(
                federations,
                lambda federation, former: check_proposal(
                    proposal, federation, self._context, now, verify, author_alone=author_alone, former=former
                ),
            )
            return JudgedProposal(proposal, *found)

        return await trio.to_thread.run_sync(decode_and_check, data)

    def wants_proposal(self, slot: Slot) -> bool:
        """Whether one more proposal of `slot` would be passed on if it differs from those before."""
        return self._memory.wants_proposal(slot, {one.author_key(slot) for one in self.federations})

    # Approvals

    async def approval(self, peer: str, approval: SlotApproval) -> Federation | GossipVerdict:
        """The federation for which an approval is valid, after 3 ms for the signature, or the verdict.

        Raises the `Refused` of the rule that it breaks.
        """
        units = 1 / (APPROVALS_PER_SLOT * self._authorities)
        verdict = self._before_signature(
            peer, Topic.APPROVAL, units, approval.slot, lambda: self._wants(approval, self._memory.wants_approval)
        )
        if verdict is not None:
            return verdict
        found = await self._signed_in(
            lambda federation: check_slot_approval(
                approval, federation, self._context, self._clock.time(), self._bls.verify
            )
        )
        new = self._memory.add_approval(approval, found.authorities[approval.authority])
        return found if new else GossipVerdict.IGNORE

    async def recovery(self, peer: str, statement: RecoveryStatement) -> Federation | GossipVerdict:
        """The federation for which a recovery statement is valid, after 3 ms for the signature, or the verdict.

        Raises the `Refused` of the rule that the statement breaks.
        """
        units = 1 / self._authorities
        verdict = self._before_signature(
            peer,
            Topic.RECOVERY,
            units,
            statement.slot,
            lambda: self._wants(statement, self._memory.wants_recovery),
        )
        if verdict is not None:
            return verdict
        found = await self._signed_in(
            lambda federation: check_statement(
                statement, federation, self._context, self._clock.time(), self._bls.verify
            )
        )
        new = self._memory.add_recovery(statement, found.authorities[statement.authority])
        return found if new else GossipVerdict.IGNORE

    def _wants(self, message: Indexed, wants: Callable[[Indexed, Collection[BlsPublicKey]], bool]) -> bool:
        """Whether the message is wanted from any authority whose index it has. If there is none, it is refused."""
        index = message.authority
        keys = {one.authorities[index] for one in self.federations if index < len(one.authorities)}
        return not keys or wants(message, keys)

    @property
    def _authorities(self) -> int:
        """The number of authorities of the largest federation that may send messages."""
        return max(len(federation.authorities) for federation in self.federations)

    async def _signed_in(self, check: Callable[[Federation], None]) -> Federation:
        """The federation for which `check` accepts the message of an authority. Raises its `Refused`."""
        federations = self.federations

        def check_all() -> Federation:
            return check_with_any(federations, lambda federation, _former: check(federation))[0]

        return await trio.to_thread.run_sync(check_all)

    def may_be_unknown(self, slot: Slot) -> bool:
        """Whether messages of `slot` may be of a federation that this node does not know yet, or not any more."""
        late = self.known_until is not None and slot > self.known_until
        return late or trio.current_time() < self.lenient_until

    def _before_signature(
        self, peer: str, topic: Topic, units: float, slot: Slot, wanted: Callable[[], bool]
    ) -> GossipVerdict | None:
        """The verdict on a message without a check of its signature; None if the signature has to be checked."""
        if not self._within_rate(peer, topic, units):
            return GossipVerdict.UNJUDGED
        verdict = self.by_time(slot)
        if verdict is not None:
            return verdict
        if not wanted():
            return GossipVerdict.IGNORE
        return None if self._has_budget(peer, topic, units) else GossipVerdict.UNJUDGED

    # Proofs of work

    def proof(self, peer: str, data: bytes) -> GossipVerdict | None:
        """The verdict on a proof of work if it needs no check; otherwise None."""
        if not self._within_rate(peer, Topic.AUXPOW, 1 / PROOFS_PER_SLOT):
            return GossipVerdict.UNJUDGED
        if self._memory.knows_proof(sha256(data).digest()):
            return GossipVerdict.IGNORE
        small = len(data) <= SMALL_PROOF
        budget, units = (_ALL, 1 / SMALL_PROOFS_PER_SLOT) if small else (_ALL_LARGE, 1.0)
        return None if self._has_budget(peer, Topic.AUXPOW, units, budget) else GossipVerdict.UNJUDGED

    def valid_proof(self, data: bytes, *, new: bool) -> GossipVerdict:
        """The verdict on a valid proof: pass it on if it is `new` and this node has not passed on too many."""
        self._memory.add_proof(sha256(data).digest())
        relayed = new and self._rates.relayed.take(_ALL, trio.current_time())
        return GossipVerdict.ACCEPT if relayed else GossipVerdict.IGNORE

    # Signatures of payments

    def peg_signature(self, peer: str) -> CheckQueue | None:
        """The queue for the check of signatures of a payment, with a place taken; None without capacity."""
        signers = max(self.signers, *(len(one.bitcoin_keys) for one in self.federations), FEWEST_SIGNERS)
        units = 1 / (PEG_SIGNATURES_PER_SLOT * min(signers, MOST_SIGNERS))
        queue = self._signature_queues[peer in self._configured]
        allowed = self._within_rate(peer, Topic.PEG_SIGNATURE, units)
        return queue if allowed and self._has_budget(peer, Topic.PEG_SIGNATURE, units) and queue.take() else None

    # Changes of the federation

    def update(self, peer: str) -> CheckQueue | None:
        """The queue for the check of a change of the federation, with a place taken; None without capacity."""
        topic, queue = Topic.FEDERATION_UPDATE, self._update_queues[peer in self._configured]
        allowed = self._within_rate(peer, topic, 1.0) and self._has_budget(peer, topic, 1.0)
        return queue if allowed and queue.take() else None

    # Rates

    def _within_rate(self, peer: str, topic: Topic, units: float) -> bool:
        allowed = self._rates.peers[topic].take(peer, trio.current_time(), units)
        if not allowed:
            self._blame(peer, PeerOffence.FLOODING)
        return allowed

    def _has_budget(self, peer: str, topic: Topic, units: float, budget: str = _ALL) -> bool:
        """Whether the message is from a configured peer, or the budget of all strangers allows it.

        The peer is not blamed if the budget is used up, because other peers have used it too.
        """
        return peer in self._configured or self._rates.strangers[topic].take(budget, trio.current_time(), units)

    def _queue(self, peer: str) -> CheckQueue:
        return self._queues[peer in self._configured]


def digest_of(data: bytes) -> bytes:
    """The digest by which a proposal is known: that of its encoded block and its author's approval.

    The approvals of the parent are left out, because one block can be proposed with many sets of them. That of the
    author is not: if the author of another federation signs an honest block, the honest proposal still counts.
    Raises `Malformed`.
    """
    return sha256(proposal_signed(data)).digest()
