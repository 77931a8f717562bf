"""Counts the task steps of trio's scheduler."""

from collections.abc import Awaitable, Callable

import trio


class StepCounter(trio.abc.Instrument):
    """Counts how often trio's scheduler ran any task."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002  every task counts
        """Count one step of a task."""
        self.steps += 1


async def count_steps(work: Callable[[int], Awaitable[None]], times: int) -> int:
    """The number of task steps that trio scheduled while `work(times)` ran."""
    counter = StepCounter()
    trio.lowlevel.add_instrument(counter)
    try:
        await work(times)
    finally:
        trio.lowlevel.remove_instrument(counter)
    return counter.steps
