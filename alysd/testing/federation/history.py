"""A readable history of a simulated federation: one line per event, with time and slot."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256

import attrs
import trio

from alysd.messages.log.base import LogEvent
from alysd.testing.federation.machine import machine_name


@attrs.frozen
class Line:
    """An event at `time`, in seconds since the simulation began. `who` is a member, or empty."""

    time: float
    slot: int
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.time:9.3f} s  slot {self.slot:4d}  {self.who:9s}  {self.text}"


@attrs.define(eq=False)
class History:
    """The events of a simulation, oldest first. Slots are counted from `first_slot`, the slot at time 0."""

    slot_seconds: int
    lines: list[Line] = attrs.field(factory=list[Line])

    def note(self, who: str, text: str) -> None:
        """Add an event that happens now."""
        now = trio.current_time()
        self.lines.append(Line(now, int(now // self.slot_seconds), who, text))

    def shown(self, last: int | None = None) -> str:
        """The whole history, or its `last` lines, as text."""
        lines = self.lines if last is None else self.lines[-last:]
        return "\n".join(map(str, lines))

    @property
    def digest(self) -> str:
        """A hash of the history. Two runs with the same digest went the same way."""
        return sha256(self.shown().encode()).hexdigest()

    @contextmanager
    def keeping_warnings(self) -> Generator[None]:
        """While the `with` block runs, add the warnings and errors that the nodes log."""
        logger, keeper = logging.getLogger("alysd"), _Keeper(self)
        logger.addHandler(keeper)
        try:
            yield
        finally:
            logger.removeHandler(keeper)


class _Keeper(logging.Handler):
    def __init__(self, history: History) -> None:
        super().__init__(logging.WARNING)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line for a record."""
        event: object = record.msg
        text = " ".join(event.text()[1]) if isinstance(event, LogEvent) else record.getMessage()
        self._history.note(machine_name(), f"log: {text}")
