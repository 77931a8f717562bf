"""An actor for tests of the runtime. Depending on the message, it answers, waits, crashes or refuses.

address, child = echo("echo", restart=Immediate())
async with running([child]) as system:
assert await address.ask(Say("hello")) == "hello"
address.tell(CrashTold())
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
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
from alysd.nurseries.asks import Wheel
from alysd.nurseries.child import Runtime
from alysd.nurseries.task_child import TaskChild
from alysd.testing.virtual_time import seeded


class Echo:
    """The protocol of `EchoActor`."""


@attrs.frozen
class Note(Tell[Echo]):
    """The actor appends the text to its `notes`."""

    text: str


@attrs.frozen
class Say(Ask[Echo, str]):
    """The actor answers with the text of this ask."""

    text: str


@attrs.frozen
class Await(Ask[Echo, str]):
    """The handler awaits `wait()` before it answers."""

    wait: Callable[[], Awaitable[None]]


def pause(seconds: float) -> Await:
    """An ask that takes `seconds` to answer."""
    return Await(partial(trio.sleep, seconds))


@attrs.frozen
class CrashTold(Tell[Echo]):
    """Crashes the actor."""

    error: Exception = attrs.field(factory=lambda: ValueError("boom"))


@attrs.frozen
class CrashAsked(Ask[Echo, str]):
    """Crashes the actor; the asker gets `HandlerCrashed`."""

    error: Exception = attrs.field(factory=lambda: ValueError("boom"))


@attrs.frozen
class Refuse(Ask[Echo, str]):
    """The actor refuses this ask."""


@attrs.frozen
class RefuseTold(Tell[Echo]):
    """The actor refuses this tell, so no sender gets the refusal."""


@attrs.frozen
class Unheard(Ask[Echo, str]):
    """The actor has no handler for this message."""


class EchoActor(Actor[Echo], partial=True):
    """Handles the messages above. All instances share the list `notes`."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    @handles(Note)
    async def note(self, message: Note) -> None:
        """Append the text to `notes`."""
        self.notes.append(message.text)

    @handles(Say)
    async def say(self, message: Say) -> str:
        """Answer with the text."""
        return message.text

    @handles(Await)
    async def wait(self, message: Await) -> str:
        """Wait, then answer."""
        await message.wait()
        return "waited"

    @handles(CrashTold)
    async def crash(self, message: CrashTold) -> None:
        """Raise the error."""
        raise message.error

    @handles(CrashAsked)
    async def crash_asked(self, message: CrashAsked) -> str:
        """Raise the error instead of an answer."""
        raise message.error

    @handles(Refuse)
    async def refuse(self, message: Refuse) -> str:
        """Raise a `Refusal`."""
        raise Refusal("not today")

    @handles(RefuseTold)
    async def refuse_told(self, message: RefuseTold) -> None:
        """Raise a `Refusal` that no sender receives."""
        raise Refusal("not today either")


class _IndifferentParent:
    """A parent that restarts nothing."""

    def child_failed(self, child: object, error: Exception, *, stopping: bool) -> None:
        return None

    def child_changed(self) -> None:
        return None

    def may_restart(self, child: object) -> bool:
        return False

    def child_restarts(self, child: object) -> None:
        return None

    def child_left(self, child: object) -> None:
        return None


def unstarted_child() -> TaskChild:
    """A child that no supervisor starts, for tests of code that only reads a child."""
    return TaskChild(task("t", trio.sleep_forever), _IndifferentParent(), Runtime(Wheel(), None, seeded(0)))


class Watcher:
    """An observer for `open_system` that records every change of a child's state."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> None:
        """Record a change."""
        self.changes.append(change)

    def states(self, name: str) -> list[State]:
        """The states that a child entered, in order."""
        return [change.new for change in self.changes if change.name == name]

    def order(self, state: State) -> list[str]:
        """The children that entered a state, in order."""
        return [change.name for change in self.changes if change.new is state]


def echo(name: str = "echo", notes: list[str] | None = None, **options: Any) -> tuple[Address[Echo], ChildSpec]:
    """An address and its child. `options` are those of `actor`, with `restart=Immediate()` by default."""
    address: Address[Echo] = Address(name)
    kept = [] if notes is None else notes
    options.setdefault("restart", Immediate())
    return address, actor(address, lambda: EchoActor(kept), **options)


def running(
    children: Sequence[ChildSpec],
    *,
    strategy: Strategy | None = None,
    intensity: Intensity | None = None,
    observer: Watcher | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[System]:
    """Run a system whose root has these children. `options` are those of `open_system`."""
    root = supervisor("Root", strategy or OneForOne(), children, intensity=intensity)
    return open_system(root, observer=observer, **options)


async def run_and_tell(
    children: Sequence[ChildSpec], address: Address[Echo], *messages: Tell[Echo], **options: Any
) -> None:
    """Run a system, tell these messages, and wait until the system fails. Always raises the system's error."""
    async with running(children, **options):
        for message in messages:
            address.tell(message)
        await trio.sleep_forever()
