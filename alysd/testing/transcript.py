"""The transcript of a test: every message to a recorded address, and every change of a child's state.

    transcript.expect(Withdraw(5), GetBalance, ("till", State.CRASHED))

checks that these entries came in this order; others may be between them. The error shows the entries.
"""

from collections import deque
from collections.abc import Container

import attrs
import trio

from alysd.nurseries import Change, State

KEPT = 10_000
"""The number of entries kept, the newest ones. The bound limits the memory of a long test."""

SHOWN = 40
"""The number of entries in an error's text, which fit on a screen."""

OUTSIDE = "test"
"""The name of a sender that is not a child of the system, such as the test itself."""


@attrs.frozen
class Sent:
    """`sender` sent `message` to the address `to`, `at` seconds on trio's clock."""

    at: float
    sender: str
    to: str
    message: object

    def __str__(self) -> str:
        return f"{self.sender} -> {self.to}: {self.message!r}"


@attrs.frozen
class Returned:
    """The outcome of a message for its sender: an answer, or the `error` that was raised."""

    at: float
    to: str
    message: object
    answer: object
    error: BaseException | None

    def __str__(self) -> str:
        what = repr(self.answer) if self.error is None else f"raised {self.error!r}"
        return f"{self.to} on {type(self.message).__name__}: {what}"


Entry = Sent | Returned | Change

Wanted = object | type[object] | tuple[str, State]
"""An expected entry: a message, a type of messages, or the name of a child with the state that it enters."""


def current_sender(children: Container[str]) -> str:
    """The name of the child whose task, or a descendant of it, runs this code; `OUTSIDE` if there is none.

    The runtime gives the task of a child the child's name.
    """
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None:
        if task.name in children:
            return task.name
        nursery = task.parent_nursery
        task = nursery.parent_task if nursery is not None else None
    return OUTSIDE


class Transcript:
    """The entries of one test in order. `watch` is an observer for `open_system`."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.children: set[str] = set()

    def watch(self, change: Change) -> None:
        """Record a change of state."""
        self.children.add(change.name)
        self.entries.append(change)

    def note_sent(self, to: str, message: object) -> None:
        """Record that the current task sends a message."""
        self.entries.append(Sent(trio.current_time(), current_sender(self.children), to, message))

    def note_returned(self, to: str, message: object, answer: object, error: BaseException | None) -> None:
        """Record the outcome of a message."""
        self.entries.append(Returned(trio.current_time(), to, message, answer, error))

    def sent(self, to: str | None = None, *, sender: str | None = None) -> list[object]:
        """The messages sent; optionally only those to the address `to`, or from `sender`."""
        return [
            entry.message
            for entry in self.entries
            if isinstance(entry, Sent) and to in (None, entry.to) and sender in (None, entry.sender)
        ]

    def errors(self, to: str | None = None) -> list[BaseException]:
        """The errors that senders got; optionally only those from the address `to`."""
        returned = (entry for entry in self.entries if isinstance(entry, Returned) and to in (None, entry.to))
        return [entry.error for entry in returned if entry.error is not None]

    def states(self, name: str) -> list[State]:
        """The states that the child `name` entered, in order."""
        return [entry.new for entry in self.entries if isinstance(entry, Change) and entry.name == name]

    def expect(self, *wanted: Wanted) -> None:
        """Raise `AssertionError`, with the transcript, unless these entries came in this order.

        Other entries may be between them.
        """
        entries = iter(self.entries)
        for number, want in enumerate(wanted):
            if not any(_matches(entry, want) for entry in entries):
                after = f" after {wanted[number - 1]!r}" if number else ""
                raise AssertionError(f"{want!r} did not come{after}\n{self.render()}")

    def render(self, last: int = SHOWN) -> str:
        """The newest entries as text, one per line."""
        entries = list(self.entries)[-last:]
        left_out = len(self.entries) - len(entries)
        head = [f"  ({left_out} earlier entries left out)"] if left_out else []
        return "\n".join([*head, *(f"  {entry.at:9.3f} s  {_text(entry)}" for entry in entries)])


def _text(entry: Entry) -> str:
    if isinstance(entry, Change):
        error = "" if entry.error is None else f" ({entry.error!r})"
        return f"{entry.name}: {entry.old.value} -> {entry.new.value}{error}"
    return str(entry)


def _matches(entry: Entry, want: Wanted) -> bool:
    match entry:
        case Sent(message=message):
            return isinstance(message, want) if isinstance(want, type) else bool(message == want)
        case Change(name=name, new=new):
            return (name, new) == want
        case Returned():
            return False
