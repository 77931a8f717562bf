"""The socket between a process and its parent: many frames per system call, in both directions.

Frames are collected while tasks run, and sent together when the writing task gets its turn, or by `flush`.
"""

import socket
from collections.abc import Callable

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from alysd.nurseries.processes.frames import HEAD, Frame, FrameReader

READ_BYTES = 1 << 18
"""The largest number of bytes read by one system call: as many as a socket pair's buffer holds on Linux."""

HIGH_BYTES = 1 << 20
"""While more bytes than this wait to be sent, no further message is taken from a mailbox."""

PORTION = 64
"""The largest number of messages sent together, and of frames delivered between two checkpoints.

It is a fraction of the usual credit, so that both sides work at the same time: one side encodes a portion while
the other one handles the portion before it.
"""


class Wire:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket, max_bytes: int) -> None:
        self._socket = end
        self.reader = FrameReader(max_bytes)
        self._out: list[bytes] = []
        self.waiting_bytes = 0
        self._left = memoryview(b"")
        self._writer: Task | None = None
        self._sent = trio.lowlevel.ParkingLot()
        self._for_room: set[Callable[[], None]] = set()
        self._received: list[Frame] = []
        self.before_send: Callable[[], None] | None = None
        """Called before frames are sent, to add frames."""

    def post(self, kind: int, link: int = 0, number: int = 0, payload: bytes = b"") -> None:
        """Queue a frame, to be sent by the next `flush` or after `wake`."""
        self._out.append(HEAD.pack(len(payload), kind, link, number) + payload)
        self.waiting_bytes += len(payload) + HEAD.size

    def wake(self) -> None:
        """Let the writing task send the queued frames."""
        writer = self._writer
        if writer is not None:
            self._writer = None
            reschedule(writer)

    @property
    def full(self) -> bool:
        """Whether more than `HIGH_BYTES` wait to be sent, so that senders have to wait."""
        return self.waiting_bytes > HIGH_BYTES

    def flush(self) -> None:
        """Send the queued frames. If the socket takes only a part, the writing task sends the rest."""
        if not self._left and (not self._send() or self._for_room):
            self.wake()

    def when_room(self, call: Callable[[], None]) -> None:
        """Have the writing task call `call` once, when the wire is no longer full."""
        self._for_room.add(call)

    async def room(self) -> None:
        """Wait while the wire is full."""
        while self.full:
            self.wake()
            await self._sent.park()

    def _send(self) -> bool:
        """Send until nothing is queued or the socket is full. Returns whether nothing is left."""
        if self.before_send is not None:
            self.before_send()
        if not self._left:
            self._left = memoryview(b"".join(self._out))
            self._out.clear()
        while self._left:
            try:
                sent = self._socket.send(self._left)
            except BlockingIOError:
                return False
            except OSError:  # the other end was closed, which the reading task finds
                self._out.clear()
                self._left = memoryview(b"")
                self.waiting_bytes = 0
                return True
            self._left = self._left[sent:]
            self.waiting_bytes -= sent
        return not self._out

    async def write(self) -> None:
        """Send the queued frames whenever `wake` was called, until cancelled."""
        while True:
            all_sent = self._send()
            if not self.full:
                if self._sent:
                    self._sent.unpark_all()
                while self._for_room:
                    self._for_room.pop()()
            if all_sent:
                await self._idle()
            else:
                await trio.lowlevel.wait_writable(self._socket)

    async def drained(self) -> None:
        """Wait until everything that is queued has been sent."""
        self.wake()
        while self._out or self._left:
            await self._sent.park()

    async def _idle(self) -> None:
        def abort(_: RaiseCancelT) -> Abort:
            self._writer = None
            return Abort.SUCCEEDED

        self._writer = current_task()
        await wait_task_rescheduled(abort)

    async def receive(self) -> list[Frame] | None:
        """The next frames, at most a `PORTION`, possibly none yet; `None` when the other end is closed.

        Raises `MalformedFrame`.
        """
        if self._received:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                return []
            except OSError:  # reset: the other end was closed with unread data
                data = b""
            if not data:
                return None
            self._received = self.reader.feed(data)
        portion, self._received = self._received[:PORTION], self._received[PORTION:]
        return portion
