"""The receiving side in the parent: delivers the messages of a process to one address that it may reach.

The messages of a link are delivered in order. While the mailbox of the address is full, the link waits and gives
no credit, so the process waits too. Everything received is checked: numbers, credit, encoding, permission.

A process that does not read its answers gets no further credit, and at most about `UNREAD_BYTES` of answers.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import trio

from alysd.nurseries.asks import HandlerTask, Waiter, handling
from alysd.nurseries.behaviour import Ask, Tell
from alysd.nurseries.errors import NotAnswered
from alysd.nurseries.processes.errors import BrokenProtocol, CannotCross, NotReachable, pack_error
from alysd.nurseries.processes.frames import (
    ASK,
    DONE,
    ERROR,
    FROM_HANDLER,
    REPLY,
    SKIPPED,
    TRACE_BYTES,
    TRACED,
    Frame,
    MalformedFrame,
)
from alysd.nurseries.processes.spec import PayloadCodec, Reach
from alysd.nurseries.processes.wire import Wire
from alysd.nurseries.trace import TraceContext, traced

LONGEST_ASK = 86_400.0
"""The timeout of an ask from a process, in seconds: a day. The process cancels the ask at the asker's deadline."""

UNREAD_BYTES = 64 << 20
"""While more bytes than this wait for the process to read them, an ask gets an error in place of its answer.

The asks that a process may have open, twice its credit, could otherwise have answers of gigabytes."""


class ReachLink:
    """Delivers the messages of one link to `reach`. `count_refused` gets every refusal that the process caused."""

    def __init__(
        self,
        link: int,
        reach: Reach,
        sender: Waiter,
        wire: Wire,
        codec: PayloadCodec,
        credit: int,
        count_refused: Callable[[Exception], None],
    ) -> None:
        self._link = link
        self._reach = reach
        self._sender = sender
        self._wire = wire
        self._codec = codec
        self._credit = credit
        self._count_refused = count_refused
        self._received = 0
        # The messages that were not delivered, with consecutive numbers. The first one is being delivered.
        self._waiting: deque[Frame] = deque()
        # Those of them that are asks which the process has cancelled.
        self._cancelled: set[int] = set()
        # The asks that were delivered and have no answer.
        self._asking: dict[int, trio.CancelScope] = {}
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def name(self) -> str:
        """The name of the address."""
        return self._reach.address.name

    def receive(self, frame: Frame) -> None:
        """Queue a message. Raises `MalformedFrame` for a wrong number, or more messages than the credit."""
        if frame.number != self._received + 1:
            raise MalformedFrame(f"message {frame.number} on link {self._link} follows message {self._received}")
        if len(self._waiting) >= self._credit:
            raise MalformedFrame(f"link {self._link}: a message beyond the credit of {self._credit} messages")
        self._received += 1
        self._waiting.append(frame)
        self._changed.unpark_all()

    def cancel(self, number: int) -> None:
        """Cancel the ask `number`, unless it has ended. An ask that waits is not delivered."""
        if number in self._asking:
            self._asking[number].cancel()
            return
        place = number - (self._received - len(self._waiting)) - 1
        if 0 <= place < len(self._waiting) and _is_ask(self._waiting[place]):
            self._cancelled.add(number)

    async def run(self) -> None:
        """Deliver messages until cancelled."""
        handling.set(None)
        async with trio.open_nursery() as nursery:
            while True:
                while not self._waiting or len(self._asking) >= 2 * self._credit:
                    await self._changed.park()
                await self._wire.room()
                frame = self._waiting[0]
                if frame.number in self._cancelled:
                    self._cancelled.remove(frame.number)
                    self._wire.post(SKIPPED, self._link, frame.number)
                else:
                    await self._deliver(frame, nursery)
                self._waiting.popleft()
                if not self._waiting or not frame.number % max(1, self._credit // 4):
                    self._wire.post(DONE, self._link, frame.number)
                    self._wire.wake()

    def finish(self) -> int:
        """Deliver the tells that arrived before the process ended, if the mailbox has room for them.

        Returns the number of tells that are lost. Asks are dropped, because their askers have ended.
        """
        lost = 0
        for frame in self._waiting:
            if not _is_ask(frame):
                try:
                    message, trace = self._decoded(frame)
                    with trace:
                        if self._permits(message, is_ask=False):
                            self._reach.address.tell(message)
                except (NotAnswered, BrokenProtocol):
                    lost += 1
        self._waiting.clear()
        return lost

    async def _deliver(self, frame: Frame, nursery: trio.Nursery) -> None:
        is_ask = _is_ask(frame)
        message, trace = self._decoded(frame)
        if not self._permits(message, is_ask):
            target = f"{self.name} with {type(message).__name__}"
            refusal = NotReachable(self._sender.name, target)
            self._count_refused(refusal)
            self._fail(frame.number, refusal)
        elif is_ask:
            self._asking[frame.number] = scope = trio.CancelScope()
            nursery.start_soon(self._ask, scope, frame, message, trace)
            # A new task runs at most one round of the scheduler later than this one. Only then the next message.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        else:
            try:
                with trace:
                    await self._reach.address.send(message)
            except Exception as error:  # the actor is down, or refuses by its overflow policy
                self._fail(frame.number, error)

    def _permits(self, message: object, is_ask: bool) -> bool:
        allowed, kind = self._reach.messages, type(message)
        return issubclass(kind, Ask if is_ask else Tell) and (allowed is None or kind in allowed)

    async def _ask(
        self, scope: trio.CancelScope, frame: Frame, message: Any, trace: AbstractContextManager[None]
    ) -> None:
        number = frame.number
        if frame.kind & FROM_HANDLER:
            handling.set(HandlerTask(self._sender))  # so that a cycle of asks through the process is found
        with scope:
            try:
                with trace:
                    answer = await self._reach.address.ask(message, seconds=LONGEST_ASK)
                self._wire.post(REPLY, self._link, number, self._encoded(answer))
            except Exception as error:  # whatever the ask raises is the answer of the process
                self._fail(number, error)
        if scope.cancelled_caught:
            self._wire.post(SKIPPED, self._link, number)
        del self._asking[number]
        self._changed.unpark_all()
        self._wire.wake()

    def _decoded(self, frame: Frame) -> tuple[Any, AbstractContextManager[None]]:
        payload, trace = frame.payload, nullcontext()
        try:
            if frame.kind & TRACED:
                context = TraceContext.parse(payload[:TRACE_BYTES].decode())
                payload = payload[TRACE_BYTES:]
                if context is not None:
                    trace = traced(context)
            return self._codec.decode(payload), trace
        except Exception as error:  # received bytes; the codec may raise anything
            reason = f"a message to {self.name} cannot be decoded: {error}"
            raise BrokenProtocol(self._sender.name, reason) from None

    def _encoded(self, answer: Any) -> bytes:
        waiting = self._wire.waiting_bytes
        if waiting > UNREAD_BYTES:
            raise CannotCross(self._sender.name, f"it has not read {waiting} bytes of answers")
        payload = self._codec.encode(answer)
        longest = self._wire.reader.max_bytes - TRACE_BYTES
        if len(payload) > longest:
            raise CannotCross(
                self._sender.name, f"the answer has {len(payload)} bytes; at most {longest} can be sent"
            )
        return payload

    def _fail(self, number: int, error: Exception) -> None:
        self._wire.post(ERROR, self._link, number, pack_error(error, self._codec))
        self._wire.wake()


def _is_ask(frame: Frame) -> bool:
    return frame.kind & 0x3F == ASK
