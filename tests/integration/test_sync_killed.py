"""A daemon that is killed during a sync goes on where it was, and has lost nothing that it has shown."""

from pathlib import Path

from benchmarks.killed_sync import killed_sync

BLOCKS = 600
"""More than two answers of a peer, and enough transactions for some kills in between."""


async def test_kills_during_a_sync_lose_nothing(tmp_path: Path) -> None:
    done = await killed_sync(tmp_path, BLOCKS, kill_every=1.0, most_kills=3)
    assert done.lost == ()
    assert done.kills >= 1
