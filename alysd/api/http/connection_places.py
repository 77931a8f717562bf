"""Decides which connections a port keeps, which requests it runs, and which connection a full port closes."""

import math
import select
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus

import attrs
import trio

from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import HttpRefused
from alysd.messages.log.base import log
from alysd.messages.log.clients import ClientsTurnedAway, RequestFailed
from alysd.messages.metrics import PortCounts
from alysd.types.latest import Latest

WATCH_SECONDS = 0.1
"""Seconds between two checks of the deadlines of all connections. With some hundreds a check takes 0.1 ms."""

LOG_SECONDS = 60.0
"""Seconds between two log lines about clients that were turned away."""

GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""The events of a socket whose client has closed it, at least for sending."""


class Phase(Enum):
    """The phases of a connection. For a new one, a full port may close one that is not RUNNING."""

    IDLE = "without a request"
    READING = "receiving a request"
    RUNNING = "working on a response"
    PAUSED = "waiting for the turn of an item of a batch, or of a pipelined request"
    SENDING = "sending a response"


class Port:
    """The open connections of one port, with their counts. `closing` is set when the server begins to stop."""

    def __init__(self, limits: ServerLimits | Latest[ServerLimits], counts: PortCounts) -> None:
        self._limits = limits if isinstance(limits, Latest) else Latest(limits)
        self.counts = counts
        self.closing = trio.Event()
        self.places: set[Place] = set()
        self.running = {True: 0, False: 0}  # by Route.operator
        self.body_bytes = 0
        self.response_bytes = 0
        self.room = trio.lowlevel.ParkingLot()
        self._empty = trio.lowlevel.ParkingLot()
        self._turns = trio.Semaphore(self.limits.turns)
        self._logged = attrs.evolve(counts)
        self._logged_at = -math.inf

    @property
    def limits(self) -> ServerLimits:
        """The limits, which can change while the server runs, but for `turns`."""
        return self._limits.value

    def enter(self, descriptor: int | None = None) -> "Place":
        """Make a place for a new connection, over the socket with this file descriptor.

        When the port is full, close the connection that has waited longest: for a request, for the next item of
        its batch, or for its client to receive a response. WebSockets without a request are closed only if no
        other connection waits. If every other connection runs a request, the new connection itself is closed.
        """
        place = Place(self, descriptor)
        self.places.add(place)
        self._empty.unpark_all()
        self.counts.opened += 1
        if len(self.places) > self.limits.rpc + self.limits.operator + self.limits.waiting:
            (self._longest(other for other in self.places if other is not place) or place).give_up()
        return place

    @property
    def crowded(self) -> bool:
        """Whether half of `rpc` requests run. Pipelined requests and items of batches then wait."""
        return self.running[False] >= (self.limits.rpc + 1) // 2

    def make_room(self, sender: "Place") -> None:
        """Close the connections that have waited longest until all responses are within the limit.

        `sender`, whose response is the newest, is kept. A WebSocket whose client does not read its answers is
        closed although other requests of it run: a client that goes on asking would fill the memory.
        """
        while self.response_bytes > self.limits.responses:
            unread = (place for place in self.places if place.unread and place is not sender)
            longest = min(unread, key=Place.rank, default=None)
            if longest is None:
                return
            longest.give_up()

    def _longest(self, places: Iterable["Place"]) -> "Place | None":
        """The place that has waited longest. None if all `places` run a request or are being closed."""
        return min((place for place in places if place.waits), key=Place.rank, default=None)

    async def watch(self) -> None:
        """Cancel connections at most `WATCH_SECONDS` after their deadline. Never returns."""
        while True:
            if not self.places:
                await self._empty.park()  # an idle node is not woken ten times per second and port
            await trio.sleep(WATCH_SECONDS)
            await trio.lowlevel.checkpoint()  # what has arrived while the process was stopped is received first
            now = trio.current_time()
            for place in tuple(self.places):
                if now >= place.deadline:
                    place.deadline = math.inf
                    place.scope.cancel()

    def started(self, *, operator: bool) -> None:
        """Count a request that runs from now on."""
        self.running[operator] += 1

    def ended(self, *, operator: bool) -> None:
        """Count a request that no longer runs, and let the next one begin if there is room."""
        self.running[operator] -= 1
        if not self.crowded:
            self.room.unpark()

    async def line_up(self) -> None:
        """Wait for a turn, and until other clients leave room for another request of the same client."""
        await self.turn()
        while self.crowded:
            await self.room.park()

    async def turn(self) -> None:
        """Wait in line for a turn. In each pass of the event loop, `ServerLimits.turns` tasks get a turn.

        A task that gets its turn wakes the next task in line, which runs in the next pass.
        """
        async with self._turns:
            pass

    def gave_way(self) -> None:
        """Count a connection that was closed for a new one."""
        self.counts.gave_way += 1
        self._log()

    def slow(self) -> None:
        """Count a client that does not receive its responses."""
        self.counts.slow += 1
        self._log()

    def refused(self, refused: HttpRefused) -> None:
        """Count a request that was refused."""
        if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.counts.busy += 1
            self._log()
        else:
            self.counts.refused += 1

    def failed(self, error: Exception) -> None:
        """Log and count an error in this program."""
        self.counts.failed += 1
        log(RequestFailed.of(self.counts.port, error))

    def _log(self) -> None:
        if trio.current_time() - self._logged_at >= LOG_SECONDS:
            new, old = self.counts, self._logged
            log(ClientsTurnedAway(new.port, new.gave_way - old.gave_way, new.busy - old.busy, new.slow - old.slow))
            self._logged, self._logged_at = attrs.evolve(new), trio.current_time()


class Part:
    """One of the requests of a WebSocket, which run at the same time. `body` is the size of the request.

    Its place keeps it from the arrival of the request until `end`, or until the connection ends.
    """

    def __init__(self, place: "Place", body: int) -> None:
        self.since = trio.current_time()
        self.unsent = 0
        self.running = False
        self._place = place
        self._port = place.port
        self._body = body

    async def run_when_free(self) -> None:
        """Wait until other clients leave room, then run the request."""
        self._pause()
        await self._port.line_up()
        self._port.started(operator=False)
        self.running = True

    async def pause(self, answered: int) -> None:
        """Let other requests run before the next item of a batch, as `Place.pause`."""
        self._place.check_client()
        self._hold(answered)
        await self.run_when_free()

    def send(self, size: int) -> None:
        """The answer, of `size` bytes, waits to be sent. The request no longer runs."""
        self._pause()
        self._hold(size)

    def end(self) -> None:
        """The answer is sent, or will never be."""
        self._pause()
        self.release()
        self._place.parts.discard(self)

    def release(self) -> None:
        """Give back the bytes of the request and of its answer."""
        self._port.body_bytes -= self._body
        self._port.response_bytes -= self.unsent
        self._body = self.unsent = 0

    def _pause(self) -> None:
        if self.running:
            self.running = False
            self._port.ended(operator=False)

    def _hold(self, size: int) -> None:
        """Count `size` bytes of the answer. Close the connection whose answers alone exceed the limit."""
        self._port.response_bytes += size - self.unsent
        self.unsent = size
        self._port.make_room(self._place)
        if self._place.unsent > self._port.limits.responses:
            self._place.give_up()


class Place:
    """One connection of a port: its phase, the deadline of the phase, and the number of bytes that it holds.

    `scope` is the cancel scope of the connection's work. `Port.watch` cancels the scope when the deadline of a
    phase has passed. Setting a deadline on the scope for each phase would take as much time as parsing a request.
    `descriptor` is the file descriptor of the connection's socket; None without a socket.
    """

    def __init__(self, port: Port, descriptor: int | None = None) -> None:
        self.port = port
        self.scope = trio.CancelScope()
        self.websocket = False
        self.given_up = False
        self.phase = Phase.IDLE
        self.since = trio.current_time()
        self.deadline = self.since + port.limits.keep_alive
        self.parts: set[Part] = set()
        self._unsent = 0
        self._operator = False
        self._bytes = 0
        self.pipelined = False
        self._send_allowance = port.limits.send
        self._sending_ended = self.since
        self._client: select.poll | None = None
        if descriptor is not None:
            self._client = select.poll()
            self._client.register(descriptor, select.POLLRDHUP)

    @property
    def waits(self) -> bool:
        """Whether the connection may be closed for another: it waits for its client or for its turn."""
        return self.phase is not Phase.RUNNING and not self.given_up and not any(p.running for p in self.parts)

    @property
    def unsent(self) -> int:
        """The bytes of responses that the client has not received."""
        return self._unsent + sum(part.unsent for part in self.parts)

    @property
    def unread(self) -> bool:
        """Whether responses are complete that the client has not received, and the connection may be closed."""
        unread = self._unsent and self.phase is not Phase.RUNNING
        return not self.given_up and bool(unread or any(part.unsent and not part.running for part in self.parts))

    def rank(self) -> tuple[bool, float]:
        """The sort key of waiting connections. The smallest is closed first: the one that has waited longest.

        A connection that pipelines its requests has waited since the first of these requests.
        """
        idle = self.websocket and self.phase is Phase.IDLE and not self.parts
        return idle, min([self.since, *(part.since for part in self.parts)])

    def rest(self, *, pipelined: bool = False) -> None:
        """Change the phase: the connection waits for the next request.

        `pipelined` says that the beginning of the next request has already arrived.
        """
        self._release()
        self.pipelined = pipelined
        if not pipelined:
            self.since = trio.current_time()
        self._move(Phase.IDLE, math.inf if self.websocket else self.port.limits.keep_alive)

    def read(self) -> None:
        """Change the phase: a request has begun to arrive."""
        if not self.pipelined:
            self.since = trio.current_time()
        self._move(Phase.READING, self.port.limits.request)

    def grow(self, size: int) -> None:
        """Count `size` more bytes of a request's body.

        Raises `HttpRefused` when all bodies together are too large.
        """
        if self.port.body_bytes + size > self.port.limits.bodies:
            raise HttpRefused(
                503, f"the requests' bodies exceed {self.port.limits.bodies} bytes together; try again"
            )
        self.port.body_bytes += size
        self._bytes += size

    def run(self, *, operator: bool) -> None:
        """Change the phase: the request runs, without a deadline.

        Raises `HttpRefused` when too many requests run.
        """
        most = self.port.limits.operator if operator else self.port.limits.rpc
        if self.port.running[operator] >= most:
            raise HttpRefused(503, f"{most} requests are running already; try again")
        self._operator = operator
        self._move(Phase.RUNNING)

    def begin_part(self) -> Part:
        """The message that has arrived becomes a request of its own, which holds the bytes of the message."""
        part = Part(self, self._bytes)
        self._bytes = 0
        self.parts.add(part)
        return part

    def check_client(self) -> None:
        """End the connection if the client has closed it.

        A client that has closed only its sending half also counts as gone, because the two cases cannot be
        distinguished.
        """
        if self._client is not None and any(events & GONE for _, events in self._client.poll(0)):
            self.scope.cancel()

    async def pause(self, answered: int) -> None:
        """Let other requests run before a batch's next item. The batch's answers so far have `answered` bytes.

        End the connection if the client has closed it.
        """
        self.check_client()
        self._move(Phase.PAUSED)
        self._hold(answered)
        await self._line_up()

    async def run_when_free(self) -> None:
        """Wait until other clients leave room for another request of this client, then run the request."""
        self._operator = False
        self._move(Phase.PAUSED)
        await self._line_up()

    def send(self, size: int) -> None:
        """Change the phase: a response of `size` bytes is being sent.

        The client gets the time that `size` bytes take at `ServerLimits.send_rate`, and in addition as much of
        `ServerLimits.send` as its earlier responses have not used up.
        """
        limits = self.port.limits
        recovered = self._send_allowance + trio.current_time() - self._sending_ended
        self._send_allowance = min(limits.send, recovered) + size / limits.send_rate
        self._move(Phase.SENDING, self._send_allowance)
        self._hold(size)

    def give_up(self) -> None:
        """Close this connection to make room for a new connection or for a newer response."""
        self.given_up = True
        self._release()
        for part in self.parts:
            part.release()
        self.port.gave_way()
        self.scope.cancel()

    def leave(self) -> None:
        """Remove the connection, which has ended."""
        for part in tuple(self.parts):
            part.end()
        self._release()
        self._move(Phase.IDLE)
        self.port.places.discard(self)

    async def _line_up(self) -> None:
        await self.port.line_up()
        self._move(Phase.RUNNING)

    def _hold(self, size: int) -> None:
        """Count `size` bytes of response for this connection instead of its earlier count.

        If all responses together exceed the limit, close the connections that have waited longest, except this.
        """
        self.port.response_bytes += size - self._unsent
        self._unsent = size
        self.port.make_room(self)

    def _release(self) -> None:
        """Give back the bytes that the connection holds, except those of its parts."""
        self.port.body_bytes -= self._bytes
        self.port.response_bytes -= self._unsent
        self._bytes = self._unsent = 0

    def _move(self, phase: Phase, seconds: float = math.inf) -> None:
        """Change the phase. After SENDING, note how long the client took to receive the response."""
        now = trio.current_time()
        if self.phase is Phase.RUNNING:
            self.port.ended(operator=self._operator)
        elif self.phase is Phase.SENDING:
            self._sending_ended, self._send_allowance = now, self.deadline - now
        if phase is Phase.RUNNING:
            self.port.started(operator=self._operator)
        self.phase, self.deadline = phase, now + seconds
