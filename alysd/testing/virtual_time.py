"""Virtual time, and runs that are repeatable with a seed.

    run_virtually(main, seed=7)

is `trio.run` on a clock that jumps to the next deadline whenever all tasks wait. The choices of its scheduler
depend on the seed alone. The actor runtime also uses virtual time for its measurements. Otherwise real time would
decide when a busy actor executes a checkpoint.
"""

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from random import Random
from typing import Any, TypeVar

import attrs
import trio
from trio.testing import MockClock

T = TypeVar("T")

_MEASURING = ("address", "serve")
"""The modules of the runtime that read a clock to measure time."""

_COUNTING = ("mailbox", "address")
"""The modules that count mailbox operations, with one counter."""


def seeded(seed: int) -> Random:
    """A random number generator for tests, whose numbers depend only on `seed`. Never use it for secrets."""
    return Random(seed)  # noqa: S311


@contextmanager
def deterministic_scheduling(seed: int) -> Generator[None]:
    """While the `with` block runs, a new trio run wakes tasks in an order that depends on `seed` alone.

    It uses a private setting of trio for property tests. If a version of trio lacks the setting, this raises an
    `AttributeError`.
    """
    scheduler: Any = import_module("trio._core._run")
    switched, state = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = switched
        scheduler._r.setstate(state)


@contextmanager
def virtual_runtime() -> Generator[None]:
    """While the `with` block runs, the actor runtime measures times on trio's clock.

    Its counter of mailbox operations, which decides when a checkpoint is due, starts again at one.
    """
    modules = [import_module(f"alysd.nurseries.{name}") for name in _MEASURING]
    senders: list[Any] = [import_module(f"alysd.nurseries.{name}") for name in _COUNTING]
    measured, turns = [module.perf_counter for module in modules], senders[0].turns
    for module in modules:
        setattr(module, "perf_counter", trio.current_time)  # noqa: B010  a module has no such field to a checker
    restarted = count(1)
    for module in senders:
        module.turns = restarted
    try:
        yield
    finally:
        for module in senders:
            module.turns = turns
        for module, perf_counter in zip(modules, measured, strict=True):
            setattr(module, "perf_counter", perf_counter)  # noqa: B010


def run_virtually(main: Callable[[], Awaitable[T]], *, seed: int = 0) -> T:
    """Run `main` on virtual time, and return its result or raise its error."""
    with deterministic_scheduling(seed), virtual_runtime():
        return trio.run(main, clock=MockClock(autojump_threshold=0))


@attrs.define
class VirtualClock:
    """Implements `alysd.ports.Clock`: the time is `start` in Unix seconds, plus `offset`, plus trio's time.

    `slept` is the number of seconds for which the machine was suspended: trio's clock does not count them.
    """

    start: float = 1_700_000_000.0
    offset: float = 0.0
    slept: float = 0.0

    def time(self) -> float:
        """The time in Unix seconds."""
        return self.start + self.boottime() + self.offset

    def boottime(self) -> float:
        """The seconds since trio's clock showed 0, plus `slept`."""
        return trio.current_time() + self.slept


@contextmanager
def threads_inline(seconds: float = 0.0) -> Generator[None]:
    """While the `with` block runs, `trio.to_thread.run_sync` calls functions in the event loop, without threads.

    Each call takes `seconds` of virtual time. A MockClock does not see that a thread works, and would jump ahead.
    """

    async def run_sync(work: Callable[..., T], *args: Any, **_options: Any) -> T:
        await trio.sleep(seconds)
        return work(*args)

    real = trio.to_thread.run_sync
    trio.to_thread.run_sync = run_sync
    try:
        yield
    finally:
        trio.to_thread.run_sync = real
