"""The progress bar of a long sync, in the last line of the terminal on which `alysd run` was started."""

import os
from collections.abc import Callable
from functools import partial

import trio

from alysd.api.queued_output import QueuedOutput
from alysd.errors import Refused
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.nurseries import Address, ChildSpec, NotAnswered, task
from alysd.timing import Timing
from alysd.types.sync import SyncProgress

BAR_SECONDS = 0.5
"""The interval at which the bar is drawn again."""

LONG_BLOCKS = 256
"""The number of missing blocks from which a bar is shown: a second of sync, and one answer of a peer."""

DEFAULT_COLUMNS = 80


class SyncBar:
    """Shows the progress of a long sync with `show`, which gets the line to show, or "" to remove it.

    `columns` returns the width of the terminal.
    """

    def __init__(
        self, sync: Address[Sync], show: Callable[[str], None], columns: Callable[[], int], timing: Timing
    ) -> None:
        self._sync = sync
        self._show = show
        self._columns = columns
        self._timing = timing
        self._begun: float | None = None

    async def run(self) -> None:
        """Draw the bar while a long sync runs. Never returns."""
        try:
            while True:
                await trio.sleep(BAR_SECONDS)
                await self._draw()
        finally:
            self._show("")

    async def _draw(self) -> None:
        try:
            progress = await self._sync.ask(GetSyncProgress(), seconds=self._timing.page_ask)
        except (NotAnswered, Refused):
            return  # sync restarts
        missing = progress.target - progress.current
        if self._begun is None and missing >= LONG_BLOCKS:
            self._begun = trio.current_time()
        if self._begun is None:
            return
        if missing <= 0:
            self._begun = None
            self._show("")
            return
        seconds = trio.current_time() - self._begun
        self._show(await trio.to_thread.run_sync(bar, progress, seconds, self._columns()))


def bar(progress: SyncProgress, seconds: float, columns: int) -> str:
    """The bar, `seconds` after it was first shown. It leaves the last column free, so that no line is wrapped."""
    from tqdm.std import tqdm  # takes some tenths of a second, and most starts need no bar

    return tqdm.format_meter(
        progress.current,
        progress.target,
        seconds,
        ncols=columns - 1,
        prefix="sync",
        ascii=True,
        unit=" blocks",
        rate=progress.blocks_per_second or None,
        initial=progress.current,
    )


def columns_of(descriptor: int) -> int:
    """The width of the terminal that is open as `descriptor`."""
    try:
        return os.get_terminal_size(descriptor).columns or DEFAULT_COLUMNS
    except OSError:
        return DEFAULT_COLUMNS


def sync_bar_tasks(sync: Address[Sync], output: QueuedOutput, timing: Timing) -> list[ChildSpec]:
    """Return the task of the progress bar of the synchronization; none without a terminal."""
    if output.screen is None:
        return []
    return [task("sync bar", SyncBar(sync, output.show, partial(columns_of, output.screen), timing).run)]
