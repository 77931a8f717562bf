"""A line for each event, for people."""

import time
from datetime import datetime
from typing import Any

import pytest

from alysd.api.console_text import LONGEST_VALUE, TextRenderer, hash_text, plain
from alysd.types.hashes import BlockHash, displayed

AT = datetime(2026, 11, 20, 12, 0, 2).astimezone().timestamp()
HASH = BlockHash(bytes(range(32)))


def line(event: str, *, colour: bool = False, level: str = "info", **fields: Any) -> str:
    """What a person sees of an event."""
    base = {"event": event, "level": level, "logger": "alysd.workflows.mining", "timestamp": AT}
    return TextRenderer(colour)(None, level, base | fields)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (
            line("block", height=1, transactions=0, ms=3.4, hash=HASH),
            "12:00:02  block 1     0 tx    3 ms    1f1e1d…",
        ),
        (
            line("block", height=123456, transactions=150, ms=1234, hash=HASH),
            "12:00:02  block 123456  150 tx  1234 ms 1f1e1d…",
        ),
        (
            line("final", height=9, blocks=10, by="internal miner", target=0x207FFFFF),
            "12:00:02  final 9     10 blocks by internal miner   target 207fffff",
        ),
        (
            line("final", height=9, blocks=1, by="0x12", target="1d00ffff"),
            "12:00:02  final 9     1 block by 0x12   target 1d00ffff",
        ),
        (line("slot_missed", slot=88, reason="no answer"), "12:00:02  slot missed  88: no answer"),
        (line("engine", state="answers again"), "12:00:02  engine      answers again"),
        (line("reorganised", removed=2, height=7), "12:00:02  reorganised  2 blocks undone, the head is 7 now"),
        (
            line("halted", blocks=10001),
            "12:00:02  halted      10001 blocks wait for work: none is made until a miner brings it",
        ),
        (
            line("child_failed", child="auxpow", error="ValueError: x"),
            "12:00:02  auxpow      failed: ValueError: x",
        ),
        (line("child_returned", child="a"), "12:00:02  a           works again"),
        (line("slots_resumed", missed=2), "12:00:02  slots       blocks again, 2 slots missed"),
        (line("not_ready", reason="no answer"), "12:00:02  not ready   no answer"),
        (line("stopping", doing="6 actors to go"), "12:00:02  stopping    6 actors to go"),
        (line("failed", error="StoreError: disk"), "12:00:02  failed      StoreError: disk"),
        (line("work found", nonce=7, parent=b"\x01"), "12:00:02  mining      work found   nonce=7   parent=01"),
        (line("ready", text="ready in 0.9 s"), "ready in 0.9 s"),
    ],
)
def test_each_event_has_its_words(shown: str, text: str) -> None:
    """A person could not tell what happens."""
    assert shown == text


def test_a_hash_begins_as_the_rpc_shows_it() -> None:
    """A hash in the log could not be found by getblockbyhash."""
    assert displayed(HASH).startswith(hash_text(HASH).removesuffix("…"))
    assert hash_text("abcdefgh") == "abcdef…"


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x00", "\u202e", "x\r"])
def test_text_from_outside_cannot_steer_the_terminal(text: str) -> None:
    """A peer could hide or forge lines of the log."""
    assert plain(text).isprintable()
    assert line("engine", state=text).count("\n") == 0
    assert "\x1b" not in line("odd", level="error", exception=f"Traceback\n  {text}")


def test_a_long_value_is_cut() -> None:
    """One answer of a client would fill the screen."""
    assert len(plain("x" * 10_000)) == LONGEST_VALUE


def test_a_traceback_follows_its_line() -> None:
    """The fault could not be found."""
    assert line("odd", exception="Traceback\n  here").splitlines()[1:] == ["Traceback", "  here"]


@pytest.mark.parametrize(
    ("level", "mark"), [("info", ""), ("warning", "\x1b[33m"), ("error", "\x1b[31m"), ("critical", "\x1b[31m")]
)
def test_colour_marks_what_needs_a_look(level: str, mark: str) -> None:
    """A missed slot would look like a block."""
    shown = line("engine", level=level, colour=True, state="x")
    assert shown.startswith("\x1b[2m12:00:02\x1b[0m  ")
    assert f"  {mark}engine" in shown


def test_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody would compare with the clock on the wall and be hours off."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        shown = TextRenderer(False)(
            None, "info", {"event": "engine", "state": "x", "level": "info", "timestamp": 1_600_000_000.0}
        )
    finally:
        monkeypatch.undo()
        time.tzset()
    assert shown.startswith("21:26:40")
