"""The queue of one WebSocket client: answers, and events of which the client has not been told everything."""

from collections import deque
from collections.abc import Iterator

import attrs
import trio
from trio_util import RepeatedEvent

from alysd.embedded.rpc.subscriptions import Notification


class TooFarBehind(Exception):
    """The client does not read its notifications fast enough."""


@attrs.frozen(eq=False)
class QueuedAnswer:
    """An answer, encoded; `sent` is set once it is sent."""

    json: bytes
    sent: trio.Event = attrs.field(factory=trio.Event)


@attrs.frozen(eq=False)
class QueuedEvent:
    """An event: the notifications of it, each made when it is sent, and the number of bytes that it keeps."""

    notifications: Iterator[Notification | None]
    size: int


class Outbox:
    """The answers and the events, in the order in which they came: at most `most` events, of `most_bytes` in all.

    One event may have any size, and the one that is being told no longer counts: with 64 subscriptions, one block
    can be millions of notifications, and a client that reads as fast as it can gets them all. All clients that are
    told of an event share what it keeps, so together they keep hardly more than one of them.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[QueuedAnswer | QueuedEvent] = deque()
        self._events = 0
        self._bytes = 0
        self._arrived = RepeatedEvent()

    def tell(self, notifications: Iterator[Notification | None], size: int) -> None:
        """Add an event. Raises `TooFarBehind` when that exceeds a limit."""
        if self._events and (self._events >= self._most or self._bytes + size > self._most_bytes):
            raise TooFarBehind
        self._events += 1
        self._bytes += size
        self._add(QueuedEvent(notifications, size))

    def answer(self, json: bytes) -> QueuedAnswer:
        """Add an answer and return it. Its request is over when it is `sent`."""
        answer = QueuedAnswer(json)
        self._add(answer)
        return answer

    def _add(self, waiting: QueuedAnswer | QueuedEvent) -> None:
        self._waiting.append(waiting)
        self._arrived.set()

    async def take(self) -> QueuedAnswer | QueuedEvent:
        """Wait for the next answer or event, and remove it from the queue."""
        while not self._waiting:
            await self._arrived.wait()
        taken = self._waiting.popleft()
        if isinstance(taken, QueuedEvent):
            self._events -= 1
            self._bytes -= taken.size
        return taken
