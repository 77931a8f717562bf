"""The life of a child: the one task that runs instance after instance.

This module is the only place that catches failures of an instance. The supervisor decides about each of them
(`restart.decide`). If only this child has to restart, it restarts itself, in the same task.
"""

import logging
from abc import abstractmethod
from collections.abc import Awaitable
from typing import cast

import trio

from alysd.nurseries.child import Child
from alysd.nurseries.errors import ActorDown, ChildEnded, exit_in, is_fatal, leaves_of, text_of
from alysd.nurseries.states import BEING_STARTED, FAILURES, UP, WANTED, Desired, State
from alysd.nurseries.trace import forget_trace

logger = logging.getLogger("alysd.nurseries")

CHECKPOINT_FAILURES = 16
"""Failures in a row after which the child's task executes a checkpoint, even if every restart was immediate."""


class LivingChild(Child):
    """A child with its task."""

    __slots__ = ()

    async def live(self) -> None:
        """Run instances until the child is stopped, ends, fails for good, or its supervisor takes over."""
        forget_trace()
        self.task = trio.lowlevel.current_task()
        try:
            while not self.stopping or self._unfinished():
                error: Exception | None = None
                try:
                    with trio.CancelScope() as self.scope:
                        if self.stopping:
                            self.scope.deadline = self._stop_by
                        try:
                            await self._start()
                            await self._work()
                        except BaseException as raised:  # cancellation too: every instance gets to clean up
                            await self._end_instance(self._cause(raised))
                            raise
                        else:
                            await self._end_instance(None)
                    error = self._unexpected_end(cancelled=self.scope.cancelled_caught)
                except BaseException as raised:  # the one place where every failure of a child is caught
                    if self._exits(raised):
                        return
                    error = self._failure(raised)
                    if error is None:
                        raise
                self._cancel_last_deadline()
                failed = error is not None
                delay = None if error is None else self._failed(error)
                error = None  # its traceback would keep the failed instance alive
                if (delay is None or (delay > 0 and not await self._back_off(delay))) and not self._follows(
                    failed=failed
                ):
                    return
                self._next_instance()
                if not self.failures % CHECKPOINT_FAILURES:
                    await trio.lowlevel.checkpoint()
        finally:
            self._leave()

    def _exits(self, raised: BaseException) -> bool:
        """Whether the instance raised an exit of the program, which then stops the system in order."""
        leaves = exit_in(raised)
        if leaves is not None:
            self.runtime.on_exit(self.name, leaves)
        return leaves is not None

    def _failure(self, raised: BaseException) -> Exception | None:
        """The failure in `raised` that the supervisor has to handle; `None` if it is only a cancellation.

        A fatal error comes before all others that were raised with it.
        """
        if not isinstance(raised, BaseExceptionGroup):
            return raised if isinstance(raised, Exception) else None
        leaves = [leaf for leaf in leaves_of(cast("BaseException", raised)) if isinstance(leaf, Exception)]
        for leaf in leaves:
            if is_fatal(leaf, self.runtime.fatal):
                return leaf
        return leaves[0] if isinstance(raised, Exception) else None

    def _unfinished(self) -> bool:
        return self.for_good and self.waiting()

    def _follows(self, *, failed: bool) -> bool:
        """Whether an instance follows although the supervisor restarts none, because someone asked for it."""
        if self._restarts_now():
            return True
        return not failed and self._has_time() and self._unfinished()

    def _has_time(self) -> bool:
        return trio.current_time() < self._stop_by

    def may_drain(self) -> bool:
        """Whether another instance may handle the waiting messages after this one failed in a stop for good."""
        return (
            self._unfinished()
            and self._has_time()
            and self._took_messages()
            and self.policy.permits_now(self.failures, self.runtime.rng)
        )

    def _took_messages(self) -> bool:
        """Whether the failed instance had taken a message. If not, the next one would fail in the same way."""
        return True

    def _restarts_now(self) -> bool:
        return self.parent.may_restart(self) and self.again

    def _next_instance(self) -> None:
        """Prepare the next instance: one that runs, or one that only handles waiting messages and then stops."""
        drains = self.for_good and not self._restarts_now()
        if self.stopping:
            self.move(State.STOPPED)
        if not drains:
            self._start_anew()
            return
        self._change_to_start()
        self.move(State.STOPPING)
        self._expect_end()
        self._stop_start()

    def _start_anew(self) -> None:
        if self.for_good:
            self.reopen()
        self.again = self.for_good = False
        self._change_to_start()
        self.parent.child_restarts(self)
        if self.desired in WANTED:
            self.desired = Desired.UP
        else:  # someone has asked for a stop after the restart
            self.begin_stop(for_good=True)

    def _change_to_start(self) -> None:
        self.stuck = False
        if self.state is State.UNINITIALIZED:
            self.move(State.STARTING)
        else:
            self.restarts += 1
            self.move(State.RESTARTING)

    async def _start(self) -> None:
        """Make an instance, and move to RUNNING once it is up."""

    @abstractmethod
    def _work(self) -> Awaitable[None]:
        """Run the instance until it was asked to stop and has stopped."""

    async def _end_instance(self, failure: Exception | None) -> None:
        """Let the ended instance release its resources. `failure` is `None` if it ended as it was asked to."""

    def _stop_start(self) -> None:
        """Cancel a start that has not finished. No message is lost, because the instance has handled none."""
        if self.scope is not None:
            self.scope.cancel()

    def _cause(self, raised: BaseException) -> Exception | None:
        """The failure that ended the instance, or `None` if it was asked to stop or cancelled from above."""
        if (failure := self._failure(raised)) is not None:
            return failure
        return None if self.stopping or exit_in(raised) is not None else self._injected

    def _unexpected_end(self, *, cancelled: bool) -> Exception | None:
        """The failure of an instance that ended without an exception, or `None` if its end was requested."""
        injected = self._injected if cancelled else None
        if injected is not None and (not self.stopping or is_fatal(injected, self.runtime.fatal)):
            self._injected = None
            return injected
        if self.stopping:
            if cancelled and self.scope is not None and trio.current_time() >= self.scope.deadline:
                logger.error("%s did not stop within %g s; it was cancelled", self.name, self.stop_budget())
            return None
        return ChildEnded(self.name)

    def _failed(self, error: Exception) -> float | None:
        """Count the failure and ask the supervisor. Returns the seconds until the restart, or `None`."""
        # Only the text is kept: the traceback of the error would keep the failed instance alive.
        self.last_error = f"{type(error).__name__}: {text_of(error)}"
        self.failed_at = trio.current_time()
        self.lived = self.uptime()
        if self.state in UP and self.policy.proved(self.lived, self.handled()):
            self.failures = 0
        self.failures += 1
        stopping, starting = self.stopping, self.state in BEING_STARTED
        self.move(State.START_FAILED if starting else State.CRASHED, error)
        return self.parent.child_failed(self, error, stopping=stopping)

    def handled(self) -> int:
        """The number of messages that this instance has handled, which the restart policy asks for."""
        return 0

    async def _back_off(self, seconds: float) -> bool:
        """Wait `seconds` before the next instance. Returns false if the child was asked to stop meanwhile."""
        self.enter_backoff(seconds)
        with trio.CancelScope() as self.scope:
            await trio.sleep(seconds)
        return not self.scope.cancel_called

    def _leave(self) -> None:
        """Set the final state at the end of the task: a failed child keeps its state, any other becomes STOPPED.

        This also covers a child that was cancelled from above.
        """
        if self.state not in FAILURES:
            if self.state in UP or self.state in BEING_STARTED:
                self.move(State.STOPPING)
            if self.state is not State.STOPPED:
                self.move(State.STOPPED)
        self.scope = self.task = None
        self._cancel_last_deadline()
        self.end_start(ActorDown(self.name, "stopped while it started"))
        self.parent.child_left(self)
