"""An actor in a process that ends itself."""

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import ActorDown, State
from alysd.nurseries.processes.spec import ProcessLimits
from tests.nurseries.processes.child_fixture import Fixture
from tests.nurseries.processes.counting import Add, Leave, Total


async def test_an_actor_in_a_process_ends_itself(autojump_clock: MockClock) -> None:
    """Its process ended, which was a failure."""
    one = Fixture(limits=ProcessLimits(credit=2))
    async with one.running() as system:
        one.counter.tell(Leave(2))
        for _ in range(10):
            one.counter.tell(Add(1))
        await trio.sleep(1)
        child = one.harness.child("counter")
        assert (child.state, child.restarts, one.counter.handled) == (State.STOPPED, 0, 11)
        with pytest.raises(ActorDown):
            await one.counter.ask(Total())
        await system.restart("counter")
        assert await one.counter.ask(Total()) == 0


async def test_an_actor_of_run_time_that_ends_itself_leaves_the_tree(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.harness.running() as system:
        system.add("Harness", one.spec)
        one.counter.tell(Leave(1))
        await trio.sleep(1)
        assert "counter" not in system.registry


async def test_a_background_that_ends_its_actor_may_return(autojump_clock: MockClock) -> None:
    """The parent has not begun the stop then."""
    one = Fixture(factory="tests.nurseries.processes.counting:start_for_a_second")
    async with one.running():
        await trio.sleep(0.5)
        assert await one.counter.ask(Total()) == 0
        await trio.sleep(1)
        child = one.harness.child("counter")
        assert (child.state, child.restarts) == (State.STOPPED, 0)
