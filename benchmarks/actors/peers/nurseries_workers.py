"""The actors and messages of `nurseries`, and the system in which they run."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import attrs

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    HealthMonitor,
    Immediate,
    Intensity,
    OneForOne,
    System,
    Tell,
    actor,
    handles,
    open_system,
    supervisor,
)
from benchmarks.actors.measuring import MAILBOX

ENDLESS = Intensity(restarts=10**9, seconds=1.0)
"""A budget that the crash job does not exhaust."""


class Bench:
    """The protocol of `Worker`."""


@attrs.frozen
class Note(Tell[Bench]):
    text: str


@attrs.frozen
class Crash(Tell[Bench]): ...


@attrs.frozen
class Echo(Ask[Bench, str]):
    text: str


class Worker(Actor[Bench]):
    """Only answers."""

    @handles(Note)
    async def note(self, message: Note) -> None: ...

    @handles(Crash)
    async def crash(self, message: Crash) -> None:  # noqa: ARG002
        raise ValueError("boom")

    @handles(Echo)
    async def echo(self, message: Echo) -> str:
        return message.text


# Created once, so that only the delivery of messages is measured. The other peers also send a constant.
NOTE, CRASH, ECHO = Note("a message"), Crash(), Echo("a message")


def addresses(count: int) -> list[Address[Bench]]:
    return [Address(f"actor-{index}", capacity=MAILBOX) for index in range(count)]


def running(
    workers: list[Address[Bench]],
    factory: Callable[[], Actor[Bench]] = Worker,
    monitor: HealthMonitor | None = None,
) -> AbstractAsyncContextManager[System]:
    """A system of one supervisor with a worker behind each address."""
    children = [actor(address, factory, restart=Immediate()) for address in workers]
    return open_system(supervisor("Root", OneForOne(), children, intensity=ENDLESS), monitor=monitor)
