"""Calls that take less than a millisecond, and are executed without a thread.

The change to a thread and back takes as long as a short call. Nothing about a call says how long it takes, but
clients repeat the same few calls. So a call that was quick in a thread is executed in the event loop when it comes
again. It has a millisecond of processor time there. If it takes longer, for example because of other arguments, or
fails with an error whose words have to be searched, it begins again in a thread, and calls of its kind do so until
one was quick once more.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from alysd.embedded.engine.calls import CallTimeout
from alysd.types.hashes import EvmAddress

T = TypeVar("T")

LOOP_SECONDS = 0.001
"""The processor time that a call has in the event loop."""

QUICK_SECONDS = LOOP_SECONDS / 2
"""The most processor time, in seconds, of a call that counts as quick."""

_REMEMBERED = 1_024
"""The number of quick calls that are remembered, some 200 kB. At this number all are forgotten."""


@attrs.frozen
class CallKind:
    """The calls of one function: a contract, and the first four bytes of the data."""

    to: EvmAddress
    selector: bytes


class QuickCalls:
    """The kinds of calls that were quick when they were last executed."""

    def __init__(self) -> None:
        self._quick: set[CallKind] = set()

    async def run(
        self,
        kind: CallKind | None,
        call: Callable[[float], T],
        seconds: float,
        execute: Callable[[Callable[[], tuple[T, float]]], Awaitable[tuple[T, float]]],
    ) -> T:
        """Execute `call` here if its kind was quick, and otherwise in a worker thread, with `execute`.

        `call` gets the time that it may take; in a thread, this is `seconds`. A call without a kind is never
        executed here. Raises the errors of `call`, among them `CallTimeout`.
        """
        if kind in self._quick:
            try:
                return call(LOOP_SECONDS)
            except CallTimeout:
                self._quick.discard(kind)

        def timed() -> tuple[T, float]:
            begun = time.thread_time()
            return call(seconds), time.thread_time() - begun

        result, taken = await execute(timed)
        if kind is not None and taken < QUICK_SECONDS:
            if len(self._quick) >= _REMEMBERED:
                self._quick.clear()
            self._quick.add(kind)
        return result
