"""`alysd.nurseries`, the variants of `tell` and `ask` that are closer to a program's daily use.

The message is built for each send; the handler awaits once; handlers have a time limit; the health monitor runs; a
handler asks another actor before it answers.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import attrs
from trio.lowlevel import checkpoint

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    HealthMonitor,
    HealthRules,
    Immediate,
    OneForOne,
    Priority,
    Tell,
    actor,
    handles,
    open_system,
    supervisor,
)
from benchmarks.actors.measuring import MAILBOX, Figures, Sizes
from benchmarks.actors.peers.nurseries_workers import ECHO, NOTE, Bench, Note, Worker, addresses, running

CHECK_SECONDS = 0.05
"""Seconds between two health checks, far more often than by default, so that a short run has several."""

HANDLE_SECONDS = 1.0


@attrs.frozen
class Pause(Tell[Bench]):
    text: str


@attrs.frozen
class Relay(Ask[Bench, str]):
    text: str


class Waiter(Worker):
    """Awaits once for each `Pause`."""

    @handles(Pause)
    async def pause(self, message: Pause) -> None:  # noqa: ARG002
        await checkpoint()


class Relayer(Worker):
    """Asks `behind` for each answer."""

    def __init__(self, behind: Address[Bench]) -> None:
        self.behind = behind

    @handles(Relay)
    async def relay(self, message: Relay) -> str:  # noqa: ARG002
        return await self.behind.ask(ECHO)


PAUSE, RELAY = Pause("a message"), Relay("a message")


async def tell_built(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)
    async with running([worker]):
        begun = perf_counter()
        for _ in range(sizes.tells):
            await worker.send(Note("a message"))
        await worker.ask(ECHO)
        seconds = perf_counter() - begun
    return {"tell_built": sizes.tells / seconds}


async def _tell(worker: Address[Bench], message: Tell[Bench], tells: int) -> float:
    begun = perf_counter()
    for _ in range(tells):
        await worker.send(message)
    await worker.ask(ECHO)  # is handled after all messages sent before
    return tells / (perf_counter() - begun)


async def tell_awaits(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)
    async with running([worker], Waiter):
        return {"tell_awaits": await _tell(worker, PAUSE, sizes.tells)}


async def tell_bounded(sizes: Sizes) -> Figures:
    worker: Address[Bench] = Address("worker", capacity=MAILBOX)
    child = actor(worker, Worker, restart=Immediate(), handle_seconds=HANDLE_SECONDS)
    async with open_system(supervisor("Root", OneForOne(), [child])):
        return {"tell_bounded": await _tell(worker, NOTE, sizes.tells)}


async def tell_monitored(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)
    monitor = HealthMonitor(HealthRules(intervals=dict.fromkeys(Priority, CHECK_SECONDS), timeout=CHECK_SECONDS))
    async with running([worker], monitor=monitor):
        return {"tell_monitored": await _tell(worker, NOTE, sizes.tells)}


async def within_ask(sizes: Sizes) -> Figures:
    front: Address[Bench] = Address("front", capacity=MAILBOX)
    back: Address[Bench] = Address("back", capacity=MAILBOX)

    def relayer() -> Actor[Bench]:
        return Relayer(back)

    children = [actor(back, Worker, restart=Immediate()), actor(front, relayer, restart=Immediate())]
    async with open_system(supervisor("Root", OneForOne(), children)):
        begun = perf_counter()
        for _ in range(sizes.asks):
            await front.ask(RELAY)
        seconds = perf_counter() - begun
    return {"within_ask": seconds / sizes.asks * 1e6}


VARIANTS: Mapping[str, Callable[[Sizes], Awaitable[Figures]]] = {
    "tell_built": tell_built,
    "tell_awaits": tell_awaits,
    "tell_bounded": tell_bounded,
    "tell_monitored": tell_monitored,
    "within_ask": within_ask,
}
