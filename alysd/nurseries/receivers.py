"""The receiving side of a mailbox: the task of an instance that waits, and the urgent entries for that instance.

The receiving side of an actor is the mailbox itself. The workers of a pool share a mailbox, so each has a
`WorkerReceiver`.
"""

from collections import deque

from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from alysd.nurseries.asks import Waiter
from alysd.nurseries.errors import ActorDown
from alysd.nurseries.inbox import Entry, Inbox, fail_urgent
from alysd.nurseries.wakeups import WOKEN


class WorkerReceiver:
    """The receiving side of one worker: it waits at the mailbox of the pool, and has urgent entries of its own."""

    __slots__ = ("_apart", "_inbox", "_task", "name", "urgent", "waits_for")

    def __init__(self, name: str, inbox: Inbox) -> None:
        self.name = name
        self.urgent: deque[Entry] | None = None
        self.waits_for: list[Waiter] | None = None
        self._inbox = inbox
        # The task that has waited at the mailbox last; it may have been woken since.
        self._task: Task | None = None
        # The task that waits for an urgent entry only, because the worker is suspended.
        self._apart: Task | None = None

    @property
    def waits_for_any(self) -> bool:
        """Return false: a handler continues only when all its asks have ended."""
        return False

    @property
    def waiter(self) -> Task | None:
        """The task of an idle worker. The loop of the worker sets it before it waits for a message."""
        return self._task

    @waiter.setter
    def waiter(self, task: Task | None) -> None:
        if task is not None:
            self._inbox.add_receiver(task)
        elif self._task is not None:
            self._inbox.remove_receiver(self._task)
        self._task = task

    def send_urgent(self, value: Entry) -> None:
        """Send an urgent entry to this worker, and wake it if it waits."""
        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(value)
        task, self._apart = self._apart, None
        if task is None and self._task is not None and self._inbox.remove_receiver(self._task):
            task = self._task
        if task is not None:
            reschedule(task, WOKEN)

    def clear_urgent(self, reason: str) -> None:
        """Drop the urgent entries, which were meant for the instance that has ended."""
        urgent, self.urgent = self.urgent, None
        fail_urgent(urgent or (), ActorDown(self.name, reason))

    async def wait(self) -> None:
        """Wait for an urgent entry, and leave the messages to the other workers."""
        self._inbox.wake_for_waiting()
        self._apart = current_task()
        await wait_task_rescheduled(self.abort_wait)

    def abort_wait(self, _: RaiseCancelT) -> Abort:
        """Record that the worker no longer waits, because it was cancelled."""
        self.waiter = self._apart = None
        return Abort.SUCCEEDED


Receiver = Inbox | WorkerReceiver
"""The receiving side of an actor's own mailbox, or that of a worker."""
