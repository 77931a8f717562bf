"""The stream actor: gives the messages of the governance their meaning, and reports this node to it.

No block depends on it. While the governance is away, this node keeps what it has to say (`governance_host`).
"""

from collections import Counter, deque

import attrs
import trio

from alysd.actors.governance_counts import RefusalLog
from alysd.actors.governance_proposals import ProposalBook
from alysd.actors.governance_signing import SignatureAsks, TooManyAnswers
from alysd.consensus.update_violations import NoGovernance, TooFar, UpdatePending, WrongSequence
from alysd.errors import NotNow, Refused, StoreError
from alysd.messages.events import OperationsMoved
from alysd.messages.federation_update import FederationUpdates, SubmitFederationUpdate
from alysd.messages.governance import (
    GetGovernance,
    GetProposals,
    GovernanceHost,
    GovernanceLinkMoved,
    GovernanceStream,
    ProposalReceived,
    RequestRefused,
    SendAttestation,
    SendNodeStatus,
    SendPegIn,
    SendSignatureRequest,
    SignaturesReceived,
    UpdateReceived,
)
from alysd.messages.log.base import log
from alysd.messages.log.governance import (
    FederationUpdateEarly,
    FederationUpdateRefused,
    GovernanceAskedToSign,
    GovernanceConnected,
    GovernanceLost,
    GovernanceMessagesRefused,
    GovernanceNotStored,
    GovernanceRefusesRequest,
    GovernanceSignaturesRefused,
    GovernanceSignaturesTaken,
    PegInsNotReported,
    ProposalKept,
    ProposalRefused,
)
from alysd.messages.network import GetPeers, Network
from alysd.messages.peg_signatures import InvalidPegSignature, UnknownVersion
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.nurseries import Actor, Address, Ask, Bus, NotAnswered, Refusal, handles
from alysd.ports import Clock
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import FederationUpdate
from alysd.types.governance import (
    GovernanceLinkState,
    GovernanceReport,
    KeptProposal,
    NodeStatus,
    PegInNotice,
)
from alysd.types.hashes import displayed
from alysd.types.peg import RESERVE
from alysd.types.peg_operation import OperationState, PegOperation

NEVER_CONNECTED = GovernanceLinkState(
    connected=False, endpoint="", reason="not connected yet", waiting=0, sent=0, received=0, connections=0
)
"""The state before the first report of the host."""

STATUS_SECONDS = 10.0
"""The interval of status updates, and of attempts to send what the host has not taken."""

ASK_SECONDS = 5.0
"""Deadline of the asks to the host and to the actors whose state the status has."""

EVENTS_WAITING = 1024
"""The blocks with operations of the peg that wait to be handled: some minutes of a busy node."""

NOTICES_WAITING = 4096
"""The notifications that wait for room in the outbox. Further ones are lost, which is logged."""

EARLY_UPDATES = 4
"""The changes that wait until this node is synced, unchecked and in memory. A further one replaces the oldest."""

LATE_SLOTS = 10
"""The age of the head, in slots, from which the status is `late`."""


@attrs.define
class GovernanceMemory:
    """Outlives restarts of the actor: the state of the connection, and the notifications not handed on yet."""

    link: GovernanceLinkState = NEVER_CONNECTED
    since: float = 0.0
    logged: dict[str, int] = attrs.field(factory=dict[str, int])
    notices: deque[PegInNotice] = attrs.field(factory=deque[PegInNotice])
    declined: Counter[str] = attrs.field(factory=Counter[str])
    early: deque[FederationUpdate] = attrs.field(factory=lambda: deque[FederationUpdate](maxlen=EARLY_UPDATES))


@attrs.frozen
class GovernancePeers:
    """The actors whose state the governance hears. A node without peers has neither `network` nor `sync`."""

    reader: Address[Reads]
    network: Address[Network] | None
    sync: Address[Sync] | None


