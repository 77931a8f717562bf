"""Faults of the processes of children on virtual time, in an experiment and one by one."""

import logging
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import Address, Immediate, Intensity, OneForOne, actor, open_system, process, supervisor
from alysd.testing.chaos import Experiment, Injection, SteadyState, run_experiment
from alysd.testing.echo import Echo, EchoActor
from alysd.testing.faults import Fault, ProcessDelay, ProcessHang, ProcessKill, SystemUnderTest
from alysd.testing.process_double import ProcessDouble
from alysd.testing.targets import AnyChildren, BlastRadius
from tests.nurseries.processes.counting import CODEC, Counting, Total

START = "tests.nurseries.processes.counting:start"


def counter(name: str) -> Address[Counting]:
    return Address(name)


async def test_processes_recover_from_kills_hangs_and_slow_pipes(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")
    double, counters = ProcessDouble(), [counter(f"counter {number}") for number in range(3)]
    children = [
        process(each, START, codec=CODEC, config=7, restart=Immediate(), handle_seconds=2.0) for each in counters
    ]
    tree = supervisor("Counters", OneForOne(), children, intensity=Intensity(100))

    async def all_answer() -> bool:
        return all([await each.ask(Total(), seconds=10) == 7 for each in counters])

    injections = [
        Injection(ProcessKill(), AnyChildren()),
        Injection(ProcessHang(), AnyChildren(), seconds=5.0),
        Injection(ProcessDelay(seconds=0.5), AnyChildren(), seconds=5.0),
    ]
    experiment = Experiment(
        SteadyState("all answer", all_answer), injections, count=20, blast_radius=BlastRadius(share=0.7)
    )
    async with open_system(double.intercept(supervisor("Root", OneForOne(), [tree]))) as system:
        subject = SystemUnderTest(system, processes=double)
        report = await run_experiment(subject, experiment, seed=7)
    assert report.slowest_recovery < 1
    assert double.started > len(children)


@pytest.mark.parametrize(
    ("fault", "restarts", "seconds"),
    [(ProcessKill(), 1, 0.0), (ProcessHang(), 0, 3.0), (ProcessDelay(seconds=1.0), 0, 2.0)],
    ids=["kill", "hang", "delay"],
)
async def test_a_fault_reaches_those_targets_that_have_a_process(
    autojump_clock: MockClock, fault: Fault, restarts: int, seconds: float
) -> None:
    double, address, other = ProcessDouble(), counter("counter"), Address[Echo]("echo")
    children = [
        process(address, START, codec=CODEC, restart=Immediate()),
        actor(other, partial(EchoActor, [])),
    ]
    async with open_system(double.intercept(supervisor("Root", OneForOne(), children))) as system:
        took: list[float] = []

        async def ask() -> None:
            began = trio.current_time()
            assert await address.ask(Total(), seconds=60) == 0
            took.append(trio.current_time() - began)

        async with trio.open_nursery() as nursery:
            with fault.inject(SystemUnderTest(system, processes=double), ["counter", "echo"]):
                nursery.start_soon(ask)
                await trio.sleep(3.0)
        assert [child.restarts for child in system.snapshot().children] == [restarts, 0]
        assert took == [pytest.approx(seconds, abs=0.01)]
