"""A child that cannot be ended is reported, with what it handles and where it waits."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import Address, NotAnswered, OneForOne, StuckChild, supervisor, task
from alysd.nurseries.last_deadline import LAST_SECONDS
from alysd.testing.echo import Await, Echo, Say, echo, running


async def shielded(seconds: float = 60) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


async def shielded_in_a_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shielded)


@pytest.mark.parametrize("wait", [shielded, shielded_in_a_nursery])
@pytest.mark.parametrize("operation", ["stop_child", "restart", "inject"])
async def test_a_handler_that_shields_itself_is_named_at_its_last_deadline(
    autojump_clock: MockClock, operation: str, wait: Callable[[], Awaitable[None]]
) -> None:
    stuck: list[tuple[StuckChild, float]] = []
    address, child = echo("shielding", stop_seconds=2.0)
    tree = [supervisor("Below", OneForOne(), [child])]

    def on_stuck(report: StuckChild) -> None:
        stuck.append((report, trio.current_time()))

    async with running(tree, on_stuck=on_stuck) as system, trio.open_nursery() as nursery:
        nursery.start_soon(ask, address, Await(wait))
        await wait_all_tasks_blocked()
        if operation == "inject":
            system.inject("shielding", RuntimeError("unhealthy"))
        else:
            nursery.start_soon(getattr(system, operation), "shielding")
        await trio.sleep(2 * 2.0 + LAST_SECONDS - 0.1)
        assert stuck == []
        await trio.sleep(0.2)
        ((report, at),) = stuck
        assert at == pytest.approx(9.0, abs=0.02)
        assert (report.name, report.handles, report.seconds) == ("shielding", "Await", 9.0)
        assert len(report.waits_in) == 1
        assert report.waits_in[0].startswith(f"shielded ({__file__}:")
        assert str(report).startswith(
            "shielding does not end, 9 s after it was asked to. It handles Await. It waits in shielded ("
        )
        await trio.sleep(60)
        assert len(stuck) == 1


async def test_a_report_that_raises_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def on_stuck(report: StuckChild) -> None:
        raise RuntimeError("the disk is full")

    stuck, child = echo("shielding", stop_seconds=1.0)
    other, sibling = echo("other")
    async with running([child, sibling], on_stuck=on_stuck) as system, trio.open_nursery() as nursery:
        nursery.start_soon(ask, stuck, Await(shielded))
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop_child, "shielding")
        await trio.sleep(2 * 1.0 + LAST_SECONDS + 1)
        assert await other.ask(Say("still here")) == "still here"
    assert "the disk is full" in caplog.text


async def ask(address: Address[Echo], message: Await) -> None:
    with suppress(NotAnswered):
        await address.ask(message, seconds=100)


async def test_the_stop_of_the_system_names_the_child_that_holds_it(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", logger="alysd.nurseries")
    async with running([task("quick", trio.sleep_forever), task("holding", shielded, stop_seconds=1.0)]):
        pass
    assert [record.message.split(" It waits in ")[0] for record in caplog.records] == [
        "holding does not end, 7 s after it was asked to.",
    ]


async def test_a_stuck_child_is_reported_once_under_any_number_of_supervisors(autojump_clock: MockClock) -> None:
    """It was reported once more at the last deadline of each of them."""
    stuck: list[StuckChild] = []
    address, child = echo("shielding", stop_seconds=1.0)
    tree = [supervisor("Upper", OneForOne(), [supervisor("Lower", OneForOne(), [child], stop_seconds=0.0)])]
    async with (
        trio.open_nursery() as nursery,
        running(tree, on_stuck=stuck.append) as system,
    ):
        nursery.start_soon(ask, address, Await(shielded))
        await wait_all_tasks_blocked()
        system.inject("shielding", RuntimeError("unhealthy"))
        await trio.sleep(30)
        system.request_stop("test")
        await system.ended()
        nursery.cancel_scope.cancel()
    assert [report.name for report in stuck] == ["shielding"]


async def test_each_instance_that_does_not_end_is_reported(autojump_clock: MockClock) -> None:
    stuck: list[StuckChild] = []
    address, child = echo("shielding", stop_seconds=1.0)
    async with (
        running([child], on_stuck=stuck.append) as system,
        trio.open_nursery() as nursery,
    ):
        for _ in range(2):
            nursery.start_soon(ask, address, Await(shielded))
            await wait_all_tasks_blocked()
            await system.restart("shielding")
    assert [report.name for report in stuck] == ["shielding"] * 2


@pytest.mark.parametrize("seconds", [0.0, 1.5, 5.0])
async def test_a_child_that_ends_in_time_is_not_reported(autojump_clock: MockClock, seconds: float) -> None:
    stuck: list[StuckChild] = []
    address, child = echo("slow", stop_seconds=1.0)
    async with running([child], on_stuck=stuck.append) as system, trio.open_nursery() as nursery:
        for operation in (system.restart, system.stop_child):
            nursery.start_soon(ask, address, Await(partial(shielded, seconds)))
            await wait_all_tasks_blocked()
            await operation("slow")
            await trio.sleep(30)
        await system.restart("slow")
        assert await address.ask(Say("x")) == "x"
        system.inject("slow", RuntimeError("once"))
        await trio.sleep(30)
    assert stuck == []


async def test_a_child_without_a_frame_of_the_program_is_named_all_the_same(autojump_clock: MockClock) -> None:
    stuck: list[StuckChild] = []

    async def hold() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    async with running([task("library", hold, stop_seconds=0.0)], on_stuck=stuck.append):
        pass
    assert stuck[0].handles is None
    assert "hold" in stuck[0].waits_in[0]
    assert "a place that is not known" in str(StuckChild("a", 1.0, None, ()))
