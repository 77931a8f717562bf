"""The progress bar of a long sync."""

import os
import pty

import trio
from trio.testing import MockClock

from alysd.api.sync_bar import BAR_SECONDS, DEFAULT_COLUMNS, LONG_BLOCKS, SyncBar, bar, columns_of
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.nurseries import ActorDown
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.sync import SyncProgress
from alysd.types.units import Height


def test_the_bar_has_progress_rate_and_time_left_and_fits_into_its_line() -> None:
    shown = bar(SyncProgress(Height(5000), Height(20000), 500.0, 3), 10.0, 80)
    assert shown.startswith("sync:  25%|")
    assert "5000/20000 [00:10<00:30, 500.00 blocks/s]" in shown
    assert len(shown) == 79
    assert shown.isascii()


def test_a_rate_that_is_unknown_is_not_invented() -> None:
    assert "?" in bar(SyncProgress(Height(5000), Height(20000), 0.0, 3), 10.0, 80)


async def test_only_a_long_sync_has_a_bar(autojump_clock: MockClock, no_threads: None) -> None:
    harness = ActorTestHarness()
    sync = StandIn[Sync]("sync", harness.transcript)
    shown: list[str] = []

    async def shown_after(current: int, target: int) -> list[str]:
        sync.on(GetSyncProgress).answers(SyncProgress(Height(current), Height(target), 10.0, 1))
        shown.clear()
        await trio.sleep(BAR_SECONDS)
        return list(shown)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(SyncBar(sync, shown.append, lambda: 80, Timing(2)).run)
        await trio.sleep(0.1)
        assert await shown_after(10, LONG_BLOCKS + 9) == []
        (first,) = await shown_after(10, LONG_BLOCKS + 10)
        assert f"10/{LONG_BLOCKS + 10}" in first
        (later,) = await shown_after(LONG_BLOCKS, LONG_BLOCKS + 10)
        assert f"{LONG_BLOCKS}/{LONG_BLOCKS + 10} [00:00<00:01" in later, "to its end"
        sync.on(GetSyncProgress).fails(ActorDown("sync", "restarts"))
        shown.clear()
        await trio.sleep(BAR_SECONDS)
        assert shown == []
        assert await shown_after(LONG_BLOCKS + 10, LONG_BLOCKS + 10) == [""]
        assert await shown_after(LONG_BLOCKS + 10, LONG_BLOCKS + 20) == []
        nursery.cancel_scope.cancel()
    assert shown == [""], "the bar goes with its task"


def test_the_width_is_that_of_the_terminal() -> None:
    reading, writing = pty.openpty()
    assert columns_of(writing) == DEFAULT_COLUMNS, "a new terminal does not know its width"
    os.close(reading)
    os.close(writing)
    assert columns_of(-1) == DEFAULT_COLUMNS
