"""The same seed gives the same run; virtual time costs nothing."""

import sys
from importlib import import_module
from time import perf_counter
from typing import Any

import trio

from alysd.testing.virtual_time import run_virtually, seeded


def order_of_wakes(seed: int) -> list[int]:
    """In which order twenty tasks come to their turn, three times."""
    order: list[int] = []

    async def take_turns(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async def main() -> list[int]:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(take_turns, number)
        return order

    return run_virtually(main, seed=seed)


def test_a_seed_fixes_the_order_in_which_tasks_run_and_another_changes_it() -> None:
    assert order_of_wakes(1) == order_of_wakes(1)
    assert order_of_wakes(1) != order_of_wakes(2)


def test_a_day_passes_in_no_time_and_the_result_comes_out() -> None:
    async def main() -> float:
        await trio.sleep(86_400)
        return trio.current_time()

    began = perf_counter()
    assert run_virtually(main) == 86_400
    assert perf_counter() - began < 5


def test_the_scheduler_gets_its_own_chance_back() -> None:
    """Otherwise a replay in one test would fix the order of tasks in every later test."""
    scheduler: Any = import_module("trio._core._run")
    before = scheduler._r.getstate()
    order_of_wakes(5)
    assert scheduler._r.getstate() == before


def test_the_runtime_measures_virtual_time_in_a_virtual_run_and_real_time_after_it() -> None:
    """A busy actor that gave way by the clock on the wall would be another run each time."""
    serve: Any = import_module("alysd.nurseries.serve")

    async def main() -> tuple[float, float]:
        await trio.sleep(1_000.0)
        return serve.perf_counter(), trio.current_time()

    assert run_virtually(main) == (1_000.0, 1_000.0)
    assert serve.perf_counter is perf_counter


def test_every_module_that_counts_operations_starts_again_at_one_with_the_same_counter() -> None:
    """Otherwise the checkpoints of a run would depend on the runs before it."""
    counting = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("alysd.nurseries.") and hasattr(module, "turns")
    ]
    assert len(counting) == 2

    async def main() -> list[int]:
        return [next(module.turns) for module in counting]

    before: list[Any] = [module.turns for module in counting]
    assert run_virtually(main) == [1, 2]
    assert [module.turns for module in counting] == before
    assert before[0] is before[1]


def test_seeded_chance_repeats() -> None:
    assert seeded(4).random() == seeded(4).random()
