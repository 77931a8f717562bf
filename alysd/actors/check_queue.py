"""A bounded queue of checks that run one after the other."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio


@attrs.define
class CheckQueue:
    """Places for checks, which run one after the other. At most `waiting` wait for their turn."""

    waiting: int
    _taken: int = 0
    _turn: trio.Lock = attrs.field(factory=trio.Lock)

    def take(self) -> bool:
        """Take a place, which `turn` gives back. Returns whether there was one."""
        if self._taken > self.waiting:
            return False
        self._taken += 1
        return True

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for the turn of the place that was taken, and give it back at the end of the `with` block."""
        try:
            async with self._turn:
                yield
        finally:
            self._taken -= 1
