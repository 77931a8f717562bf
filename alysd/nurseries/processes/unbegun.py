"""Messages that were sent to a process and that it had not begun when it ended. The next process handles them.

The process itself reports which messages it has begun. Code that has taken over the process can crash in a message
and report it as not begun; without a bound, every next process would get this message again.
"""

from alysd.nurseries.inbox import Entry

MOST_ENDS = 3
"""The number of processes in a row that end before they begin the same message, until it counts as the cause.

A kill from outside in the microseconds before a message begins is rare; three in a row are no accident.
"""


class Unbegun:
    """Counts the processes of one child that ended in a row without beginning the same message."""

    def __init__(self) -> None:
        self._next: Entry | None = None
        self._ends = 0

    def suspicious(self, entry: Entry) -> bool:
        """Count the end of a process whose next message was `entry`. Returns whether that is `MOST_ENDS`."""
        if entry is not self._next:
            self._next, self._ends = entry, 0
        self._ends += 1
        if self._ends < MOST_ENDS:
            return False
        self._next = None
        return True
