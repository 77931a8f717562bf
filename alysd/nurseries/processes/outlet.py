"""The sending side of one link: takes messages from the mailbox of an address and sends them, within its credit.

The parent has one for the address of the child; the process has one for each address that it may reach.
"""

from collections import deque
from time import perf_counter
from typing import Any

import trio

from alysd.nurseries.address import Address
from alysd.nurseries.asks import TICK, Pending, handling
from alysd.nurseries.errors import NotAnswered
from alysd.nurseries.inbox import Entry, ReturnedMessage
from alysd.nurseries.processes.answers import is_answer
from alysd.nurseries.processes.errors import BrokenProtocol, CannotCross
from alysd.nurseries.processes.frames import ASK, CANCEL, FROM_HANDLER, TELL, TRACE_BYTES, TRACED, MalformedFrame
from alysd.nurseries.processes.spec import PayloadCodec
from alysd.nurseries.processes.unbegun import Unbegun
from alysd.nurseries.processes.wire import HIGH_BYTES, PORTION, Wire
from alysd.nurseries.serve import not_answered, refused
from alysd.nurseries.trace import TracedMessage

WINDOW_BYTES = 4 << 20
"""While the messages in flight have this many bytes together, no further one is sent."""

MOST_CANCELLED = 1 << 16
"""The largest number of cancelled asks whose end the receiver has not reported. A correct receiver has few."""


