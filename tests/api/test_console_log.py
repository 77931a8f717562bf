"""The log of a process: text or JSON, its level, and what libraries write."""

import io
import json
import logging
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.api.console_log import ConsoleLog, LineForm, console_log
from alysd.config.operation_sections import LoggingConfig
from alysd.errors import AddressInUse
from alysd.messages.log.base import LogEvent, log
from alysd.messages.log.chain import BlockMade, ChainHalted, NoProofYet, SlotsMissed
from alysd.messages.log.process import LibraryLine, NodeFailed, NodeReady
from alysd.types.hashes import BlockHash
from alysd.types.units import Height, Slot
from alysd.wire.plain_text import LONGEST_LINE, plain

NOW = 1_795_180_802.25
LOCAL = f"{datetime.fromtimestamp(NOW).astimezone():%H:%M:%S}"
BLOCK = BlockMade(Height(7), 2, 3, BlockHash(bytes(range(32))))
MISSED = SlotsMissed(Slot(88), 1, "no answer")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal_with_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def set_up(stream: io.StringIO, **options: Any) -> None:
    """Log to this stream, without the thread that writes to a file."""
    config = LoggingConfig(**options)
    form = LineForm.chosen(config, stream, now=lambda: NOW)
    ConsoleLog.set_up(config, lambda line: print(line, file=stream), form)


def written(event: LogEvent, stream: io.StringIO, **options: Any) -> str:
    """The text that the log writes to this stream for an event."""
    set_up(stream, **options)
    log(event)
    return stream.getvalue()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The JSON objects that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_program_gets_one_object_per_line() -> None:
    line = written(BLOCK, io.StringIO())
    assert line.count("\n") == 1
    assert list(json.loads(line).items()) == [
        ("time", "2026-11-20T13:20:02.250+00:00"),
        ("level", "info"),
        ("event", "block"),
        ("height", 7),
        ("transactions", 2),
        ("ms", 3),
        ("hash", bytes(range(32))[::-1].hex()),
    ]


def test_a_person_at_a_terminal_gets_text_with_the_local_time() -> None:
    assert written(BLOCK, Terminal()) == f"\x1b[2m{LOCAL}\x1b[0m  block 7     2 tx    3 ms    1f1e1d…\n"


def test_an_event_without_subject_has_no_time() -> None:
    assert written(NodeReady(0.91, 1.13), Terminal()) == "ready in 0.9 s, first slot in 1.1 s\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_left_out_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Escape sequences on a screen that shows them as letters."""
    monkeypatch.setenv(name, value)
    assert written(MISSED, Terminal()) == f"{LOCAL}  slot missed  88: no answer\n"


@pytest.mark.parametrize(
    ("event", "mark"),
    [
        (BLOCK, "block 7"),
        (MISSED, "\x1b[33mslot missed"),
        (ChainHalted(21), "\x1b[31mhalted"),
        (NodeFailed("x"), "\x1b[31mfailed"),
    ],
)
def test_colour_marks_what_needs_a_look(event: LogEvent, mark: str) -> None:
    """A missed slot would look like a block."""
    assert written(event, Terminal()).startswith(f"\x1b[2m{LOCAL}\x1b[0m  {mark}")


def test_the_format_can_be_chosen() -> None:
    """A log file could not be text, nor a terminal show what a program would get."""
    assert written(MISSED, io.StringIO(), format="text") == f"{LOCAL}  slot missed  88: no answer\n"
    assert written(MISSED, Terminal(), format="json").startswith("{")


def test_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert written(MISSED, io.StringIO(), format="text").startswith("22:20:02")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x00", "\u202e", "x\r"])
def test_text_from_outside_cannot_steer_the_terminal(text: str) -> None:
    """A peer could hide or forge lines of the log."""
    assert plain(text).isprintable()
    line = written(NoProofYet(text), io.StringIO(), format="text")
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_a_traceback_cannot_steer_the_terminal_either() -> None:
    stream = io.StringIO()
    set_up(stream, format="text")
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        logging.getLogger("alysd.nurseries").exception("child x failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("nurseries   child x failed")
    assert rest[0].startswith("Traceback")
    assert all(line.isprintable() for line in rest)


def test_a_long_line_of_text_is_cut() -> None:
    """One answer of a client would fill the screen."""
    assert len(plain("x" * 10_000)) == LONGEST_LINE
    assert "x" * 10_000 in written(NoProofYet("x" * 10_000), io.StringIO())


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_the_level_is_that_of_the_configuration(level: str, count: int) -> None:
    stream = io.StringIO()
    set_up(stream, level=level)
    own = logging.getLogger("alysd.x")
    for say in (own.debug, own.info, own.warning):
        say("x")
    assert len(lines(stream)) == count
    log(BLOCK)
    log(MISSED)
    assert len(lines(stream)) - count == min(count, 2)


def test_libraries_are_heard_from_warnings_up() -> None:
    """Otherwise every HTTP request would be logged, or the warnings of libraries would be lost."""
    stream = io.StringIO()
    set_up(stream, level="debug")
    logging.getLogger("httpx").info("request")
    logging.getLogger("httpx").warning("odd %s", "thing")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("library", "httpx", "warning")
    assert (line["message"], line["exception"]) == ("odd thing", None)


def test_an_unexpected_error_brings_its_traceback() -> None:
    stream = io.StringIO()
    set_up(stream)
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logging.getLogger("alysd.nurseries").exception("child x failed")
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: by nothing")


def test_a_mistake_of_the_user_is_not_logged() -> None:
    """A used port would look like a broken program; the command says it in words."""
    stream = io.StringIO()
    set_up(stream, level="debug")
    try:
        try:
            raise AddressInUse("port 3000")
        except AddressInUse as mistake:
            raise RuntimeError("gave up") from mistake
    except RuntimeError:
        logging.getLogger("alysd.nurseries").exception("server failed")
    assert stream.getvalue() == ""


def test_the_journal_gets_the_severity_of_each_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`journalctl -p warning` would show nothing, or all."""
    with (tmp_path / "journal").open("w+") as stream:
        found = os.fstat(stream.fileno())
        form = LineForm.chosen(LoggingConfig(), stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        levels = (logging.DEBUG, logging.INFO, logging.WARNING, 35, logging.ERROR, logging.CRITICAL, 1)
        assert [form.line(BLOCK, level)[:4] for level in levels] == [f"<{n}>{{" for n in (7, 6, 4, 4, 3, 2, 7)]
        event = LibraryLine("x", "odd", "one\ntwo")
        text = attrs.evolve(form, text=True).line(event, logging.ERROR)
        assert [line[:3] for line in text.splitlines()] == ["<3>"] * 3
        for other in ("", "1:2", f"{found.st_dev}", f"{found.st_dev}:{found.st_ino}0"):
            assert not LineForm.chosen(LoggingConfig(), stream, {"JOURNAL_STREAM": other}).severity


def test_the_lines_are_in_the_file_when_the_command_ends(tmp_path: Path) -> None:
    """The last words of a node would be lost; or text on a terminal without UTF-8 be a traceback."""
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        with console_log(LoggingConfig(format="text"), stream) as process_log:
            log(BLOCK)
            log(NodeReady(0.91, 1.13))
        log(NodeReady(9, 9))
        assert process_log.output.lost == 1, "a library may log later: nobody writes that"
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("1f1e1d\\u2026")
    assert second == "ready in 0.9 s, first slot in 1.1 s"
