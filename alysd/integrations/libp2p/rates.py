"""A token bucket: a rate with a burst, at which a task waits."""

import trio


class TokenBucket:
    """A bucket that gets `rate` tokens per second, and keeps at most `burst` tokens."""

    __slots__ = ("_burst", "_level", "_rate", "_since")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._level = float(burst)
        self._since = trio.current_time()

    async def take(self, tokens: float) -> None:
        """Take tokens; wait until they have flowed in. A request larger than the burst waits for its full time."""
        self._flow()
        self._level -= tokens
        if self._level < 0:
            await trio.sleep(-self._level / self._rate)

    def try_take(self, tokens: float) -> bool:
        """Take tokens if there are enough. Returns whether there were."""
        self._flow()
        if self._level < tokens:
            return False
        self._level -= tokens
        return True

    def _flow(self) -> None:
        now = trio.current_time()
        self._level = min(self._burst, self._level + (now - self._since) * self._rate)
        self._since = now
