"""Function calls at given times of a MockClock, without a task and a cancel scope per call.

    agenda = Agenda()
    with agenda.kept():
        agenda.after(0.5, print)
        await agenda.wait(1.0)

A sleep of trio takes a cancel scope and an exception, which took half of the processor time of a
simulated federation. While an agenda is kept, the clock of the run jumps to the next entry or to the next deadline
of trio, whichever is earlier. Like all jumps of the clock, this happens when all tasks wait.
"""

import heapq
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any

import attrs
import trio
from trio.lowlevel import Abort, RaiseCancelT, current_task, reschedule, wait_task_rescheduled


@attrs.define(eq=False)
class Agenda:
    """Functions to call, by time. Those of the same time are called in the order in which they were added.

    With a `grid`, times are rounded up to its multiples, in seconds. Then more calls have the same time, tasks run
    in an order that depends on the seed, and the clock jumps less often.
    """

    grid: float = 0.0
    _entries: list[tuple[float, int, Callable[[], object]]] = attrs.field(
        factory=list[tuple[float, int, Callable[[], object]]], init=False
    )
    _numbers: "count[int]" = attrs.field(factory=count, init=False)

    def after(self, seconds: float, happen: Callable[[], object]) -> None:
        """Call `happen` after `seconds`, outside of all tasks. It must not raise."""
        due = trio.current_time() + seconds
        if self.grid:
            due = math.ceil(due / self.grid) * self.grid
        heapq.heappush(self._entries, (due, next(self._numbers), happen))

    async def wait(self, seconds: float) -> None:
        """Wait for `seconds`. This cannot be cancelled, like the work of a thread."""
        self.after(seconds, partial(reschedule, current_task()))
        await wait_task_rescheduled(_refuse)

    @contextmanager
    def kept(self) -> Generator[None]:
        """While the `with` block runs, call the functions when they are due. The run needs a `MockClock`.

        It uses private parts of trio. If a version of trio lacks them, this raises an `AttributeError`.
        """
        clock: Any = trio.lowlevel.current_clock()
        deadlines: Any = import_module("trio._core._run").GLOBAL_RUN_CONTEXT.runner.deadlines

        def jump() -> None:
            now, entries = clock.current_time(), self._entries
            to = deadlines.next_deadline()
            if entries and entries[0][0] < to:
                to = entries[0][0]
            if now < to < math.inf:
                clock.jump(to - now)
            while entries and entries[0][0] <= to:
                heapq.heappop(entries)[2]()

        usual = clock._autojump
        clock._autojump = jump
        try:
            yield
        finally:
            clock._autojump = usual


def _refuse(_: RaiseCancelT) -> Abort:
    return Abort.FAILED
