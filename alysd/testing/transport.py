"""A transport that can lose, delay, duplicate or alter messages between actors, and addresses that use it.

    transport = Transport(seed=7)
    chain = TransportAddress[Chain]("chain", transport)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run)
        with transport.applying(lose_half):
            ...

While no fault is applied, a `TransportAddress` behaves as an `Address`. The transport takes the child whose task
sends a message as the sender, so the actors need no change for a partition.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TypeVar, Unpack, cast

import attrs
import trio

from alysd.nurseries import ActorDown, Address, Ask, AskTimeout, MailboxFull, Tell
from alysd.nurseries.address import ASK_SECONDS
from alysd.testing.stand_in import MailboxOptions
from alysd.testing.transcript import OUTSIDE, current_sender
from alysd.testing.virtual_time import seeded

P = TypeVar("P")
R = TypeVar("R")


@attrs.frozen
class Delivery:
    """One copy of a message from `sender` to the address `to`. The copy arrives after `delay` seconds."""

    sender: str
    to: str
    message: object
    delay: float = 0.0


DeliveryFault = Callable[[Delivery, Random], Sequence[Delivery]]
"""A function that replaces a delivery by any number of deliveries, which can be delayed or altered."""


class Transport:
    """Carries the messages of one system, applies faults to them, and counts both.

    Its random choices depend on `seed` alone.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = seeded(seed)
        self._faults: list[DeliveryFault] = []
        self._children: set[str] = set()
        self._late: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._scheduled = trio.lowlevel.ParkingLot()
        self.sent = 0
        self.lost = 0
        self.duplicated = 0
        self.delayed = 0

    def register(self, child: str) -> None:
        """Register a child, so that the transport recognises it as a sender."""
        self._children.add(child)

    @contextmanager
    def applying(self, fault: DeliveryFault) -> Generator[None]:
        """Apply `fault` to messages sent while the `with` block runs, after the faults that apply already."""
        self._faults.append(fault)
        try:
            yield
        finally:
            self._faults.remove(fault)

    def deliveries(self, to: str, message: object, sender: str | None = None) -> list[Delivery]:
        """The copies of a message that arrive at `to`. The default `sender` is the child of the current task."""
        if not self._faults:
            return [Delivery("", to, message)]
        self.sent += 1
        name = current_sender(self._children) if sender is None else sender
        copies = [Delivery(name or OUTSIDE, to, message)]
        for fault in self._faults:
            copies = [delivery for copy in copies for delivery in fault(copy, self._rng)]
        self.lost += not copies
        self.duplicated += max(0, len(copies) - 1)
        self.delayed += sum(copy.delay > 0 for copy in copies)
        return copies

    def passes(self, sender: str, event: object, subscriber: str) -> bool:
        """Whether an event reaches a subscriber: a filter for `Bus.filters`. Events are never delayed."""
        return bool(self.deliveries(subscriber, event, sender))

    def deliver_later(self, seconds: float, deliver: Callable[[], None]) -> None:
        """Schedule a call of `deliver`, by `run`, after `seconds`."""
        heappush(self._late, (trio.current_time() + seconds, next(self._order), deliver))
        self._scheduled.unpark_all()

    async def drain(self) -> None:
        """Wait until `run` has made all deliveries that are scheduled at the time of this call."""
        if self._late:
            await trio.sleep_until(max(due for due, _, _ in self._late))

    async def run(self) -> None:
        """Make delayed deliveries; never returns. A delivery to a full mailbox or a stopped actor is lost."""
        while True:
            due = self._late[0][0] if self._late else float("inf")
            with trio.move_on_at(due):
                await self._scheduled.park()
            while self._late and self._late[0][0] <= trio.current_time():
                _, _, deliver = heappop(self._late)
                try:
                    deliver()
                except (MailboxFull, ActorDown):
                    self.lost += 1


class TransportAddress(Address[P]):
    """An address whose messages go through a transport. Mailbox and counters are those of an `Address`."""

    __slots__ = ("_transport",)

    def __init__(self, name: str, transport: Transport, **mailbox: Unpack[MailboxOptions]) -> None:
        super().__init__(name, **mailbox)
        self._transport = transport
        transport.register(name)

    @classmethod
    def like(cls, address: Address[P], transport: Transport) -> "TransportAddress[P]":
        """A replacement, with the same name and mailbox policy, for an `address` that is not in use yet."""
        mailbox = address.mailbox
        return cls(
            address.name,
            transport,
            capacity=mailbox.capacity,
            overflow=mailbox.overflow,
            on_crash=address.on_crash,
        )

    def tell(self, message: Tell[P]) -> None:
        """Tell each copy that arrives, delayed copies later."""
        for copy in self._transport.deliveries(self.name, message):
            if copy.delay > 0:
                self._send_late(copy)
            else:
                super().tell(cast(Tell[P], copy.message))

    async def send(self, message: Tell[P]) -> None:
        """Send each copy that arrives. The sender waits for room in the mailbox only for copies without delay."""
        for copy in self._transport.deliveries(self.name, message):
            if copy.delay > 0:
                self._send_late(copy)
            else:
                await super().send(cast(Tell[P], copy.message))

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """The answer to the first copy. Raises `AskTimeout` when the message is lost or delayed too long."""
        deliveries = self._transport.deliveries(self.name, message)
        first, *others = deliveries or [Delivery("", self.name, message, float("inf"))]
        for copy in others:
            self._send_late(copy)
        if first.delay >= seconds:
            await trio.sleep(seconds)
            raise AskTimeout(self.name, type(message).__name__, seconds)
        if first.delay > 0:
            await trio.sleep(first.delay)
        return await super().ask(cast(Ask[P, R], first.message), seconds=seconds - first.delay)

    def _send_late(self, copy: Delivery) -> None:
        """Schedule a copy as a tell. This includes copies of asks, because no sender waits for their answers."""
        self._transport.deliver_later(copy.delay, partial(super().tell, cast(Tell[P], copy.message)))
