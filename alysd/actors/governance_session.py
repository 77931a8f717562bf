"""One connection to the governance: registration, heartbeats, the outbox, and what the governance sends."""

from collections.abc import Awaitable, Callable

import attrs
import trio

from alysd.actors.governance_counts import LinkCounts
from alysd.actors.governance_outbox import GovernanceOutbox
from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.errors import GovernanceUnavailable, NotNow, StoreError
from alysd.messages.governance import (
    GovernanceStream,
    ProposalReceived,
    RequestRefused,
    SignaturesReceived,
    UpdateReceived,
)
from alysd.nurseries import Address, NotAnswered
from alysd.nurseries.errors import leaf_of
from alysd.ports import Clock, GovernanceConnection
from alysd.types.governance import GovernanceHostConfig, NodeStatus
from alysd.wire.governance import (
    decode_response,
    encode_heartbeat,
    encode_registration,
    encode_status,
)
from alysd.wire.governance_values import (
    GovernanceRefused,
    GovernanceResponse,
    HeartbeatAnswered,
    NodeRegistered,
    ProposalAnnounced,
    RequestAcknowledged,
    RequestDeclined,
    SignaturesGiven,
    UpdateAnnounced,
)

REGISTER_SECONDS = 10.0
"""Deadline for the answer to the registration."""

HEARTBEAT_SECONDS = 10.0
"""The interval of heartbeats."""

UNANSWERED = 3
"""The heartbeats without an answer after which the governance counts as lost."""

DELIVER_SECONDS = 30.0
"""Deadline for the stream actor to take a message. It covers a restart of that actor, and a slow disk."""

RESEND_SECONDS = 5.0
"""The longest wait until the outbox is looked at again for requests whose answer is overdue."""

READ = AllowedRate(per_second=50.0, burst=200.0)
"""The messages that are read: a node needs one in some seconds. More wait at the governance, by flow control."""

MOST_REFUSED = 100
"""The refused messages of one connection after which it is given up."""


