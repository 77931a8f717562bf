"""Counting what trio's scheduler does."""

from collections.abc import Awaitable, Callable

import trio


class StepCounter(trio.abc.Instrument):
    """Counts how often any task was given its turn."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002  every task counts
        """A task's turn."""
        self.steps += 1


async def count_steps(work: Callable[[int], Awaitable[None]], times: int) -> int:
    """The turns that tasks took while `work(times)` ran: all that trio had to schedule for it."""
    counter = StepCounter()
    trio.lowlevel.add_instrument(counter)
    try:
        await work(times)
    finally:
        trio.lowlevel.remove_instrument(counter)
    return counter.steps
