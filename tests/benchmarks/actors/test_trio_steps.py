"""The counter of trio's task steps."""

import trio

from benchmarks.actors.trio_steps import count_steps


async def test_each_turn_of_a_task_counts_once(autojump_clock: trio.testing.MockClock) -> None:
    """The goal of three turns an ask is judged by this count."""

    async def work(times: int) -> None:
        for _ in range(times):
            await trio.lowlevel.checkpoint()

    assert await count_steps(work, 100) == 100
    assert await count_steps(work, 0) == 0
