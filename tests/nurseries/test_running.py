"""Running a tree: the block it lives in, how it ends, and which error comes out."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Address,
    OneForOne,
    SpecError,
    State,
    System,
    SystemFailed,
    actor,
    open_system,
    run_system,
    supervisor,
)
from tests.nurseries.kit import Crash, Echo, Echoer, Note, Say, Watcher, echo, pause, running


async def test_leaving_the_block_handles_what_was_sent_and_closes_the_addresses() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]):
        for number in range(500):
            address.tell(Note(str(number)))
    assert notes == [str(number) for number in range(500)]
    assert address.mailbox.closed


async def test_an_error_of_the_block_comes_out_as_it_is_after_the_tree_stopped() -> None:
    watcher = Watcher()
    _, child = echo()
    with pytest.raises(ZeroDivisionError):
        async with running([child], observer=watcher):
            raise ZeroDivisionError
    assert watcher.states("echo")[-1] is State.STOPPED


async def test_a_cancelled_block_stops_the_tree_in_order() -> None:
    watcher = Watcher()
    with trio.CancelScope() as scope:
        async with running([echo("a")[1], echo("b")[1]], observer=watcher):
            scope.cancel()
            await trio.sleep_forever()
    assert watcher.order(State.STOPPED) == ["b", "a", "Root"]


async def test_when_system_and_block_fail_together_the_systems_failure_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, child = echo()

    async def fail_in_block() -> None:
        async with running([child], fatal=[ValueError]):
            address.tell(Crash())
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("in the block")

    with pytest.raises(SystemFailed):
        await fail_in_block()
    assert "besides the system's failure its block raised KeyError('in the block')" in caplog.text


async def test_a_daemon_runs_until_it_is_asked_to_stop() -> None:
    _, child = echo()
    async with trio.open_nursery() as nursery:
        system: System = await nursery.start(run_system, supervisor("Root", OneForOne(), [child]))
        assert system.snapshot().state is State.RUNNING
        assert system.stop_reason is None
        system.request_stop("SIGTERM")
        system.request_stop("again")
    assert system.stop_reason == "SIGTERM"
    assert system.failure is None


async def test_a_tree_that_does_not_stop_in_time_is_cancelled(autojump_clock: MockClock) -> None:
    """The root's own bound holds even if the sum of its children's does not."""
    address, child = echo(stop_seconds=1000.0)
    root = supervisor("Root", OneForOne(), [child], stop_seconds=2.0)
    async with open_system(root) as system, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await address.ask(pause(500), seconds=1000)

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await system.stop("test")
    assert trio.current_time() - began == pytest.approx(2)


async def test_an_address_serves_one_actor_at_a_time_and_another_afterwards() -> None:
    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: Echoer([]))
    async with running([child]):
        with pytest.raises(SpecError, match="the address echo already has an actor in a running system"):
            async with running([child]):
                pytest.fail("never entered")
    async with running([child]):
        assert await address.ask(Say("second life")) == "second life"
