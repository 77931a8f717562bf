"""Running on virtual time so that the same seed gives the same run.

    run_virtually(main, seed=7)

is `trio.run` on a clock that jumps whenever everybody waits, with a scheduler whose choices hang on the seed.
What still differs between runs is what looks at real time: an actor that is busy for more than a millisecond
gives way when that has passed.
"""

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from random import Random
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


def seeded(seed: int) -> Random:
    """Chance that can be had again: for tests, never for secrets."""
    return Random(seed)  # noqa: S311


@contextmanager
def deterministic_scheduling(seed: int) -> Generator[None]:
    """While the block runs, a new trio run wakes tasks in an order that hangs on `seed` alone.

    It throws the switch that trio keeps for property tests. The switch has no public name; a trio without
    it fails here with an AttributeError, not with tests that fail now and then.
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


def run_virtually(main: Callable[[], Awaitable[T]], *, seed: int = 0) -> T:
    """Run `main` to its end on virtual time, and return what it returns or raise what it raises."""
    with deterministic_scheduling(seed):
        return trio.run(main, clock=MockClock(autojump_threshold=0))
