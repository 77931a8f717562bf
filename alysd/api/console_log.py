"""The log of this process on its output: text for a person at a terminal, JSON lines for a program.

A line of text is cut after `alysd.wire.plain_text.LONGEST_LINE` characters. The JSON form is complete.
"""

import json
import logging
import os
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self, TextIO

import attrs

from alysd.api.queued_output import QueuedOutput
from alysd.config.model import LoggingConfig
from alysd.errors import user_error_in
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import LibraryLine, LinesLost
from alysd.wire.plain_text import plain

_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
"""Pairs of a log level and the syslog(3) priority of lines from that level upwards. Priority 7 is debug."""


@attrs.frozen
class LineForm:
    """The form of the log's lines: text, in colour if `colour`, or JSON. `now` gives Unix seconds.

    With `severity`, each line begins with `<N>`, which journald removes and stores as the priority (sd-daemon(3)).
    """

    text: bool
    colour: bool = False
    severity: bool = False
    now: Callable[[], float] = time.time

    @classmethod
    def chosen(
        cls,
        config: LoggingConfig,
        stream: TextIO,
        environment: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> Self:
        """The form for `stream`: `config.format`, and what a terminal or the journal can show."""
        terminal = stream.isatty()
        text = config.format == "text" or (config.format == "auto" and terminal)
        colour = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(text, colour, _is_journal(stream, environment), now)

    def line(self, event: LogEvent, level: int) -> str:
        """Return the form of `event`, which may have several lines of text, without the last end of line."""
        line = self._text_form(event, level) if self.text else self._json_form(event, level)
        if not self.severity:
            return line
        priority = next(priority for lowest, priority in _PRIORITIES if level >= lowest)
        return "\n".join(f"<{priority}>{part}" for part in line.split("\n"))

    def _json_form(self, event: LogEvent, level: int) -> str:
        """One object: the time in UTC, the level, the event's name, its fields."""
        when = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        first = {"time": when, "level": logging.getLevelName(level).lower(), "event": event.name}
        return json.dumps(first | event.fields())

    def _text_form(self, event: LogEvent, level: int) -> str:
        """A line with the local time and the subject, in columns."""
        subject, (first, *more) = event.text()
        if subject:
            when = f"{datetime.fromtimestamp(self.now()).astimezone():%H:%M:%S}"
            subject = f"{plain(subject):<10}  "
            if self.colour:
                when = f"\x1b[2m{when}\x1b[0m"
                if mark := _COLOURS.get(level):
                    subject = f"{mark}{subject}\x1b[0m"
            subject = f"{when}  {subject}"
        return "\n".join([subject + plain(first), *map(plain, more)])


class ConsoleLog(logging.Handler):
    """Formats each record of the log as a line of `form`, and calls `offer` with it."""

    def __init__(self, offer: Callable[[str], None], form: LineForm) -> None:
        super().__init__()
        self._offer = offer
        self._form = form

    @classmethod
    def set_up(cls, config: LoggingConfig, offer: Callable[[str], None], form: LineForm) -> Self:
        """Send every log line of this process to `offer`, those of libraries from warnings up."""
        handler = cls(offer, form)
        root, own = logging.getLogger(), logging.getLogger("alysd")
        root.handlers = [handler]
        root.setLevel(logging.WARNING)
        own.setLevel(config.level.upper())
        # What the actor runtime logs about an orderly start and stop, the node logs better.
        logging.getLogger("alysd.nurseries").setLevel(max(logging.WARNING, own.level))
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record to the output, without waiting for the output's reader."""
        event = _event_of(record)
        if event is not None:
            self._offer(self._form.line(event, record.levelno))


@contextmanager
def console_log(config: LoggingConfig, stream: TextIO) -> Generator[QueuedOutput]:
    """Log to the file of `stream` while the block runs.

    Then wait, for a bounded time, until all lines are written.
    """
    stream.flush()
    form = LineForm.chosen(config, stream)
    output = QueuedOutput(
        stream.fileno(), stream.encoding, lambda lost: form.line(LinesLost(lost), LinesLost.level)
    )
    ConsoleLog.set_up(config, output.offer, form)
    try:
        yield output
    finally:
        output.close()


def _event_of(record: logging.LogRecord) -> LogEvent | None:
    """The event that a record carries; any other record is a library's line.

    None for a failure whose cause is a `UserError`: the command prints that once, when all has stopped.
    """
    if isinstance(record.msg, LogEvent):
        return record.msg
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return LibraryLine(record.name, record.getMessage(), None)
    if user_error_in(error):
        return None
    return LibraryLine(record.name, record.getMessage(), "".join(traceback.format_exception(error)).rstrip())


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether `stream` goes to the journal: JOURNAL_STREAM names the device and inode of its socket."""
    device, colon, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except OSError:
        return False
    return bool(colon) and (device, inode) == (str(found.st_dev), str(found.st_ino))
