"""Decides which connections a port keeps, which requests it runs, and which connection a full port closes."""

import math
from enum import Enum
from http import HTTPStatus

import attrs
import trio

from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import HttpRefused
from alysd.messages.log.base import log
from alysd.messages.log.clients import ClientsTurnedAway, RequestFailed
from alysd.messages.metrics import PortCounts

WATCH_SECONDS = 0.1
"""Seconds between two checks of the deadlines of all connections. With some hundreds a check takes 0.1 ms."""

LOG_SECONDS = 60.0
"""Seconds between two log lines about clients that were turned away."""


class Phase(Enum):
    """The phases of a connection. In the first two it may be closed for a new one when the port is full."""

    IDLE = "without a request"
    READING = "receiving a request"
    RUNNING = "working on a response"
    SENDING = "sending a response"


class Port:
    """The open connections of one port, with their counts. `closing` is set when the server begins to stop."""

    def __init__(self, limits: ServerLimits, counts: PortCounts) -> None:
        self.limits = limits
        self.counts = counts
        self.closing = trio.Event()
        self.places: set[Place] = set()
        self.running = {True: 0, False: 0}  # by Route.operator
        self.body_bytes = 0
        self._logged = attrs.evolve(counts)
        self._logged_at = -math.inf

    def enter(self) -> "Place":
        """Make a place for a new connection. When the port is full, close the connection that has waited longest.

        There is always a waiting connection, because fewer requests may run than connections may be open.
        WebSockets wait most of the time, so they are closed only if no other connection waits.
        """
        limits = self.limits
        if len(self.places) >= limits.rpc + limits.operator + limits.waiting:
            waiting = (place for place in self.places if not place.busy and not place.given_up)
            longest = min(waiting, key=lambda place: (place.websocket, place.since), default=None)
            if longest is not None:
                longest.give_up()
        place = Place(self)
        self.places.add(place)
        self.counts.opened += 1
        return place

    async def watch(self) -> None:
        """Cancel connections at most `WATCH_SECONDS` after their deadline. Never returns."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            await trio.lowlevel.checkpoint()  # what has arrived while the process was stopped is received first
            now = trio.current_time()
            for place in tuple(self.places):
                if now >= place.deadline:
                    place.deadline = math.inf
                    place.scope.cancel()

    def gave_way(self) -> None:
        """Count a connection that was closed for a new one."""
        self.counts.gave_way += 1
        self._log()

    def slow(self) -> None:
        """Count a client that does not receive what is sent."""
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


class Place:
    """One connection of a port: its phase, with a deadline, and the number of body bytes that it holds.

    `scope` is the cancel scope of the connection's work. `Port.watch` cancels it when the deadline of a phase has
    passed. A deadline of the scope itself would take as much time as parsing the request.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self.scope = trio.CancelScope()
        self.websocket = False
        self.given_up = False
        self.phase = Phase.IDLE
        self.since = self.deadline = 0.0
        self._operator = False
        self._bytes = 0
        self._move(Phase.IDLE, port.limits.keep_alive)

    @property
    def busy(self) -> bool:
        """Whether a request is running, or its response is being sent."""
        return self.phase in (Phase.RUNNING, Phase.SENDING)

    def rest(self) -> None:
        """Change the phase: the connection waits for the next request."""
        self._release()
        self._move(Phase.IDLE, math.inf if self.websocket else self.port.limits.keep_alive)

    def read(self) -> None:
        """Change the phase: a request has begun to arrive."""
        self._move(Phase.READING, self.port.limits.request)

    def grow(self, size: int) -> None:
        """Count `size` more bytes of a request's body.

        Raises `HttpRefused` when all bodies together are too large.
        """
        if self.port.body_bytes + size > self.port.limits.bodies:
            raise HttpRefused(503, "too many large requests at the same time; try again")
        self.port.body_bytes += size
        self._bytes += size

    def run(self, *, operator: bool) -> None:
        """Change the phase: the request runs, without a deadline.

        Raises `HttpRefused` when too many requests run.
        """
        limits = self.port.limits
        if self.port.running[operator] >= (limits.operator if operator else limits.rpc):
            raise HttpRefused(503, "too many requests at the same time; try again")
        self.port.running[operator] += 1
        self._operator = operator
        self._move(Phase.RUNNING, math.inf)

    def send(self) -> None:
        """Change the phase: the response is being sent."""
        self._move(Phase.SENDING, self.port.limits.send)

    def give_up(self) -> None:
        """Close this connection for a new one."""
        self.given_up = True
        self.port.gave_way()
        self.scope.cancel()

    def leave(self) -> None:
        """Remove the connection, which has ended."""
        self._release()
        self.port.places.discard(self)

    def _release(self) -> None:
        if self.busy:
            self.port.running[self._operator] -= 1
        self.port.body_bytes -= self._bytes
        self._bytes = 0

    def _move(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.since = trio.current_time()
        self.deadline = self.since + seconds
