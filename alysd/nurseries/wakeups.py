"""Waking a task that waits in `wait_task_rescheduled`.

`reschedule(task)` makes an `outcome.Value(None)` for each wake-up, which takes a tenth of the time of an ask, and
can be used only once. `reschedule(task, WOKEN)` does the same with a value that can be used again and again.
"""

from typing import Any


class _Woken:
    """An outcome with which `wait_task_rescheduled` returns `None`. Trio only calls its `unwrap`."""

    __slots__ = ()

    def unwrap(self) -> None:
        """Return `None`."""


WOKEN: Any = _Woken()
"""The second argument of `reschedule`. Its type is `Any` because trio declares the class of `outcome`."""