@attrs.define
class GovernanceSession:
    """A connection with its counts.

    `status` gives the newest status that was not sent yet, and forgets it. `changed` is called after the
    registration.
    """

    config: GovernanceHostConfig
    connection: GovernanceConnection
    outbox: GovernanceOutbox
    counts: LinkCounts
    stream: Address[GovernanceStream]
    clock: Clock
    status: Callable[[], NodeStatus | None]
    changed: Callable[[], Awaitable[None]]
    _sequence: int = 0
    _answered: int = 0
    _refused: int = 0

    async def run(self) -> str:
        """Register, then serve the connection to its end. Returns the reason of the end."""
        try:
            expires = await self._register()
        except GovernanceUnavailable as error:
            return error.reason
        self.outbox.connected()
        self.counts.connected, self.counts.reason = True, ""
        self.counts.connections += 1
        await self.changed()
        reason = "the registration has ended"
        try:
            with trio.move_on_after(float("inf") if expires is None else max(0.0, expires - self.clock.time())):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_outbox)
                    nursery.start_soon(self._send_heartbeats)
                    nursery.start_soon(self._receive)
        except* GovernanceUnavailable as failed:
            reason = str(getattr(leaf_of(failed), "reason", failed))
        return reason

    async def _register(self) -> float | None:
        """Register, and return the Unix time at which the registration ends. Raises `GovernanceUnavailable`."""
        await self._send(encode_registration(self.config, self.clock.time()).data)
        with trio.move_on_after(REGISTER_SECONDS):
            while True:
                match await self._next():
                    case NodeRegistered(accepted=True, expires=expires):
                        if expires is not None and expires <= self.clock.time():
                            raise self._unavailable("it registers this node until a time that has passed")
                        return expires
                    case NodeRegistered(message=message) | RequestDeclined(reason=message):
                        raise self._unavailable(f"it refuses the registration: {message or 'no reason given'}")
                    case None:
                        pass
                    case _:
                        self._refuse(GovernanceRefused("message before the registration"))
        raise self._unavailable(f"no answer to the registration within {REGISTER_SECONDS:g} s")

    async def _send_outbox(self) -> None:
        while True:
            status = self.status()
            if status is not None:
                await self._send(encode_status(self.config, status, self.clock.time()).data)
            for request in self.outbox.due():
                await self._send(request.data)
            await self.outbox.changed(RESEND_SECONDS)

    async def _send_heartbeats(self) -> None:
        while True:
            if self._sequence - self._answered >= UNANSWERED:
                raise self._unavailable(f"no answer to {UNANSWERED} heartbeats")
            self._sequence += 1
            await self._send(encode_heartbeat(self.config, self._sequence, "healthy", self.clock.time()).data)
            await trio.sleep(HEARTBEAT_SECONDS)

    async def _receive(self) -> None:
        limits = RateLimits(READ)
        while True:
            if not limits.take("governance", trio.current_time()):
                await trio.sleep(1 / READ.per_second)
                limits.charge("governance", trio.current_time(), 1)
            match await self._next():
                case None:
                    pass
                case HeartbeatAnswered(sequence):
                    if not self._answered < sequence <= self._sequence:
                        self._refuse(GovernanceRefused("answer to no heartbeat", f"{sequence}"))
                    self._answered = max(self._answered, min(sequence, self._sequence))
                case RequestAcknowledged(request):
                    await self._answer(request, "")
                case RequestDeclined(request, reason, again):
                    if not again:
                        await self._answer(request, reason)
                case ProposalAnnounced(proposal):
                    await self._deliver(ProposalReceived(proposal))
                case UpdateAnnounced(update):
                    await self._deliver(UpdateReceived(update))
                case SignaturesGiven(request, signatures):
                    await self._deliver(SignaturesReceived(signatures))
                    await self._removed(request)  # it may have been acknowledged before
                case NodeRegistered():
                    self._refuse(GovernanceRefused("second answer to the registration"))

    async def _answer(self, request: str, reason: str) -> None:
        """Take a request out of the outbox; with a `reason`, the governance has refused it for good."""
        if request in self.outbox:
            if reason:
                await self._tell_refused(RequestRefused(request, reason))
            await self._removed(request)
        elif not request.startswith(("status-", "heartbeat-", "registration-")):
            self._refuse(GovernanceRefused("answer to no request"))

    async def _tell_refused(self, message: RequestRefused) -> None:
        """Report a refusal before its request is forgotten. The next message of the governance waits for it."""
        with trio.move_on_after(DELIVER_SECONDS) as waiting:
            try:
                await self.stream.send(message)
            except NotAnswered as error:
                raise self._unavailable(f"this node cannot take its messages now: {error}") from None
        if waiting.cancelled_caught:
            raise self._unavailable(f"this node has not taken its messages for {DELIVER_SECONDS:g} s")

    async def _removed(self, request: str) -> bool:
        """Take a request out of the outbox. Returns whether it was there."""
        try:
            return await self.outbox.remove(request)
        except StoreError as error:
            raise self._unavailable(f"this node cannot write its outbox now: {error}") from None

    async def _deliver(self, message: ProposalReceived | UpdateReceived | SignaturesReceived) -> None:
        """Give a message to the stream actor. The next message of the governance waits for it."""
        try:
            await self.stream.ask(message, seconds=DELIVER_SECONDS)
        except (NotAnswered, NotNow) as error:
            raise self._unavailable(f"this node cannot take its messages now: {error}") from None

    async def _next(self) -> GovernanceResponse | None:
        """The next message; None for one that is refused. Raises `GovernanceUnavailable`."""
        data = await self.connection.receive()
        self.counts.received += 1
        try:
            return decode_response(data)
        except GovernanceRefused as refused:
            self._refuse(refused)
            return None

    def _refuse(self, refused: GovernanceRefused) -> None:
        self.counts.refuse(refused.name)
        self._refused += 1
        if self._refused >= MOST_REFUSED:
            raise self._unavailable(f"{MOST_REFUSED} of its messages were refused, the last one as: {refused}")

    async def _send(self, data: bytes) -> None:
        await self.connection.send(data)
        self.counts.sent += 1

    def _unavailable(self, reason: str) -> GovernanceUnavailable:
        return GovernanceUnavailable(self.counts.endpoint, reason)