class Outlet:
    """Sends the messages of `address` on the link `link`, and keeps them until they are finished."""

    def __init__(self, link: int, address: Address[Any], wire: Wire, codec: PayloadCodec, credit: int) -> None:
        self.link = link
        self.address = address
        self.wire = wire
        self.codec = codec
        self.credit = credit
        self.sent = 0
        self.finished = 0
        # Number, entry and size of every message that is not finished, in the order of sending.
        self.in_flight: deque[tuple[int, Entry, int]] = deque()
        self._bytes = 0
        self._longest = wire.reader.max_bytes - TRACE_BYTES
        # The asks whose askers wait, with their classes; they can outlive their place in `in_flight`.
        self.asks: dict[int, tuple[Pending, type[Any]]] = {}
        # The asks that were cancelled and whose end was not reported.
        self._cancelled: set[int] = set()
        # The messages in flight that were refused or skipped, so that `done` does not count them as handled.
        self._uncounted: set[int] = set()
        self._asked = trio.lowlevel.ParkingLot()
        self._reported = trio.lowlevel.ParkingLot()

    def pump(self) -> None:
        """Send messages from the mailbox while there is credit and room."""
        inbox, wire, credit = self.address.mailbox, self.wire, self.credit
        queue, in_flight = inbox.queue, self.in_flight
        if queue:
            self.address.longest_wait = max(self.address.longest_wait, perf_counter() - queue[0][1])
        while len(in_flight) < credit and self._bytes < WINDOW_BYTES and wire.waiting_bytes <= HIGH_BYTES:
            if not queue and inbox.line:
                inbox.admit()  # without it, a message that gets room now would wait although there is credit
            if not queue:
                break
            entry = queue.popleft()
            returned, _, pending = entry
            if isinstance(returned, ReturnedMessage):
                entry = inbox.take_again(returned)
            if pending is not None:
                if pending.task is None:
                    if entry[0] is returned:
                        inbox.skip()
                    else:
                        inbox.abandoned += 1
                    continue
                pending.place = None
            self._send(entry, pending)
            if not self.sent % PORTION:
                wire.flush()
        if queue and wire.full:
            wire.when_room(inbox.wake)
        if inbox.line:
            inbox.admit()

    async def run(self) -> None:
        """Send messages whenever there are any, until cancelled. For the process; the parent calls `pump`."""
        while True:
            self.pump()
            self.wire.wake()
            await self.address.mailbox.wait()

    async def drained(self) -> None:
        """Wait until every message in the mailbox has been sent, and has been reported as finished."""
        self.pump()
        self.wire.wake()
        while self.unfinished:
            await self._reported.park()

    @property
    def unfinished(self) -> int:
        """Messages that wait in the mailbox, or are in flight."""
        return len(self.address.mailbox.queue) + len(self.in_flight)

    @property
    def name(self) -> str:
        """The name of the address."""
        return self.address.name

    async def sweep(self) -> None:
        """Cancel asks whose askers no longer wait, at most one `TICK` later, until cancelled."""
        while True:
            while not self.asks:
                await self._asked.park()
            await trio.sleep(TICK)
            for number, (pending, _) in tuple(self.asks.items()):
                if pending.task is None:
                    del self.asks[number]
                    self._cancelled.add(number)
                    self.wire.post(CANCEL, self.link, number)
            if len(self._cancelled) > MOST_CANCELLED:
                reason = f"it has not ended {len(self._cancelled)} asks that were cancelled"
                raise BrokenProtocol(self.address.name, reason)
            self.wire.wake()

    def _send(self, entry: Entry, pending: Pending | None) -> None:
        message, kind, head = entry[0], TELL, b""
        if pending is not None:
            kind = ASK
            if pending.task is not None and pending.task.context.get(handling) is not None:
                kind |= FROM_HANDLER
        if isinstance(message, TracedMessage):
            kind |= TRACED
            head = message.context.header().encode()
            message = message.message
        try:
            payload = head + self.codec.encode(message)
        except Exception as error:  # the codec is the program's, and the message the sender's: neither is a crash
            self._refuse(entry, f"{type(message).__name__} cannot be encoded: {error}")
            return
        size = len(payload)
        if size > self._longest:
            self._refuse(entry, f"{type(message).__name__} has {size} bytes; at most {self._longest} can be sent")
            return
        self.sent = number = self.sent + 1
        self._bytes += size
        self.in_flight.append((number, entry, size))
        if pending is not None:
            self.asks[number] = pending, type(message)
            if self._asked:
                self._asked.unpark_all()
        self.wire.post(kind, self.link, number, payload)

    def _refuse(self, entry: Entry, reason: str) -> None:
        refused(self.address, entry, CannotCross(self.address.name, reason))

    # What the receiver reports

    def done(self, number: int) -> None:
        """Record that all messages up to `number` are finished. Raises `MalformedFrame` if they were not sent."""
        if not self.finished <= number <= self.sent:
            raise MalformedFrame(
                f"message {number} is reported as finished; {self.finished} were finished and {self.sent} sent"
            )
        handled = number - self.finished
        self.finished = number
        in_flight, had_credit = self.in_flight, len(self.in_flight) < self.credit and self._bytes < WINDOW_BYTES
        while in_flight and in_flight[0][0] <= number:
            at, _, size = in_flight.popleft()
            self._bytes -= size
            if self._uncounted and at in self._uncounted:
                self._uncounted.remove(at)
                handled -= 1
        self.address.handled += handled
        if self._reported:
            self._reported.unpark_all()
        if not had_credit and self.address.mailbox.queue:
            self.address.mailbox.wake()

    def reply(self, number: int, payload: bytes) -> None:
        """Deliver the answer to the ask `number`. Raises `MalformedFrame` for bytes that are no answer to it."""
        if number not in self.asks:
            self._end_cancelled(number)
            return
        pending, kind = self.asks[number]
        answer = self._decoded(payload)  # if it raises, the ask is still among those that `settle` leaves
        if not is_answer(kind, answer):
            raise MalformedFrame(f"{kind.__name__} was answered with the type {type(answer).__name__}")
        del self.asks[number]
        pending.reply(answer)

    def fail(self, number: int, error: Exception) -> None:
        """End the message `number` with the error of its handler: a refusal, or a `NotAnswered`.

        The asker of an ask gets the error. A tell is logged, and treated as by an actor in this process.
        Raises `MalformedFrame` if the message has ended or was not sent.
        """
        if number in self.asks or number in self._cancelled:
            if number > self.finished:  # otherwise the answer was deferred, and the message was handled
                self._uncounted.add(number)
                self.address.refused += 1
            if number in self.asks:
                self.asks.pop(number)[0].fail(error)
            else:
                self._end_cancelled(number)
            return
        entry = next((entry for at, entry, _ in self.in_flight if at == number), None)
        if entry is None or entry[2] is not None or number in self._uncounted:
            raise MalformedFrame(f"an error for message {number}, which has ended or was not sent")
        self._uncounted.add(number)
        if isinstance(error, NotAnswered):
            not_answered(self.address, entry, error)
            self.address.mailbox.wake()  # which may have it again
        else:
            refused(self.address, entry, error)

    def skipped(self, number: int) -> None:
        """Record that the ask `number` was not handled. Raises `MalformedFrame` unless it was cancelled."""
        self._end_cancelled(number)
        self.address.mailbox.abandoned += 1
        if number > self.finished:
            self._uncounted.add(number)
        else:
            self.address.handled -= 1

    def lapsed(self, number: int) -> None:
        """Record that the ask `number` gets no deferred answer. Raises `MalformedFrame` as `skipped` does."""
        self._end_cancelled(number)

    def _end_cancelled(self, number: int) -> None:
        if number not in self._cancelled:
            raise MalformedFrame(f"an end of message {number}, which has ended or is no ask")
        self._cancelled.remove(number)

    def _decoded(self, payload: bytes) -> Any:
        try:
            return self.codec.decode(payload)
        except Exception as error:  # received bytes; the codec may raise anything
            raise MalformedFrame(f"an answer cannot be decoded: {error}") from None

    def kind_after(self, done: int) -> str:
        """The type of the first message in flight with a number above `done`."""
        message = next((entry[0] for number, entry, _ in self.in_flight if number > done), None)
        return type(message.message if isinstance(message, TracedMessage) else message).__name__

    # When the process has ended

    def settle(self, begun: int, done: int, unbegun: Unbegun | None) -> None:
        """Divide the messages in flight by what the process, which has ended, had done with them.

        Messages up to number `done` count as handled; if the answer to such an ask was lost, the ask stays in
        `asks`. The next one, if its number is not above `begun`, was being handled, and becomes `address.current`.
        All others return to the mailbox, in order. The process itself has reported `begun` and `done`. If it has
        failed, `unbegun` may decide that the next message was being handled although it was not reported as begun.
        """
        done = min(max(done, self.finished), self.sent)
        begun = min(max(begun, done), done + 1, self.sent)
        self.done(done)
        left = [(number, entry) for number, entry, _ in self.in_flight if number not in self._uncounted]
        self.in_flight.clear()
        if left and left[0][0] > begun and unbegun is not None and unbegun.suspicious(left[0][1]):
            begun = left[0][0]
        while left and left[-1][0] > begun:
            number, entry = left.pop()
            self.asks.pop(number, None)
            self.address.mailbox.requeue(entry)
            if entry[2] is not None and self.address.mailbox.queue[0] is entry:
                entry[2].place = self.address.mailbox  # which has room again if the asker gives up
        if left:
            number, self.address.current = left[0]
            self.asks.pop(number, None)
