"""Children that are started at run time: one per operation, thousands under one supervisor.

    tree = supervisor("Root", OneForOne(), [dynamic_supervisor("Withdrawals", max_children=5000), ...])

    withdrawal = await system.start_child("Withdrawals", task("withdrawal-7", run, may_end=True))
    receipt = await withdrawal.result()

`System.start_child` works with every supervisor. `dynamic_supervisor` makes one whose children are all started at
run time, each of which restarts alone, and which refuses more than `max_children` (`TooManyChildren`).

The rules, which tests verify:

1. `start_child` returns when the child is up. If the first start fails, is stopped, or takes longer than
   `seconds`, the child leaves the tree and `start_child` raises `StartFailed`. Such a start is not repeated, and
   does not count in the intensity of the supervisor. If the call is cancelled, the start goes on.
2. A child that was started at run time leaves the tree when it ends for good: it returns, it fails and its policy
   restarts it no more, or it is removed. `stop_child` keeps it, stopped, as it keeps any other child.
3. The terms of OTP: `task(...)` is permanent, because its return is a failure. `task(..., may_end=True)` is
   transient: it restarts only after a failure. With `restart=Never()` in addition it is temporary.
4. `Operation.result` returns the value that the task returned. If the task ends for good without one, it raises
   the reason. Restarts in between do not end it. Any number of tasks can await it, at any time, or none.
5. A crash restarts no other child, with one exception: a supervisor gives up after more restarts than its
   intensity allows, and stops all children. By default a `dynamic_supervisor` allows as many restarts in ten
   seconds as it may have children. A child that crashes repeatedly reaches this number only if its own policy
   restarts it without waits; temporary children never do.
6. When a supervisor has given up and is restarted, it starts its children again, those of run time too. (In OTP,
   they are lost.)
7. Starting a child and removing it take constant time, however many children there are.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

import trio

from alysd.nurseries.errors import ActorDown, OperationFailed
from alysd.nurseries.restart import Intensity, OneForOne, RestartPolicy
from alysd.nurseries.spec import Priority, Sibling, SupervisorSpec, supervisor

T = TypeVar("T")

START_SECONDS = 5.0
"""The default of the seconds that `System.start_child` waits until the child is up."""

MAX_CHILDREN = 10_000
"""The default of `max_children`. An idle task takes about 5 KB."""


class Operation(Generic[T]):
    """A task that was started at run time."""

    __slots__ = ("_ended", "_error", "_reason", "_value", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._ended = trio.Event()
        self._value: object = None
        # Why there is no value, once the task has ended for good without one.
        self._reason: str | None = None
        self._error: Exception | None = None

    async def result(self) -> T:
        """Wait until the task has ended for good, and return its value.

        Raises `OperationFailed` when it failed and is not restarted, and `ActorDown` when it was stopped, or its
        system ended.
        """
        await self._ended.wait()
        if self._error is not None:
            raise OperationFailed(self.name, self._error) from self._error
        if self._reason is not None:
            raise ActorDown(self.name, self._reason)
        return cast("T", self._value)

    # Called by the child

    def returned(self, value: object) -> None:
        """Record the value that the task returned."""
        self._value = value
        self._ended.set()

    def closed(self, error: Exception | None, reason: str) -> None:
        """Record that the task failed or was stopped without a value. No effect if it has returned one."""
        if not self._ended.is_set():
            self._error, self._reason = error, reason
            self._ended.set()


def dynamic_supervisor(
    name: str,
    *,
    max_children: int = MAX_CHILDREN,
    intensity: Intensity | None = None,
    restart: RestartPolicy | None = None,
    priority: Priority = Priority.NORMAL,
    stop_seconds: float | None = None,
    depends_on: Sequence[Sibling] = (),
    linked_to: Sequence[Sibling] = (),
    tags: Sequence[str] = (),
) -> SupervisorSpec:
    """A supervisor whose children are all started at run time, by `System.start_child`.

    It has at most `max_children` at once. By default its intensity is `max_children` restarts in ten seconds.
    """
    return supervisor(
        name,
        OneForOne(),
        (),
        max_children=max_children,
        intensity=intensity or Intensity(restarts=max_children, seconds=10.0),
        restart=restart,
        priority=priority,
        stop_seconds=stop_seconds,
        depends_on=depends_on,
        linked_to=linked_to,
        tags=tags,
    )


class FirstStart:
    """The first start of a child at run time, for which an operator waits."""

    __slots__ = ("_over", "error", "up")

    def __init__(self) -> None:
        self._over = trio.Event()
        self.up = False
        self.error: Exception | None = None

    def end(self, error: Exception | None) -> None:
        """Record that the child came up, or why it did not."""
        self.up, self.error = error is None, error
        self._over.set()

    async def wait(self) -> None:
        """Wait for the end of the start."""
        await self._over.wait()
