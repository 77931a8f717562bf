"""What waits to be sent to one WebSocket client, bounded: who reads too slowly is let go, not waited for."""

from collections import deque

import attrs
import trio


class TooFarBehind(Exception):
    """The client does not read fast enough."""


@attrs.frozen(eq=False)
class Outgoing:
    """A message for the client; whoever sends it sets `sent`."""

    text: str
    notification: bool
    sent: trio.Event = attrs.field(factory=trio.Event)


class Outbox:
    """A queue of at most `most` notifications, `most_bytes` in all, and of one answer at a time."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[Outgoing] = deque()
        self._notifications = 0
        self._bytes = 0
        self._arrived = trio.Event()

    def notify(self, text: str) -> None:
        """Add a notification. Raises `TooFarBehind` when too many or too much already waits."""
        if self._notifications >= self._most or self._bytes + len(text) > self._most_bytes:
            raise TooFarBehind
        self._notifications += 1
        self._bytes += len(text)
        self._add(Outgoing(text, notification=True))

    def answer(self, text: str) -> Outgoing:
        """Add an answer, and return it: the next request is read when it has been sent."""
        outgoing = Outgoing(text, notification=False)
        self._add(outgoing)
        return outgoing

    def _add(self, outgoing: Outgoing) -> None:
        self._waiting.append(outgoing)
        self._arrived.set()

    async def take(self) -> Outgoing:
        """Wait for the next message and take it."""
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        outgoing = self._waiting.popleft()
        if outgoing.notification:
            self._notifications -= 1
            self._bytes -= len(outgoing.text)
        return outgoing
