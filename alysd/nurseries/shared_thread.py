"""A worker thread that executes the short functions of many tasks together.

The change to a thread and back takes longer than such a function, and several threads that compute wait for the
interpreter's lock more than they work. So one thread executes the functions one after the other, and those that
arrive while it is busy wait for its next turn, in which it executes all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import trio

R = TypeVar("R")


@attrs.define(eq=False)
class _Call:
    """The function of one task. `woken` is set once it is executed, or when its task shall begin the next turn.

    `left` is set when the task waits no longer: then nothing can be handed on to it.
    """

    function: Callable[[], Any]
    woken: trio.Event = attrs.Factory(trio.Event)
    executed: bool = False
    left: bool = False
    result: Any = None
    error: Exception | None = None

    def execute(self) -> None:
        try:
            self.result = self.function()
        except Exception as error:  # belongs to the task that waits for the result
            self.error = error
        self.executed = True


class SharedThread:
    """Executes the functions of the tasks of one event loop, in the order in which they arrive.

    A turn executes at most `most` functions.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limiter = trio.CapacityLimiter(1)  # its own, so that no other work keeps the thread waiting
        self._waiting: list[_Call] = []
        self._busy = False

    async def run(self, function: Callable[[], R]) -> R:
        """Execute `function` in the thread. Return its result, or raise its error.

        If the task is cancelled before its function begins, the function is not executed. If it is cancelled
        later, the function is executed to its end; the task waits for that only if it began the turn.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        call = _Call(function)
        self._waiting.append(call)
        if self._busy:
            try:
                await call.woken.wait()
            except trio.Cancelled:
                self._leave(call)
                raise
        if not call.executed:
            await self._take_turn()
        if call.error is not None:
            raise call.error
        return call.result

    async def _take_turn(self) -> None:
        """Execute the functions that wait, of which the first is this task's own."""
        self._busy = True
        turn = self._waiting[: self._most]
        del self._waiting[: self._most]
        try:
            await trio.to_thread.run_sync(_execute_all, turn, limiter=self._limiter)
        finally:
            # They have not been executed if this task was cancelled in the moment in which it was woken.
            self._waiting[:0] = [call for call in turn[1:] if not call.executed and not call.left]
            for call in turn:
                if call.executed:
                    call.woken.set()
            self._hand_on()

    def _leave(self, call: _Call) -> None:
        """Forget the function of a task that is cancelled while it waits; another task may have it in its turn."""
        call.left = True
        if call in self._waiting:
            self._waiting.remove(call)
        if call.woken.is_set() and not call.executed:
            self._hand_on()  # the turn was handed to this task after its cancellation, before it ran

    def _hand_on(self) -> None:
        """Let the task that has waited longest begin the next turn."""
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].woken.set()


def _execute_all(calls: Sequence[_Call]) -> None:
    for call in calls:
        if not call.left:
            call.execute()
