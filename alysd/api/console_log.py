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
from alysd.config.operation_sections import LoggingConfig
from alysd.errors import user_error_in
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import LibraryLine, LinesLost
from alysd.wire.plain_text import plain

_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
"""Pairs of a log level and the syslog(3) priority of lines from that level upwards. Priority 7 is debug."""


@attrs.frozen
class LineForm:
    """The form of the log's lines. With `text` it is text, in colour if `colour`; otherwise JSON.

    With `severity`, each line begins with `<N>`, which journald removes and stores as the priority (sd-daemon(3)).
    `now` returns the time in Unix seconds.
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
        """Return the form for `stream`, according to `config.format` and the kind of the stream.

        Only a terminal gets colour, and only the journal gets `severity`.
        """
        terminal = stream.isatty()
        text = config.format == "text" or (config.format == "auto" and terminal)
        colour = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(text, colour, _is_journal(stream, environment), now)

    def line(self, event: LogEvent, level: int) -> str:
        """Format `event`. The result has no final end of line. In text form it may have several lines."""
        line = self._text_form(event, level) if self.text else self._json_form(event, level)
        if not self.severity:
            return line
        priority = next(priority for lowest, priority in _PRIORITIES if level >= lowest)
        return "\n".join(f"<{priority}>{part}" for part in line.split("\n"))

    def _json_form(self, event: LogEvent, level: int) -> str:
        """Format an event as a JSON object: the time in UTC, the level, the event's name, its fields."""
        when = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        first = {"time": when, "level": logging.getLevelName(level).lower(), "event": event.name}
        return json.dumps(first | event.fields())

    def _text_form(self, event: LogEvent, level: int) -> str:
        """Format an event as text. The first line begins with the local time and the subject, in columns."""
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
    """Formats each record of the log in `form`, and calls `offer` with the result."""

    def __init__(self, offer: Callable[[str], None], form: LineForm) -> None:
        super().__init__()
        self._offer = offer
        self._form = form

    @classmethod
    def set_up(cls, config: LoggingConfig, offer: Callable[[str], None], form: LineForm) -> Self:
        """Send the log of this process to `offer`: lines of libraries only if they are warnings or worse."""
        handler = cls(offer, form)
        root = logging.getLogger()
        root.handlers = [handler]
        root.setLevel(logging.WARNING)
        handler.use(config, form)
        return handler

    def use(self, config: LoggingConfig, form: LineForm) -> None:
        """Write lines from the level of `config` upwards, in `form`, from now on."""
        self._form = form
        own = logging.getLogger("alysd")
        own.setLevel(config.level.upper())
        # What the actor runtime logs about an orderly start and stop, the node logs better.
        logging.getLogger("alysd.nurseries").setLevel(max(logging.WARNING, own.level))

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record to the output, without waiting for the output's reader."""
        event = _event_of(record)
        if event is not None:
            self._offer(self._form.line(event, record.levelno))


class ProcessLog:
    """The log of this process on `stream`. Its options can change (`use`).

    If `screen` is a terminal, it has a status line. `output` is the queue of lines.
    """

    def __init__(self, config: LoggingConfig, stream: TextIO, screen: TextIO | None = None) -> None:
        stream.flush()
        self._stream = stream
        self._form = LineForm.chosen(config, stream)
        self.output = QueuedOutput(
            stream.fileno(),
            stream.encoding,
            lambda lost: self._form.line(LinesLost(lost), LinesLost.level),
            None if screen is None or not _is_screen(screen) else screen.fileno(),
        )
        self._handler = ConsoleLog.set_up(config, self.output.offer, self._form)

    def use(self, config: LoggingConfig) -> None:
        """Use the level and the format of `config` from the next line on."""
        self._form = LineForm.chosen(config, self._stream)
        self._handler.use(config, self._form)


@contextmanager
def console_log(config: LoggingConfig, stream: TextIO, screen: TextIO | None = None) -> Generator[ProcessLog]:
    """Log to the file of `stream` while the `with` block runs.

    After the `with` block, wait for a bounded time until all lines are written.
    """
    log = ProcessLog(config, stream, screen)
    try:
        yield log
    finally:
        log.output.close()


def _is_screen(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    return stream.isatty() and environment.get("TERM") != "dumb"


def _event_of(record: logging.LogRecord) -> LogEvent | None:
    """Return the event that a record carries, or a `LibraryLine` for a record of a library.

    Returns None for a failure whose cause is a `UserError`. The command prints this error once, after the node has
    stopped.
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
    """Whether `stream` goes to the journal. JOURNAL_STREAM names the device and inode of the journal's socket."""
    device, colon, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except OSError:
        return False
    return bool(colon) and (device, inode) == (str(found.st_dev), str(found.st_ino))
