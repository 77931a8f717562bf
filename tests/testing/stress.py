"""The parts that the stress tests share: an actor that fails as chance has it, and senders of messages to it."""

import os
from collections import Counter
from itertools import pairwise
from random import Random

import attrs
import trio

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    AskTimeout,
    HandlerCrashed,
    MailboxFull,
    State,
    System,
    Tell,
    WrongState,
    handles,
)
from tests.thorough import cases

SEEDS = range(int(os.environ.get("ALYSD_STRESS_SEEDS", cases(10, 50))))
"""The seeds to run: a minute of them, or as many as somebody asks for."""
PRODUCERS = 6
EACH = 40
"""Messages of one producer."""

Stamp = tuple[int, int]
"""The sender of a message, and its number among those."""


class Tallying:
    """The protocol of `Tally`."""


@attrs.frozen
class Told(Tell[Tallying]):
    stamp: Stamp


@attrs.frozen
class Asked(Ask[Tallying, Stamp]):
    stamp: Stamp


class Tally(Actor[Tallying]):
    """Writes stamps down after waiting a while, or crashes instead, as chance has it."""

    def __init__(self, rng: Random, written: list[Stamp]) -> None:
        self._rng = rng
        self._written = written

    @handles(Told)
    async def told(self, message: Told) -> None:
        await self._write(message.stamp)

    @handles(Asked)
    async def asked(self, message: Asked) -> Stamp:
        await self._write(message.stamp)
        return message.stamp

    async def _write(self, stamp: Stamp) -> None:
        chance = self._rng.random()
        if chance < 0.3:
            await trio.sleep(self._rng.random() / 10)
        if chance > 0.97:
            raise ValueError(stamp)
        self._written.append(stamp)


@attrs.define
class Run:
    """One actor, what its instances wrote, and what each sender was told of each message."""

    rng: Random
    address: Address[Tallying]
    asks: bool
    written: list[Stamp] = attrs.Factory(list[Stamp])
    accepted: set[Stamp] = attrs.Factory(set[Stamp])
    never: set[Stamp] = attrs.Factory(set[Stamp])
    answered: set[Stamp] = attrs.Factory(set[Stamp])
    unsure: set[Stamp] = attrs.Factory(set[Stamp])

    async def produce(self, who: int) -> None:
        """Send `EACH` messages, each as chance has it, giving up on some."""
        for number in range(EACH):
            stamp = (who, number)
            kind = self.rng.choice(["tell", "send", "ask"] if self.asks else ["tell", "send"])
            timeout = self.rng.choice([float("inf"), 0.5, 0.01, 0.0])
            with trio.move_on_after(timeout) as scope:
                await self._give(kind, stamp)
            if scope.cancelled_caught:
                (self.unsure if kind == "ask" else self.never).add(stamp)
            await trio.sleep(self.rng.choice([0.0, 0.02]))

    async def _give(self, kind: str, stamp: Stamp) -> None:
        try:
            match kind:
                case "tell":
                    self.address.tell(Told(stamp))
                    self.accepted.add(stamp)
                case "send":
                    await self.address.send(Told(stamp))
                    self.accepted.add(stamp)
                case _:
                    assert await self.address.ask(Asked(stamp), seconds=0.3) == stamp
                    self.answered.add(stamp)
        except (MailboxFull, ActorDown):
            self.never.add(stamp)
        except (AskTimeout, HandlerCrashed):
            self.unsure.add(stamp)

    async def harass(self, system: System) -> None:
        """Panics and suspensions, until cancelled."""
        while True:
            await trio.sleep(self.rng.random() / 5)
            try:
                if self.rng.random() < 0.5:
                    system.inject(self.address.name, RuntimeError("a panic"))
                else:
                    system.suspend(self.address.name)
                    await trio.sleep(self.rng.random() / 5)
                    system.resume(self.address.name)
            except WrongState:
                pass  # it is just starting again

    async def drain(self, system: System) -> None:
        """Let the actor handle what waits; a suspension may still be on its way to it."""
        for _ in range(600):
            await trio.sleep(0.1)
            (snapshot,) = system.snapshot().children
            if snapshot.state is State.SUSPENDED:
                system.resume(self.address.name)
            elif not self.address.depth:
                return
        raise AssertionError(f"{self.address.depth} messages still wait after a minute")

    def check(self) -> None:
        """Whether every message had exactly one end, and each sender's came in order."""
        counts = Counter(self.written)
        assert all(count == 1 for count in counts.values()), "a message was handled to its end twice"
        assert not self.never & counts.keys(), "a message that was not sent was handled"
        assert self.answered <= counts.keys(), "an answer came for a message that was not handled"
        told_written = self.accepted & counts.keys()
        assert len(self.accepted) == len(told_written) + self.address.mailbox.dropped, "lost, and not counted"
        sent = self.accepted | self.never | self.answered | self.unsure
        assert len(sent) == PRODUCERS * EACH, "the test lost count"
        for who in range(PRODUCERS):
            numbers = [number for sender, number in self.written if sender == who]
            assert all(before < after for before, after in pairwise(numbers)), "a sender's order was changed"
