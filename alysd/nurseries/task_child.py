"""The child that is a plain async function."""

from typing import Any

from alysd.nurseries.asks import Pending, handling
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import Parent, Runtime
from alysd.nurseries.dynamic import Operation
from alysd.nurseries.errors import ChildEnded
from alysd.nurseries.life import LivingChild
from alysd.nurseries.spec import TaskSpec
from alysd.nurseries.states import UP, Desired, State


class TaskChild(LivingChild):
    """A child without a mailbox. It counts as started when the function is called."""

    __slots__ = ("_error", "_may_end", "_run", "operation")

    def __init__(self, spec: TaskSpec[Any], parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        super().__init__(spec, parent, runtime, planned=planned)
        self._run = spec.run
        self._may_end = spec.may_end
        # The result for the operator that started the task at run time; None for a task of the spec.
        self.operation: Operation[Any] | None = None
        self._error: Exception | None = None

    async def _start(self) -> None:
        handling.set(None)  # a handler that added this task does not wait for the task
        self.move(State.RUNNING)

    async def _work(self) -> None:
        value = await self._run()
        if self.operation is not None and self._may_end:
            self.operation.returned(value)

    def _failed(self, error: Exception) -> float | None:
        """Keep `error` until the supervisor has decided.

        If the supervisor does not restart the child, `error` becomes the result of the operation.
        """
        self._error = error if self.operation is not None else None
        delay = super()._failed(error)
        self._error = None
        return delay

    def close(self, reason: str) -> None:
        """Release the task's resources. If it has not returned, its operation ends without a value."""
        super().close(reason)
        if self.operation is not None:
            self.operation.closed(self._error if self.state is State.FAILED else None, reason)

    def _unexpected_end(self, *, cancelled: bool) -> Exception | None:
        error = super()._unexpected_end(cancelled=cancelled)
        if isinstance(error, ChildEnded) and self._may_end:
            self.desired = Desired.DOWN if self.planned else Desired.GONE
            return None
        return error

    def _stop_instance(self) -> None:
        self._stop_start()  # a task has no messages to handle first

    def ask_health(self, check: Pending) -> None:
        """Reply at once that a running task is healthy: a task has no loop that could answer."""
        if self.state in UP:
            check.reply(Health.HEALTHY)
