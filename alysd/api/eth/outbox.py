"""What waits to be sent to one WebSocket client, bounded: who reads too slowly is let go, not waited for."""

from collections import deque

import trio

MAX_MESSAGES = 1024
"""Notifications that wait: four minutes of a busy block's logs at four a second."""

MAX_BYTES = 8 * 1024 * 1024
"""Of notifications that wait. With all of a server's connections full that is what the machine must hold: 2 GiB is
not reached in practice, since the sockets' own buffers take as much again before anything waits."""


class Overflow(Exception):
    """The client does not read fast enough."""


class Outbox:
    """A queue of messages, first in first out, with one task that sends them."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._arrived = trio.Event()
        self._emptied = trio.Event()

    def put(self, message: str) -> None:
        """Add a message. Raises `Overflow` when too many or too much already waits."""
        if len(self._waiting) >= MAX_MESSAGES or self._bytes > MAX_BYTES:
            raise Overflow
        self._waiting.append(message)
        self._bytes += len(message)
        self._arrived.set()

    async def take(self) -> str:
        """Wait for the next message and take it."""
        while not self._waiting:
            self._emptied.set()
            self._arrived = trio.Event()
            await self._arrived.wait()
        message = self._waiting.popleft()
        self._bytes -= len(message)
        return message

    async def emptied(self) -> None:
        """Wait until all that is there now has been taken, and the taker asks for more."""
        self._emptied = trio.Event()
        await self._emptied.wait()
