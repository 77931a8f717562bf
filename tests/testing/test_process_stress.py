"""The stress of `test_stress`, with the actor in a process of its own that is killed, stopped and slowed down.

The double runs the process on virtual time, so that a seed is one run.
"""

import json
import logging
from functools import partial
from typing import Any, cast

import pytest
import trio

from alysd.nurseries import (
    Address,
    Immediate,
    Intensity,
    OnCrash,
    OneForOne,
    Overflow,
    System,
    WrongState,
    open_system,
    supervisor,
)
from alysd.nurseries.processes.spec import ProcessContext, ProcessLimits, process
from alysd.testing.process_double import ProcessDouble
from alysd.testing.virtual_time import run_virtually, seeded
from tests.testing.stress import PRODUCERS, SEEDS, Asked, Run, Tally, Tallying, Told

RUNS: dict[int, Run] = {}
"""The run of each seed: the factory is found by name, as a new process finds it."""


class Stamps:
    """Messages and stamps as JSON."""

    def encode(self, value: Any) -> bytes:
        if isinstance(value, Told | Asked):
            value = {type(value).__name__: value.stamp}
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> Any:
        value: Any = json.loads(data)
        if type(value) is list:
            return tuple(cast("list[int]", value))
        if type(value) is not dict:
            return value
        ((name, (who, number)),) = cast("dict[str, list[int]]", value).items()
        return {"Told": Told, "Asked": Asked}[name]((who, number))


codec = Stamps()


def start(context: ProcessContext) -> Tally:
    """Make the actor of a run."""
    run = RUNS[context.config]
    return Tally(run.rng, run.written)


async def harass(run: Run, system: System, double: ProcessDouble) -> None:
    """Kill, stop, slow down, suspend and crash the process, until cancelled."""
    name = run.address.name
    while True:
        await trio.sleep(run.rng.random() / 5)
        try:
            match run.rng.randrange(5):
                case 0:
                    double.kill(name)
                case 1:
                    double.hang(name)
                    await trio.sleep(run.rng.random() / 5)
                    double.resume(name)
                case 2:
                    double.slow_down(name, run.rng.random() / 50)
                case 3:
                    system.inject(name, RuntimeError("a panic"))
                case _:
                    system.suspend(name)
                    await trio.sleep(run.rng.random() / 5)
                    system.resume(name)
        except WrongState:
            pass  # it is just starting again


async def stress(seed: int) -> Run:
    """One run to its end, checked; the same for the same seed."""
    rng, double = seeded(seed), ProcessDouble()
    policy = (Overflow.BLOCK, Overflow.FAIL)[seed % 2]
    on_crash = (OnCrash.DROP, OnCrash.RETRY)[seed // 2 % 2]
    address: Address[Tallying] = Address("tally", capacity=rng.randint(1, 4), overflow=policy, on_crash=on_crash)
    run = RUNS[seed] = Run(rng, address, asks=True)
    module = "tests.testing.test_process_stress"
    child = process(
        address,
        f"{module}:start",
        codec=f"{module}:codec",
        config=seed,
        restart=Immediate(),
        limits=ProcessLimits(credit=rng.randint(1, 8)),
    )
    root = supervisor("Root", OneForOne(), [double.intercept(child)], intensity=Intensity(restarts=10_000))
    async with open_system(root, rng=rng) as system:
        async with trio.open_nursery() as harassing:
            harassing.start_soon(harass, run, system, double)
            async with trio.open_nursery() as producing:
                for who in range(PRODUCERS):
                    producing.start_soon(run.produce, who)
            harassing.cancel_scope.cancel()
        double.resume(address.name)
        await run.drain(system)
    run.check()
    del RUNS[seed]
    return run


@pytest.mark.parametrize("seed", SEEDS[::2])
def test_nothing_is_lost_doubled_or_reordered_across_processes(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    assert run_virtually(partial(stress, seed), seed=seed).written
