"""Probes: addresses that write down what passes them, and stand-ins that answer by a script.

A `RecordedAddress` is the real address of a real actor. A `StandIn` has nobody behind it: it is given to the
actor under test in place of another, so that the actor is tested alone.

    ledger = StandIn[Ledger]("ledger", transcript)
    ledger.on(GetBalance).answers(5)
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, overload

import attrs
import trio

from alysd.nurseries import Address, Ask, AskTimeout, OnCrash, Overflow, Tell
from alysd.nurseries.address import ASK_SECONDS
from alysd.nurseries.mailbox import OverflowPolicy
from alysd.testing.transcript import Transcript

P = TypeVar("P")
R = TypeVar("R")
M = TypeVar("M")


@attrs.frozen(str=False)
class Unscripted(AssertionError):
    """The stand-in `name` was asked a `message` (its type) that no script answers."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"the stand-in {self.name} was asked {self.message}: say what it answers with .on({self.message})"


class RecordedAddress(Address[P]):
    """An address whose messages, answers and errors are written to a transcript."""

    __slots__ = ("transcript",)

    def __init__(
        self,
        name: str,
        transcript: Transcript,
        *,
        capacity: int = 1024,
        overflow: OverflowPolicy = Overflow.BLOCK,
        on_crash: OnCrash = OnCrash.DROP,
    ) -> None:
        super().__init__(name, capacity=capacity, overflow=overflow, on_crash=on_crash)
        self.transcript = transcript

    def tell(self, message: Tell[P]) -> None:
        """As an `Address` does, written down."""
        with self._recorded(message):
            super().tell(message)

    async def send(self, message: Tell[P]) -> None:
        """As an `Address` does, written down."""
        with self._recorded(message):
            await super().send(message)

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """As an `Address` does, written down with its answer."""
        with self._recorded(message) as answers:
            answer = await super().ask(message, seconds=seconds)
            answers.append(answer)
        return answer

    @contextmanager
    def _recorded(self, message: object) -> Generator[list[object]]:
        """Write the message down, and what the block puts into the list, or the error it raises."""
        self.transcript.note_sent(self.name, message)
        answers: list[object] = []
        done = False
        try:
            yield answers
            done = True
        finally:
            if answers or not done:
                error = None if done else sys.exception()
                self.transcript.note_returned(self.name, message, answers[0] if answers else None, error)


class Script(Generic[R]):
    """What a stand-in does with one type of message: the last thing said holds. With nothing said it is silent."""

    def __init__(self) -> None:
        self._play: Callable[[Any], R] | None = None
        self.delay = 0.0

    def answers(self, *answers: R) -> "Script[R]":
        """Answer with these, one after the other, and with the last one from then on."""
        left = list(answers)
        return self.computes(lambda _: left.pop(0) if len(left) > 1 else left[0])

    def computes(self, function: Callable[[Any], R]) -> "Script[R]":
        """Answer with what `function` makes of the message; what it raises is raised to the sender."""
        self._play = function
        return self

    def fails(self, error: Exception) -> "Script[R]":
        """Raise `error` to the sender: a `Refusal`, `ActorDown`, `MailboxFull`, whatever the real one might."""

        def fail(_: object) -> R:
            raise error

        return self.computes(fail)

    def keeps_silent(self) -> "Script[R]":
        """Never answer: the ask ends with `AskTimeout`."""
        self._play = None
        return self

    def after(self, seconds: float) -> "Script[R]":
        """Take so long to answer an ask."""
        self.delay = seconds
        return self

    async def play(self, name: str, message: object, patience: float) -> R:
        """Answer an ask. Raises `AskTimeout` when that takes longer than the asker's `patience`."""
        play = self._play
        if play is None or self.delay > patience:
            await trio.sleep(patience)
            raise AskTimeout(name, type(message).__name__, patience)
        await trio.sleep(self.delay)
        return play(message)

    def take(self, message: object) -> None:
        """Take a message that is not answered. Raises what the script fails with."""
        if self._play is not None:
            self._play(message)


class StandIn(RecordedAddress[P]):
    """Stands in for an actor: answers by script, keeps what it is told, needs no system.

    An ask without a script raises `Unscripted`; a tell without one is only kept.
    """

    __slots__ = ("_arrived", "_scripts", "_seen", "received")

    def __init__(self, name: str, transcript: Transcript) -> None:
        super().__init__(name, transcript)
        self.received: list[object] = []
        self._scripts: dict[type[Any], Script[Any]] = {}
        self._arrived = trio.lowlevel.ParkingLot()
        self._seen = 0

    @overload
    def on(self, kind: type[Ask[P, R]]) -> Script[R]: ...
    @overload
    def on(self, kind: type[Tell[P]]) -> Script[None]: ...
    def on(self, kind: type[Any]) -> Script[Any]:
        """The script for messages of exactly this type; pyright checks that the answers fit."""
        return self._scripts.setdefault(kind, Script())

    def tell(self, message: Tell[P]) -> None:
        """Keep the message."""
        with self._recorded(message):
            self._keep(message)
            script = self._scripts.get(type(message))
            if script is not None:
                script.take(message)

    async def send(self, message: Tell[P]) -> None:
        """Keep the message; there is always room."""
        await trio.lowlevel.checkpoint()
        self.tell(message)

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """Answer by the script."""
        with self._recorded(message) as answers:
            self._keep(message)
            script = self._scripts.get(type(message))
            if script is None:
                raise Unscripted(self.name, type(message).__name__)
            answer = await script.play(self.name, message, seconds)
            answers.append(answer)
        return answer

    async def next(self, kind: type[M], *, seconds: float = ASK_SECONDS) -> M:
        """Wait for the next message of this type, passing over others; each is given once.

        Raises `trio.TooSlowError` after `seconds`.
        """
        with trio.fail_after(seconds):
            while True:
                while self._seen < len(self.received):
                    message = self.received[self._seen]
                    self._seen += 1
                    if isinstance(message, kind):
                        return message
                await self._arrived.park()

    def _keep(self, message: object) -> None:
        self.received.append(message)
        self._arrived.unpark_all()
