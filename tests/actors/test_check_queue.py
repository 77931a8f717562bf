"""The queue of checks: bounded, and each check returns its place."""

import pytest
from trio.testing import MockClock

from alysd.actors.check_queue import CheckQueue
from alysd.errors import Malformed


async def test_a_queue_has_a_bound_and_returns_its_places(autojump_clock: MockClock) -> None:
    """Proposals of 256 KiB would wait in any number, or a malformed one would keep its place for ever."""
    waiting = 3
    queue = CheckQueue(waiting)
    assert [queue.take() for _ in range(waiting + 2)] == [True] * (waiting + 1) + [False]
    for _ in range(2):
        with pytest.raises(Malformed):
            async with queue.turn():
                raise Malformed("no proposal")
    assert [queue.take() for _ in range(3)] == [True, True, False]
