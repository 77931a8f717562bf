"""What the tests of the runtime share: one small protocol, one actor that can do and fail everything."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from random import Random
from typing import Any

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    Change,
    ChildSpec,
    Immediate,
    Intensity,
    OneForOne,
    Refusal,
    State,
    Strategy,
    System,
    Tell,
    actor,
    handles,
    open_system,
    supervisor,
    task,
)
from alysd.nurseries.actor_child import TaskChild
from alysd.nurseries.asks import Wheel
from alysd.nurseries.child import Runtime


class Echo:
    """The protocol of `Echoer`."""


@attrs.frozen
class Note(Tell[Echo]):
    """Is written down."""

    text: str


@attrs.frozen
class Say(Ask[Echo, str]):
    """Is answered with its text."""

    text: str


@attrs.frozen
class Await(Ask[Echo, str]):
    """The handler awaits `wait()` before it answers."""

    wait: Callable[[], Awaitable[None]]


def pause(seconds: float) -> Await:
    """An ask that takes so long to answer."""
    return Await(partial(trio.sleep, seconds))


def seeded(seed: int) -> Random:
    """The chance of one example."""
    return Random(seed)  # noqa: S311  chance, not secrets


@attrs.frozen
class Crash(Tell[Echo]):
    """Crashes the actor."""

    error: Exception = attrs.field(factory=lambda: ValueError("boom"))


@attrs.frozen
class CrashAsked(Ask[Echo, str]):
    """Crashes the actor while it is asked."""

    error: Exception = attrs.field(factory=lambda: ValueError("boom"))


@attrs.frozen
class Refuse(Ask[Echo, str]):
    """Is refused."""


@attrs.frozen
class RefuseTold(Tell[Echo]):
    """Is refused although nobody asked."""


@attrs.frozen
class Unheard(Ask[Echo, str]):
    """Has no handler."""


class Echoer(Actor[Echo]):
    """Notes what it is told and answers what it is asked; instances share the notes."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    @handles(Note)
    async def note(self, message: Note) -> None:
        self.notes.append(message.text)

    @handles(Say)
    async def say(self, message: Say) -> str:
        return message.text

    @handles(Await)
    async def wait(self, message: Await) -> str:
        await message.wait()
        return "waited"

    @handles(Crash)
    async def crash(self, message: Crash) -> None:
        raise message.error

    @handles(CrashAsked)
    async def crash_asked(self, message: CrashAsked) -> str:
        raise message.error

    @handles(Refuse)
    async def refuse(self, message: Refuse) -> str:
        raise Refusal("not today")

    @handles(RefuseTold)
    async def refuse_told(self, message: RefuseTold) -> None:
        raise Refusal("not today either")


class IndifferentParent:
    """A parent that restarts nothing."""

    def child_failed(self, child: object, error: Exception, *, stopping: bool) -> None:
        return None

    def child_changed(self) -> None:
        return None

    def child_finished(self, child: object) -> None:
        return None


def unstarted_child() -> TaskChild:
    """A child that no supervisor starts."""
    return TaskChild(task("t", trio.sleep_forever), IndifferentParent(), Runtime(Wheel(), None, seeded(0)))


class Watcher:
    """An observer that writes every change down."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> None:
        self.changes.append(change)

    def states(self, name: str) -> list[State]:
        """The states that a child went to, in order."""
        return [change.new for change in self.changes if change.name == name]

    def order(self, state: State) -> list[str]:
        """The children that went to a state, in order."""
        return [change.name for change in self.changes if change.new is state]


def echo(name: str = "echo", notes: list[str] | None = None, **options: Any) -> tuple[Address[Echo], ChildSpec]:
    """An address and the child behind it; `options` are those of `actor`. It restarts at once."""
    address: Address[Echo] = Address(name)
    kept = [] if notes is None else notes
    options.setdefault("restart", Immediate())
    return address, actor(address, lambda: Echoer(kept), **options)


def running(
    children: Sequence[ChildSpec],
    *,
    strategy: Strategy | None = None,
    intensity: Intensity | None = None,
    observer: Watcher | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[System]:
    """A system whose root has these children."""
    root = supervisor("Root", strategy or OneForOne(), children, intensity=intensity)
    return open_system(root, observer=observer, **options)


async def run_and_tell(
    children: Sequence[ChildSpec], address: Address[Echo], *messages: Tell[Echo], **options: Any
) -> None:
    """Run a system, tell these messages, and wait for ever: for a system that does not survive them."""
    async with running(children, **options):
        for message in messages:
            address.tell(message)
        await trio.sleep_forever()
