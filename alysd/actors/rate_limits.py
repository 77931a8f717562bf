"""Rate limits of peers: token buckets, which bound the work that one peer can cause."""

from collections import OrderedDict

import attrs

KEPT = 1024
"""The maximum number of buckets. Beyond it, the bucket that was used least recently is deleted.

A peer whose bucket was deleted begins with a full one."""


@attrs.frozen
class AllowedRate:
    """An allowance of `per_second` units on average, and of `burst` units at once."""

    per_second: float
    burst: float


class RateLimits:
    """One bucket per peer. `now` is in seconds of a clock that only rises."""

    def __init__(self, rate: AllowedRate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, peer: str, now: float, units: float = 1.0) -> bool:
        """Take `units` from the bucket of `peer` if it has as many, and return whether it had."""
        left = self._left(peer, now)
        enough = left >= units
        self._keep(peer, left - units if enough else left, now)
        return enough

    def charge(self, peer: str, now: float, units: float) -> None:
        """Take `units` from the bucket of `peer` even if it has fewer: their number is known only afterwards."""
        self._keep(peer, self._left(peer, now) - units, now)

    def _left(self, peer: str, now: float) -> float:
        left, since = self._buckets.get(peer, (self._rate.burst, now))
        return min(self._rate.burst, left + (now - since) * self._rate.per_second)

    def _keep(self, peer: str, left: float, now: float) -> None:
        self._buckets[peer] = left, now
        self._buckets.move_to_end(peer)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
