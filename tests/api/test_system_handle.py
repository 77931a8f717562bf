"""Stopping: the first signal stops the node in order. Access to the tree of a node that is starting is refused."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from alysd.api.system_handle import Stop, SystemHandle
from alysd.errors import NotNow
from alysd.integrations.systemd import Notifier
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import NodeStopping
from alysd.nurseries import HealthMonitor, OneForOne, open_system, supervisor, task


async def two_signals() -> AsyncIterator[int]:
    """SIGTERM, and at once an impatient SIGINT."""
    yield signal.SIGTERM
    yield signal.SIGINT


async def test_the_first_signal_cancels_the_node_and_the_second_changes_nothing(logged: list[LogEvent]) -> None:
    stop = Stop(Notifier({}), list)
    with stop.scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop.on, two_signals())
            await trio.sleep_forever()
    assert stop.scope.cancelled_caught
    assert logged == [NodeStopping("SIGTERM")]
    assert stop.asked_at > 0


async def test_a_closed_terminal_stops_the_node(logged: list[LogEvent]) -> None:
    stop = Stop(Notifier({}), list)
    stop.take(signal.SIGHUP)
    assert stop.scope.cancel_called
    assert logged == [NodeStopping("SIGHUP")]


async def test_systemctl_reload_does_not_stop_the_node(tmp_path: Path, logged: list[LogEvent]) -> None:
    manager, reloads = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}), list[str]()
    stop = Stop(manager, lambda: reloads.append("asked"))
    stop.take(signal.SIGHUP)
    assert not stop.scope.cancel_called
    assert (reloads, logged) == (["asked"], [])
    manager.close()


async def test_a_tree_that_is_not_up_yet_is_not_shown() -> None:
    running = SystemHandle(HealthMonitor())
    with pytest.raises(NotNow, match="starting"):
        running.snapshot()
    root = supervisor("Root", OneForOne(), [task("sleeper", trio.sleep_forever)])
    async with open_system(root) as running.system:
        assert [child.name for child in running.snapshot().walk()] == ["Root", "sleeper"]
