"""The log of this process on its output: text for a person at a terminal, JSON lines for a program."""

import json
import logging
import os
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self, TextIO

from alysd.config.model import LoggingConfig
from alysd.errors import user_error_in
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import LibraryLine

LONGEST_LINE = 300
"""Characters of one line of text; the JSON form has the whole."""

_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}


class ConsoleLog(logging.Handler):
    """Writes each log event to `stream`: as text, in colour if `colour`, or as JSON. `now` gives Unix seconds."""

    def __init__(self, stream: TextIO, *, text: bool, colour: bool, now: Callable[[], float]) -> None:
        super().__init__()
        self._stream = stream
        self._text = text
        self._colour = colour
        self._now = now

    @classmethod
    def set_up(cls, config: LoggingConfig, stream: TextIO, *, now: Callable[[], float] = time.time) -> Self:
        """Send every log line of this process to `stream`, those of libraries from warnings up."""
        terminal = stream.isatty()
        text = config.format == "text" or (config.format == "auto" and terminal)
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        handler = cls(stream, text=text, colour=colour, now=now)
        root, own = logging.getLogger(), logging.getLogger("alysd")
        root.handlers = [handler]
        root.setLevel(logging.WARNING)
        own.setLevel(config.level.upper())
        # What the actor runtime logs about an orderly start and stop, the node logs better.
        logging.getLogger("alysd.nurseries").setLevel(max(logging.WARNING, own.level))
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. A reader that has gone, or a full disk, loses the line and does not end the node."""
        event = _event_of(record)
        if event is None or self._stream.closed:
            return
        line = self._text_form(event, record.levelname) if self._text else self._json_form(event, record.levelname)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            return

    def _json_form(self, event: LogEvent, level: str) -> str:
        """One object: the time in UTC, the level, the event's name, its fields."""
        when = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": when, "level": level.lower(), "event": event.name} | event.fields())

    def _text_form(self, event: LogEvent, level: str) -> str:
        """A line with the local time and the subject, in columns."""
        subject, (first, *more) = event.text()
        if subject:
            when = f"{datetime.fromtimestamp(self._now()).astimezone():%H:%M:%S}"
            subject = f"{plain(subject):<10}  "
            if self._colour:
                when = f"\x1b[2m{when}\x1b[0m"
                if mark := _COLOURS.get(level):
                    subject = f"{mark}{subject}\x1b[0m"
            subject = f"{when}  {subject}"
        return "\n".join([subject + plain(first), *map(plain, more)])


def plain(text: str) -> str:
    """`text` as it may go to a terminal: control characters escaped, cut to `LONGEST_LINE`."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"


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
