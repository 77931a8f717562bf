"""The progress of a sync: when a node counts as synced, and the time that is left."""

import pytest

from alysd.types.sync import SyncProgress
from alysd.types.units import Height


@pytest.mark.parametrize(
    ("current", "target", "synced"),
    [
        (0, 0, True),
        (994, 1000, False),
        (995, 1000, True),
        (199_000, 200_000, True),
        (198_999, 200_000, False),
        (96, 100, True),
        (95, 100, False),
        (0, 4, True),
        (0, 5, False),
        (7, 5, True),
    ],
)
def test_a_node_is_synced_from_a_share_or_from_four_blocks_on(current: int, target: int, synced: bool) -> None:
    """A member far behind would approve what it cannot judge, or one of a young chain would never approve."""
    assert SyncProgress(Height(current), Height(target), 0.0, 1).synced is synced
    assert not SyncProgress(Height(current), Height(target), 0.0, 1, checkpoint_missing=True).synced


def test_the_time_left_is_not_invented() -> None:
    assert SyncProgress(Height(5), Height(2005), 20.0, 3).seconds_left == 100
    assert SyncProgress(Height(5), Height(2005), 0.0, 3).seconds_left is None
