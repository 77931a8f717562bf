"""The time limit of an actor's handlers: `handle_seconds`.

A cancel scope per message costs ten times as much as the message. A `Watchdog` therefore opens one scope around
the loop of an instance, and cancels it when a handler is overdue. The wheel of the asks wakes the watchdog at the
earliest time at which the present handler can be overdue, and not at all while the actor has no messages. A
handler is never cancelled early, and at most one `TICK` late.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from alysd.nurseries.address import Address
from alysd.nurseries.asks import Expiring, Wheel
from alysd.nurseries.errors import HandlerTooSlow
from alysd.nurseries.inbox import content


class Watchdog:
    """Cancels a handler of one instance that takes longer than `seconds`.

    The loop calls `begin` before each handler, and `end` after it.
    """

    __slots__ = ("_address", "_began", "_expired", "_now", "_scope", "_seconds", "_wheel", "bucket")

    def __init__(self, address: Address[Any], seconds: float, wheel: Wheel) -> None:
        self._address = address
        self._seconds = seconds
        self._wheel = wheel
        self._now = trio.lowlevel.current_clock().current_time
        # When the present handler began; infinite between two handlers.
        self._began = math.inf
        self._scope = trio.CancelScope()
        self._expired = False
        self.bucket: set[Expiring] | None = None

    def begin(self) -> None:
        """Record that a handler begins."""
        self._began = self._now()
        if self.bucket is None:
            self._wheel.add(self, self._seconds)

    def end(self) -> bool:
        """Record that the handler has ended. Returns whether it was cancelled, but ended before that took effect.

        The loop then has to return, because the next handler would get the cancellation. `watch` calls it again.
        """
        self._began = math.inf
        return self._expired

    def expire(self) -> None:
        """Cancel the present handler if it is overdue. Called by the wheel."""
        left = self._began + self._seconds - self._now()
        if left <= 0:
            self._expired = True
            self._scope.cancel()
        elif left < math.inf:
            self._wheel.add(self, left)

    async def watch(self, loop: Callable[["Watchdog"], Awaitable[None]]) -> None:
        """Call `loop`, and again if `end` made it return. Raises `HandlerTooSlow` if a handler was cancelled."""
        try:
            while True:
                with trio.CancelScope() as self._scope:
                    await loop(self)
                if self._scope.cancelled_caught:
                    raise self._too_slow()
                if not self._expired:
                    return
                self._expired = False
        finally:
            if self.bucket is not None:
                self.bucket.discard(self)

    def _too_slow(self) -> HandlerTooSlow:
        message, *_ = self._address.current or (None,)
        return HandlerTooSlow(self._address.name, type(content(message)).__name__, self._seconds)
