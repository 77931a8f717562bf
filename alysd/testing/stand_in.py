"""Addresses that record their messages, and stand-ins for actors that answer by a script.

A `RecordedAddress` belongs to a real actor. A `StandIn` has no actor: a test passes it to the actor under test in
place of another actor's address.

    ledger = StandIn[Ledger]("ledger", transcript)
    ledger.on(GetBalance).answers(5)
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

import attrs
import trio

from alysd.nurseries import Address, Ask, AskTimeout, OnCrash, Tell
from alysd.nurseries.address import ASK_SECONDS
from alysd.nurseries.mailbox import OverflowPolicy
from alysd.nurseries.watch import close_watches, instance_ended, tell_watchers
from alysd.testing.transcript import Transcript

P = TypeVar("P")
R = TypeVar("R")
M = TypeVar("M")


@attrs.frozen(str=False)
class Unscripted(AssertionError):
    """The stand-in `name` got an ask of the type `message`, for which it has no script."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"the stand-in {self.name} has no script for {self.message}: add one with .on({self.message})"


class MailboxOptions(TypedDict, total=False):
    """The options of an address's mailbox, with the defaults of `Address`."""

    capacity: int
    overflow: OverflowPolicy
    on_crash: OnCrash


class RecordedAddress(Address[P]):
    """An address that records its messages, answers and errors in a transcript."""

    __slots__ = ("transcript",)

    def __init__(self, name: str, transcript: Transcript, **mailbox: Unpack[MailboxOptions]) -> None:
        super().__init__(name, **mailbox)
        self.transcript = transcript

    def tell(self, message: Tell[P]) -> None:
        """Send as `Address.tell` does, and record the message."""
        with self._recorded(message):
            super().tell(message)

    async def send(self, message: Tell[P]) -> None:
        """Send as `Address.send` does, and record the message."""
        with self._recorded(message):
            await super().send(message)

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """`Address.ask`, recorded with its answer."""
        with self._recorded(message) as answers:
            answer = await super().ask(message, seconds=seconds)
            answers.append(answer)
        return answer

    @contextmanager
    def _recorded(self, message: object) -> Generator[list[object]]:
        """Record the message. After the `with` block, record the answer that the block appended, or its error."""
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
    """The reaction of a stand-in to one type of message.

    If several methods are called, the last one determines the reaction. Without a call, the stand-in never
    answers.
    """

    def __init__(self) -> None:
        self._play: Callable[[Any], R] | None = None
        self.delay = 0.0

    def answers(self, *answers: R) -> "Script[R]":
        """Answer with these values in order, and with the last one from then on."""
        left = list(answers)
        return self.computes(lambda _: left.pop(0) if len(left) > 1 else left[0])

    def computes(self, function: Callable[[Any], R]) -> "Script[R]":
        """Answer with `function(message)`. Its errors are raised to the sender."""
        self._play = function
        return self

    def fails(self, error: Exception) -> "Script[R]":
        """Raise `error`, such as a `Refusal`, `ActorDown` or `MailboxFull`, to the sender."""

        def fail(_: object) -> R:
            raise error

        return self.computes(fail)

    def keeps_silent(self) -> "Script[R]":
        """Never answer: the sender gets `AskTimeout`."""
        self._play = None
        return self

    def after(self, seconds: float) -> "Script[R]":
        """Take `seconds` to answer an ask."""
        self.delay = seconds
        return self

    async def play(self, name: str, message: object, seconds: float) -> R:
        """Answer an ask. Raises `AskTimeout` when the script gives no answer within the sender's `seconds`."""
        play = self._play
        if play is None or self.delay > seconds:
            await trio.sleep(seconds)
            raise AskTimeout(name, type(message).__name__, seconds)
        await trio.sleep(self.delay)
        return play(message)

    def take(self, message: object) -> None:
        """React to a message that has no answer. Raises the error of `fails`."""
        if self._play is not None:
            self._play(message)


class StandIn(RecordedAddress[P]):
    """An address without an actor and without a system.

    It answers by scripts and keeps the messages in `received`. An ask without a script raises `Unscripted`; a tell
    without a script is only kept.
    """

    __slots__ = ("_arrived", "_scripts", "_seen", "received")

    def __init__(self, name: str, transcript: Transcript) -> None:
        super().__init__(name, transcript)
        self.gone = None
        self.received: list[object] = []
        self._scripts: dict[type[Any], Script[Any]] = {}
        self._arrived = trio.lowlevel.ParkingLot()
        self._seen = 0

    @overload
    def on(self, kind: type[Ask[P, R]]) -> Script[R]: ...
    @overload
    def on(self, kind: type[Tell[P]]) -> Script[None]: ...
    def on(self, kind: type[Any]) -> Script[Any]:
        """The script for messages of exactly this type. pyright checks the types of its answers."""
        return self._scripts.setdefault(kind, Script())

    def tell(self, message: Tell[P]) -> None:
        """Keep the message."""
        with self._recorded(message):
            self._keep(message)
            script = self._scripts.get(type(message))
            if script is not None:
                script.take(message)

    async def send(self, message: Tell[P]) -> None:
        """Keep the message, without ever waiting for room."""
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

    def ends_instance(self, error: Exception | None = None, *, gone: str | None = None) -> None:
        """Tell every watcher that an instance ended. With `gone`, no other one follows: the watches end."""
        instance_ended(self, error)
        if gone is None:
            tell_watchers(self)
        else:
            self.gone = gone
            close_watches(self, gone)

    async def next(self, kind: type[M], *, seconds: float = ASK_SECONDS) -> M:
        """Wait for the next message of this type, and skip other messages. Each message is returned once.

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
