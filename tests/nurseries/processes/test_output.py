"""The output of a process appears in the parent's log."""

import logging
import os

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries.processes import output as module
from alysd.nurseries.processes.output import LINE_BYTES, Output


async def test_lines_are_labelled_bounded_and_printable(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reading, writing = os.pipe()
    output = Output("peers", reading, 100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.run)
        for data in (b"WARNING one\ntw", b"o\n", b"x" * 3000, b"y" * 3000, b"rest\nbell \x07\n", b"last"):
            os.write(writing, data)
            await wait_all_tasks_blocked()
        os.close(writing)
    output.close()
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.WARNING, "peers: WARNING one"),
        (logging.INFO, "peers: two"),
        (logging.INFO, "peers: " + "x" * LINE_BYTES),
        (logging.INFO, "peers: bell \\x07"),
        (logging.INFO, "peers: last"),
    ]


async def test_lines_above_the_rate_are_counted(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reading, writing = os.pipe()
    output = Output("peers", reading, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.run)
        os.write(writing, b"1\n2\n3\n4\n")
        await trio.sleep(11)
        os.write(writing, b"5\n")
        await trio.sleep(11)
        os.write(writing, b"6\n7\n8\n")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    output.close()  # a process that is left still holds the other end
    os.close(writing)
    assert caplog.messages == [
        "peers: 1",
        "peers: 2",
        "peers: 2 lines of its output were dropped",
        "peers: 5",
        "peers: 6",
        "peers: 7",
        "peers: 1 lines of its output were dropped",
    ]


@pytest.mark.parametrize(("lines", "logged"), [(3, 3), (20, 8)])
async def test_what_is_left_at_the_end_is_logged_within_bounds(
    lines: int, logged: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 2)
    caplog.set_level(logging.INFO)
    reading, writing = os.pipe()
    output = Output("peers", reading, 100)
    os.write(writing, b"abc\n" * lines)  # two reads per line, and sixteen reads at most
    output.close()
    os.close(writing)
    assert caplog.messages == ["peers: abc"] * logged
