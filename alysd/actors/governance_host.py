"""The governance host: keeps a stream to one of the governance's servers, and the outbox.

In a node it runs in a process of its own, because it reads bytes from outside. It knows nothing of the chain: the
stream actor in the node decides what a message means.
"""

from random import Random

import attrs
import trio

from alysd.actors.governance_counts import LinkCounts
from alysd.actors.governance_outbox import GovernanceOutbox
from alysd.actors.governance_session import GovernanceSession
from alysd.errors import GovernanceUnavailable
from alysd.messages.governance import (
    GovernanceHost,
    GovernanceLinkMoved,
    GovernanceStream,
    SendAttestation,
    SendNodeStatus,
    SendPegIn,
    SendSignatureRequest,
)
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.ports import Clock, GovernanceLink, KeptRecords
from alysd.types.governance import GovernanceHostConfig, NodeStatus
from alysd.wire.governance import encode_attestation, encode_peg_in, encode_signature_request

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until the next attempt to connect: after the first failure, and at most. It doubles at each failure."""

STEADY_SECONDS = 30.0
"""The time for which a connection must last until the pauses begin at `FIRST_PAUSE` again."""

REPORT_SECONDS = 5.0
"""The interval in which the stream actor gets the state of the connection, besides each change."""


@attrs.define
class GovernanceBackoff:
    """The pauses between attempts. Chance shortens each by up to half, so that nodes do not come in step."""

    rng: Random
    _failures: int = 0

    def after(self, lasted: float) -> float:
        """The pause after a connection that `lasted` this many seconds, 0 for a failed attempt."""
        self._failures = 0 if lasted >= STEADY_SECONDS else self._failures
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return pause * self.rng.uniform(0.5, 1.0)


class GovernanceHostActor(Actor[GovernanceHost]):
    """Keeps the stream in its background. Its handlers only write to the outbox."""

    def __init__(
        self,
        config: GovernanceHostConfig,
        link: GovernanceLink,
        records: KeptRecords,
        stream: Address[GovernanceStream],
        clock: Clock,
        rng: Random,
    ) -> None:
        self._config = config
        self._link = link
        self._outbox = GovernanceOutbox(records)
        self._stream = stream
        self._clock = clock
        self._backoff = GovernanceBackoff(rng)
        self._counts = LinkCounts()
        self._status: NodeStatus | None = None

    async def background(self) -> None:
        """Connect again and again, to each server in turn, until the actor ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_regularly)
            turn = 0
            while True:
                pause = await self._connect(turn)
                turn += 1
                await trio.sleep(pause)

    @handles(SendPegIn)
    async def send_peg_in(self, message: SendPegIn) -> None:
        """Put the notification into the outbox. Raises `NotNow`."""
        await self._outbox.add(encode_peg_in(self._config, message.notice, self._clock.time()))

    @handles(SendAttestation)
    async def send_attestation(self, message: SendAttestation) -> None:
        """Put the attestation into the outbox. Raises `NotNow`."""
        await self._outbox.add(
            encode_attestation(
                self._config, message.id, message.hash, message.key, message.signature, self._clock.time()
            )
        )

    @handles(SendSignatureRequest)
    async def send_signature_request(self, message: SendSignatureRequest) -> None:
        """Put the request into the outbox. Raises `NotNow`."""
        await self._outbox.add(encode_signature_request(self._config, message.payment, self._clock.time()))

    @handles(SendNodeStatus)
    async def send_status(self, message: SendNodeStatus) -> None:
        """Send the status with the next messages."""
        self._status = message.status
        self._outbox.wake()

    async def _connect(self, turn: int) -> float:
        """Run one connection to its end, and return the pause until the next attempt."""
        endpoint, counts = self._config.endpoints[turn % len(self._config.endpoints)], self._counts
        counts.endpoint, begun = str(endpoint), trio.current_time()
        try:
            async with self._link.connect(endpoint) as connection:
                reason = await GovernanceSession(
                    self._config, connection, self._outbox, counts, self._stream, self._clock, self._take_status,
                    self._report,
                ).run()  # fmt: skip
        except GovernanceUnavailable as error:
            reason = error.reason
        lasted = trio.current_time() - begun if counts.connected else 0.0
        counts.connected, counts.reason = False, reason
        await self._report()
        return self._backoff.after(lasted)

    def _take_status(self) -> NodeStatus | None:
        status, self._status = self._status, None
        return status

    async def _report_regularly(self) -> None:
        while True:
            await trio.sleep(REPORT_SECONDS)
            await self._report()

    async def _report(self) -> None:
        """Tell the stream actor the state. It is lost if there is no room for it: the next one follows soon."""
        with trio.move_on_after(REPORT_SECONDS):
            try:
                await self._stream.send(GovernanceLinkMoved(self._counts.state(len(self._outbox))))
            except NotAnswered:
                return  # the stream actor is stopped, and the node with it
