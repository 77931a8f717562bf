"""The last deadline of a child that was asked to end, and the report of a child that has not ended by then.

A child is cancelled when its `stop_seconds` are over, and its last hooks have as long again. A handler that
shields itself from cancellation, or waits for a thread that does not end, outlives both: no code can end it. When
`LAST_SECONDS` more have passed, the runtime logs a `StuckChild` and calls the function `on_stuck` of
`open_system`. A daemon ends its process there, and its service manager starts it again.
"""

import logging
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

import attrs
from trio.lowlevel import Task

from alysd.nurseries.asks import Expiring, Wheel

logger = logging.getLogger("alysd.nurseries")

LAST_SECONDS = 5.0
"""Seconds after the `stop_seconds` of a child and of its last hooks. Shielded clean-up has to be shorter."""

_LIBRARIES = ("trio.", "outcome.", "contextlib", "alysd.nurseries.")
"""Modules whose frames do not tell where a program waits."""


@attrs.frozen
class StuckChild:
    """The child `name` was asked to end `seconds` ago and has not ended."""

    name: str
    seconds: float
    handles: str | None
    """The type of the message that it handles; `None` if it is a task, or runs a hook."""
    waits_in: tuple[str, ...]
    """The places where the child waits: function, file and line of each of its tasks without tasks below it."""

    def __str__(self) -> str:
        what = "" if self.handles is None else f" It handles {self.handles}."
        where = "; ".join(self.waits_in) or "a place that is not known"
        return f"{self.name} does not end, {self.seconds:g} s after it was asked to.{what} It waits in {where}"


OnStuck = Callable[[StuckChild], None]
"""A function that is called with a stuck child, in the event loop. It may end the process.

It is called once for each stuck instance, although the supervisors above the child have last deadlines too."""


class Ending(Protocol):
    """The part of a child that a last deadline uses."""

    stuck: bool
    """Whether the present instance was reported."""

    @property
    def name(self) -> str:
        """The child's name."""
        ...

    @property
    def task(self) -> Task | None:
        """The child's task, while it has one."""
        ...

    def handles(self) -> str | None:
        """The type of the message that the child handles."""
        ...

    def walk(self) -> "Iterator[Ending]":
        """This child and all children below it, in start order."""
        ...


class LastDeadline:
    """The last deadline of the present instance of a child. `cancel` ends it."""

    __slots__ = ("_child", "_on_stuck", "_seconds", "bucket")

    def __init__(self, child: Ending, seconds: float, wheel: Wheel, on_stuck: OnStuck | None) -> None:
        self._child = child
        self._seconds = seconds
        self._on_stuck = on_stuck
        self.bucket: set[Expiring] | None = None
        wheel.add(self, seconds)

    def cancel(self) -> None:
        """Cancel the deadline, because the instance has ended."""
        if self.bucket is not None:
            self.bucket.discard(self)

    def expire(self) -> None:
        """Report the last child, in start order, that has a task: all others may wait for it. Report it once."""
        child = ([below for below in self._child.walk() if below.task is not None] or [self._child])[-1]
        if child.stuck:
            return
        child.stuck = True
        waits_in = () if child.task is None else tuple(_places(child.task))
        stuck = StuckChild(child.name, self._seconds, child.handles(), waits_in)
        logger.critical("%s", stuck)
        if self._on_stuck is not None:
            self._on_stuck(stuck)


def _places(task: Task) -> Iterator[str]:
    """The places where the tasks below `task` wait; without such tasks, the place where `task` waits."""
    below = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    for child in below:
        yield from _places(child)
    if not below:
        frames = list(task.iter_await_frames())
        own = [(frame, line) for frame, line in frames if not _module(frame).startswith(_LIBRARIES)]
        for frame, line in (own or frames)[-1:]:
            code = frame.f_code
            yield f"{code.co_qualname} ({code.co_filename}:{line})"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")) + "."
