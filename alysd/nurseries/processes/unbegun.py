"""Messages that a process ended without beginning them.

The next process handles them. Whether a message was begun is the claim of the process, though. Code that has taken
over the process could claim that it has not begun the message that ends it, and would get the message for ever.
"""

from alysd.nurseries.inbox import Entry

MOST_ENDS = 3
"""The number of processes that may end, each without beginning the same message, which was the next one for it. A
process that is killed from outside in the microseconds before it begins a message is rare; three are none."""


class Unbegun:
    """Counts the processes of one child that ended in a row without beginning the same message."""

    def __init__(self) -> None:
        self._next: Entry | None = None
        self._ends = 0

    def suspicious(self, entry: Entry) -> bool:
        """Count the end of a process whose next message was `entry`. Returns whether it is one too many."""
        if entry is not self._next:
            self._next, self._ends = entry, 0
        self._ends += 1
        if self._ends < MOST_ENDS:
            return False
        self._next = None
        return True
