"""A process with a child that cannot be ended writes its log and ends with a status of its own."""

import os

import pytest

from alysd.api.queued_output import QueuedOutput
from alysd.api.stuck_exit import STUCK_EXIT_STATUS, StuckExit
from alysd.nurseries import StuckChild


def test_the_log_is_written_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    output = QueuedOutput(writing, "utf-8", str)
    ended: list[tuple[int, bytes]] = []

    def end(status: int) -> None:
        os.close(writing)
        ended.append((status, os.read(reading, 1000)))

    monkeypatch.setattr(os, "_exit", end)
    output.offer("chain does not end")
    StuckExit(output)(StuckChild("chain", 15.0, "AdoptBlock", ()))
    os.close(reading)
    assert ended == [(STUCK_EXIT_STATUS, b"chain does not end\n")]
    assert STUCK_EXIT_STATUS not in (0, 1, 2, 3)
