"""The air between actors: what may happen to a message on its way, and addresses that send through it.

    air = Air(seed=7)
    chain = FaultyAddress[Chain]("chain", air)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(air.carry)
        with air.bent(lose_half):
            ...

With no bend in force a `FaultyAddress` is an `Address`. The sender of a message is the child in whose task it is
sent, so that nothing has to be wired for a partition.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TypeVar, cast

import attrs
import trio

from alysd.nurseries import ActorDown, Address, Ask, AskTimeout, MailboxFull, OnCrash, Overflow, Tell
from alysd.nurseries.address import ASK_SECONDS
from alysd.nurseries.mailbox import OverflowPolicy
from alysd.testing.replay import seeded
from alysd.testing.transcript import OUTSIDE, current_sender

P = TypeVar("P")
R = TypeVar("R")


@attrs.frozen
class Passage:
    """One copy of a message on its way from `sender` to `to`, to arrive after `delay` seconds."""

    sender: str
    to: str
    message: object
    delay: float = 0.0


Bend = Callable[[Passage, Random], Sequence[Passage]]
"""What becomes of a passage: itself, none, several, later ones, altered ones."""


class Air:
    """What is between the actors of one system. Chance comes from `seed`; what happened is counted."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = seeded(seed)
        self._bends: list[Bend] = []
        self._children: set[str] = set()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._news = trio.lowlevel.ParkingLot()
        self.sent = 0
        self.lost = 0
        self.doubled = 0
        self.delayed = 0

    def know(self, child: str) -> None:
        """A child of this name may be a sender."""
        self._children.add(child)

    @contextmanager
    def bent(self, bend: Bend) -> Generator[None]:
        """While the block runs, every message goes through `bend`, after those in force already."""
        self._bends.append(bend)
        try:
            yield
        finally:
            self._bends.remove(bend)

    def passages(self, to: str, message: object, sender: str | None = None) -> list[Passage]:
        """The copies of a message that arrive, and when."""
        if not self._bends:
            return [Passage("", to, message)]
        self.sent += 1
        who = current_sender(self._children) if sender is None else sender
        copies = [Passage(who or OUTSIDE, to, message)]
        for bend in self._bends:
            copies = [bent for copy in copies for bent in bend(copy, self._rng)]
        self.lost += not copies
        self.doubled += max(0, len(copies) - 1)
        self.delayed += sum(copy.delay > 0 for copy in copies)
        return copies

    def passes(self, sender: str, event: object, subscriber: str) -> bool:
        """A filter for `Bus.filters`: whether an event gets from a publisher to a subscriber. It is never late."""
        return bool(self.passages(subscriber, event, sender))

    def deliver_later(self, seconds: float, deliver: Callable[[], None]) -> None:
        """Have `carry` call `deliver` after so long."""
        heappush(self._later, (trio.current_time() + seconds, next(self._order), deliver))
        self._news.unpark_all()

    async def clear(self) -> None:
        """Wait until `carry` has delivered all that is late now: as long as the longest delay."""
        if self._later:
            await trio.sleep_until(max(due for due, _, _ in self._later))

    async def carry(self) -> None:
        """Deliver what is late, for ever. What finds a full mailbox, or nobody, is lost."""
        while True:
            due = self._later[0][0] if self._later else float("inf")
            with trio.move_on_at(due):
                await self._news.park()
            while self._later and self._later[0][0] <= trio.current_time():
                _, _, deliver = heappop(self._later)
                try:
                    deliver()
                except (MailboxFull, ActorDown):
                    self.lost += 1


class FaultyAddress(Address[P]):
    """An address whose messages go through the air. `handled` and the mailbox are those of a real one."""

    __slots__ = ("_air",)

    def __init__(
        self,
        name: str,
        air: Air,
        *,
        capacity: int = 1024,
        overflow: OverflowPolicy = Overflow.BLOCK,
        on_crash: OnCrash = OnCrash.DROP,
    ) -> None:
        super().__init__(name, capacity=capacity, overflow=overflow, on_crash=on_crash)
        self._air = air
        air.know(name)

    @classmethod
    def like(cls, address: Address[P], air: Air) -> "FaultyAddress[P]":
        """One in place of `address`, which nobody uses yet: for an `Addresses` of a program under test."""
        mailbox = address.mailbox
        return cls(
            address.name, air, capacity=mailbox.capacity, overflow=mailbox.overflow, on_crash=address.on_crash
        )

    def tell(self, message: Tell[P]) -> None:
        """Send each copy that arrives; a late one is sent when it arrives."""
        for copy in self._air.passages(self.name, message):
            if copy.delay > 0:
                self._send_late(copy)
            else:
                super().tell(cast(Tell[P], copy.message))

    async def send(self, message: Tell[P]) -> None:
        """The same; only for a copy that is not late does the sender wait for room."""
        for copy in self._air.passages(self.name, message):
            if copy.delay > 0:
                self._send_late(copy)
            else:
                await super().send(cast(Tell[P], copy.message))

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """The answer to the first copy; a lost or too late question is an `AskTimeout`."""
        first, *others = self._air.passages(self.name, message) or [Passage("", self.name, message, float("inf"))]
        for copy in others:
            self._send_late(copy)
        if first.delay >= seconds:
            await trio.sleep(seconds)
            raise AskTimeout(self.name, type(message).__name__, seconds)
        if first.delay > 0:
            await trio.sleep(first.delay)
        return await super().ask(cast(Ask[P, R], first.message), seconds=seconds - first.delay)

    def _send_late(self, copy: Passage) -> None:
        """Send a copy for whose answer, if it is an ask, nobody waits."""
        self._air.deliver_later(copy.delay, partial(super().tell, cast(Tell[P], copy.message)))