class GovernanceStreamActor(Actor[GovernanceStream]):
    """Keeps and attests proposals, and sends status and peg-ins, in its background, through `host`.

    `updates` takes the changes of the federation; it is None on a chain without governance keys. `asks` gets the
    signatures that payments lack; it is None on a chain without a peg.
    """

    def __init__(
        self,
        context: ChainContext,
        host: Address[GovernanceHost],
        peers: GovernancePeers,
        book: ProposalBook,
        bus: Bus,
        clock: Clock,
        memory: GovernanceMemory,
        updates: Address[FederationUpdates] | None,
        asks: SignatureAsks | None,
    ) -> None:
        self._context = context
        self._host = host
        self._peers = peers
        self._book = book
        self._bus = bus
        self._clock = clock
        self._memory = memory
        self._updates = updates
        self._asks = asks
        self._refusals = RefusalLog()
        self._not_stored = ""
        self._status_at = float("-inf")
        self._wake = trio.Event()

    async def background(self) -> None:
        """Collect peg-ins, and send what there is to send, until the actor ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect)
            while True:
                if trio.current_time() - self._status_at >= STATUS_SECONDS:
                    self._status_at = trio.current_time()
                    await self._send_status()
                await self._send_kept()
                await self._ask_for_signatures()
                await self._submit_early()
                with trio.move_on_after(STATUS_SECONDS):
                    await self._wake.wait()
                self._wake = trio.Event()

    @handles(GovernanceLinkMoved)
    async def link_moved(self, message: GovernanceLinkMoved) -> None:
        """Remember the state, and log what has changed."""
        memory, link = self._memory, message.state
        before, memory.link = memory.link, link
        if link.connected != before.connected:
            memory.since = self._clock.time()
        if link.connected and (not before.connected or link.connections != before.connections):
            log(GovernanceConnected(link.endpoint, link.waiting))
        elif not link.connected and link.reason and (before.connected or link.reason != before.reason):
            log(GovernanceLost(link.endpoint, link.reason))
        for name, count in link.refused:
            new = count - memory.logged.get(name, 0)
            if new < 0 or new > 0:  # fewer: the host's process is another one
                memory.logged[name] = count
                log(GovernanceMessagesRefused(name, new if new > 0 else count))

    @handles(ProposalReceived)
    async def proposal_received(self, message: ProposalReceived) -> None:
        """Keep and attest the proposal, or log why not. Raises `NotNow` if the disk fails."""
        proposal = message.proposal
        known = self._book.knows(proposal)
        try:
            kept = await self._book.keep(proposal)
        except StoreError as error:
            self._note(str(error))
            raise NotNow(f"this node cannot keep a proposal now: {error}") from None
        if isinstance(kept, str):
            self._refusals.add(ProposalRefused(proposal.id, kept))
            return
        if not known:
            attested = kept.signature is not None
            log(ProposalKept(proposal.id, proposal.kind.value, len(proposal.data), attested))
        if self._book.unsent:
            self._wake.set()

    @handles(UpdateReceived)
    async def update_received(self, message: UpdateReceived) -> None:
        """Hand the change to the chain, which keeps it, knows it, or refuses it. Raises `NotNow`."""
        await self._submit(message.update)

    async def _submit(self, update: FederationUpdate) -> None:
        """Hand a change to the chain. While this node syncs, one for a later head waits. Raises `NotNow`."""
        updates, early = self._updates, self._memory.early
        if updates is None:
            self._decline(update, NoGovernance())
            return
        try:
            await updates.ask(SubmitFederationUpdate(update), seconds=ASK_SECONDS)
        except (NotAnswered, NotNow) as error:
            raise NotNow(f"this node cannot check a change of the federation now: {error}") from None
        except (WrongSequence, UpdatePending, TooFar) as error:
            stale = isinstance(error, WrongSequence) and update.sequence < error.expected
            if stale or await self._synced():
                self._decline(update, error)
            elif update not in early:
                early.append(update)
                self._refusals.add(FederationUpdateEarly(update.sequence, update.kind, str(error)))
        except Refused as error:
            self._decline(update, error)

    @handles(SignaturesReceived)
    async def signatures_received(self, message: SignaturesReceived) -> None:
        """Have the signatures checked like those of a peer. Raises `NotNow` while nobody can."""
        txid = message.signatures[0].txid
        error: Refused
        if self._asks is None:
            error = UnknownVersion(txid)
        else:
            try:
                new = await self._asks.take(message.signatures)
            except (UnknownVersion, TooManyAnswers, InvalidPegSignature) as refused:
                error = refused
            else:
                if new:
                    log(GovernanceSignaturesTaken(displayed(txid), new))
                return
        rule = type(error).__name__
        self._memory.declined[f"signatures: {rule}"] += 1
        self._refusals.add(GovernanceSignaturesRefused(displayed(txid), rule, str(error)))

    def _decline(self, update: FederationUpdate, error: Refused) -> None:
        """Count a refused change by the rule that it breaks, and log it."""
        rule = type(error).__name__
        self._memory.declined[f"federation update: {rule}"] += 1
        self._refusals.add(FederationUpdateRefused(update.sequence, update.kind, rule, str(error)))

    def _note(self, reason: str) -> None:
        """Log that something was not stored, once until the reason changes."""
        if reason and reason != self._not_stored:
            log(GovernanceNotStored(reason))
        self._not_stored = reason

    @handles(RequestRefused)
    async def request_refused(self, message: RequestRefused) -> None:
        """Log the refusal, because a person has to find out its cause."""
        self._refusals.add(GovernanceRefusesRequest(message.request, message.reason))

    @handles(GetProposals)
    async def get_proposals(self, message: GetProposals) -> tuple[KeptProposal, ...]:
        """The kept proposals."""
        return self._book.proposals

    @handles(GetGovernance)
    async def get_governance(self, message: GetGovernance) -> GovernanceReport:
        """The state of the stream."""
        memory = self._memory
        declined = tuple(sorted((self._book.refused + memory.declined).items()))
        return GovernanceReport(memory.link, memory.since, len(self._book), declined)

    async def _synced(self) -> bool:
        """Whether this node has the head of its peers; False while nobody knows."""
        if self._peers.sync is None:
            return True
        try:
            return (await self._peers.sync.ask(GetSyncProgress(), seconds=ASK_SECONDS)).synced
        except (NotAnswered, Refused):
            return False

    async def _submit_early(self) -> None:
        """Hand the changes on that came while this node was syncing, once it is synced."""
        early = self._memory.early
        if not early or not await self._synced():
            return
        for update in tuple(early):
            try:
                await self._submit(update)
            except NotNow as error:
                self._note(str(error))
                return
            early.remove(update)

    async def _collect(self) -> None:
        """Turn the credited deposits of each block into notifications."""
        with self._bus.subscribe(OperationsMoved, capacity=EVENTS_WAITING) as events:
            async for event in events:
                lost = 0
                for one in event.moves.moves:
                    notice = self._notice(one)
                    if notice is not None and len(self._memory.notices) < NOTICES_WAITING:
                        self._memory.notices.append(notice)
                    elif notice is not None:
                        lost += 1
                if lost:
                    log(PegInsNotReported(lost))
                self._wake.set()

    def _notice(self, one: PegOperation) -> PegInNotice | None:
        """The notification of a deposit that a block has credited; None for other operations."""
        if one.state is not OperationState.MINTED or one.deposit is None or one.height is None:
            return None
        recipient = RESERVE if one.account is None else one.account
        confirmations = self._context.spec.peg_in_confirmations if one.confirmations is None else one.confirmations
        return PegInNotice(one.deposit, one.amount, recipient, confirmations, one.height)

    async def _send_kept(self) -> None:
        """Hand attestations and notifications to the outbox; what it does not take stays for the next attempt."""
        for kept in self._book.unsent:
            proposal = kept.proposal
            if kept.key is None or kept.signature is None:
                continue
            if not await self._sent(SendAttestation(proposal.id, proposal.hash, kept.key, kept.signature)):
                return
            try:
                await self._book.sent(kept)
            except StoreError as error:  # the next attempt sends the same request once more
                self._note(str(error))
                return
        notices = self._memory.notices
        while notices and await self._sent(SendPegIn(notices[0])):
            notices.popleft()

    async def _ask_for_signatures(self) -> None:
        """Ask for the signatures that payments lack; what the outbox does not take waits for the next attempt."""
        asks = self._asks
        for payment in [] if asks is None else await asks.due():
            message = SendSignatureRequest(payment)
            if asks is not None and await self._sent(message):
                asks.asked(message)
                log(GovernanceAskedToSign(displayed(payment.txid), payment.given, payment.needed))

    async def _sent(self, message: Ask[GovernanceHost, None]) -> bool:
        try:
            await self._host.ask(message, seconds=ASK_SECONDS)
        except NotNow as error:
            self._note(str(error))
            return False
        except (NotAnswered, Refusal, Refused):
            return False
        self._note("")
        return True

    async def _send_status(self) -> None:
        """Send this node's status; nothing if the reader does not answer."""
        peers, now = self._peers, self._clock.time()
        try:
            tip = await peers.reader.ask(ReadForkchoice(), seconds=ASK_SECONDS)
            synced, count = True, 0
            if peers.sync is not None:
                synced = (await peers.sync.ask(GetSyncProgress(), seconds=ASK_SECONDS)).synced
            if peers.network is not None:
                count = len(await peers.network.ask(GetPeers(), seconds=ASK_SECONDS))
            late = now - tip.head.timestamp > LATE_SLOTS * self._context.spec.slot_seconds
            status = NodeStatus(
                "late" if late else "healthy", tip.head.height, tip.finalized.height, synced, count
            )
            await self._host.send(SendNodeStatus(status))
        except (NotAnswered, Refusal, Refused):
            return  # the next one follows soon
