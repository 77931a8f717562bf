"""A node whose log nobody reads, and signals at any time: it goes on, counts the lines, and ends in order."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import httpx
import pytest

from alysd.testing.daemon import DEVELOPMENT
from alysd.testing.processes import free_ports

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
"""Limits for a busy machine: a start takes two seconds, a stop one more than with a reader."""


@attrs.frozen
class Node:
    process: "subprocess.Popen[bytes]"
    url: str

    def until_height(self, height: int) -> None:
        """Ask until the node has that many blocks."""
        request: dict[str, Any] = {"id": 1, "method": "getheadblock", "params": []}
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = httpx.post(self.url, json=request, timeout=5)
                if answer.status_code == 200 and answer.json()["result"]["height"] >= height:
                    return
            except httpx.TransportError:
                pass  # it is not up yet
            time.sleep(0.1)
        pytest.fail(f"no block {height} within {READY_SECONDS} s")

    def until_sigterm_is_caught(self) -> None:
        """Wait until the process has a handler for it, which Python itself has not."""
        status, deadline = Path(f"/proc/{self.process.pid}/status"), time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)
            if found and int(found[1], 16) & 1 << signal.SIGTERM - 1:
                return
            time.sleep(0.001)
        pytest.fail("SIGTERM has its default action")

    def stopped(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def node(folder: Path, **options: Any) -> Generator[Node]:
    """Run a development node, its data in `folder`, with `subprocess.Popen`'s options."""
    alys, ethereum = free_ports(2)
    command = [sys.executable, "-m", "alysd", "run", "--config", str(DEVELOPMENT)]
    for setting in (
        f"storage.path={folder / 'data'}",
        f"api.address=127.0.0.1:{alys}",
        f"api.ethereum_address=127.0.0.1:{ethereum}",
    ):
        command += ["--set", setting]
    process = cast("subprocess.Popen[bytes]", subprocess.Popen(command, **options))
    try:
        yield Node(process, f"http://127.0.0.1:{alys}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def full_pipe() -> Generator[int]:
    """The writing end of a pipe that is full, and that nobody reads."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * 4096)
    yield writing
    os.close(reading)
    os.close(writing)


def test_a_node_whose_log_nobody_reads_makes_blocks_and_stops(tmp_path: Path, full_pipe: int) -> None:
    """Ctrl-S at its terminal, or a stuck log collector, would halt the chain, and SIGTERM would not end it."""
    with node(tmp_path, stdout=full_pipe, stderr=full_pipe) as one:
        one.until_height(2)
        assert one.stopped() == 0


def test_a_mistake_is_no_reason_to_wait_for_a_reader(tmp_path: Path, full_pipe: int) -> None:
    """The message for a person would hold up the end of the process."""
    (tmp_path / "data").write_text("a file")
    with node(tmp_path, stdout=full_pipe, stderr=full_pipe) as one:
        assert one.process.wait(READY_SECONDS) == 2


def test_lost_lines_are_a_metric(tmp_path: Path) -> None:
    """Otherwise nothing would show that the log is incomplete."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with node(tmp_path, stdout=writing) as one:
            one.until_height(1)
            text = httpx.get(f"{one.url}/metrics").text
            found = re.search(r"^alysd_log_lines_lost_total (\S+)$", text, re.MULTILINE)
            assert found
            assert float(found[1]) >= 2
            assert one.stopped() == 0
    finally:
        os.close(writing)


def test_a_node_without_standard_output_runs(tmp_path: Path) -> None:
    """`alysd run >&-` would be a traceback, or write its log into a file of the database."""

    def close_output() -> None:
        os.close(1)

    with node(tmp_path, preexec_fn=close_output) as one:
        one.until_height(1)
        assert one.stopped() == 0


def events(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_sigterm_during_the_start_is_an_orderly_end(tmp_path: Path, seconds: float) -> None:
    """Otherwise the exit status would be -15, no message would be printed, and the database would be half made."""
    log = tmp_path / "log"
    with log.open("w") as output, node(tmp_path, stdout=output, stderr=output) as one:
        one.until_sigterm_is_caught()
        time.sleep(seconds)
        assert one.stopped() == 0
    assert events(log)[-1] == "stopped"


def test_more_signals_during_the_stop_change_nothing(tmp_path: Path) -> None:
    """The second SIGTERM of an impatient person would make -15 of an orderly end."""
    log = tmp_path / "log"
    with log.open("w") as output, node(tmp_path, stdout=output, stderr=output) as one:
        one.until_height(1)
        deadline = time.monotonic() + STOP_SECONDS
        while one.process.poll() is None and time.monotonic() < deadline:
            one.process.send_signal(signal.SIGTERM)
            one.process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        assert one.process.returncode == 0
    assert events(log)[-1] == "stopped"
    assert events(log).count("stopping") == 1


@pytest.fixture
def hangups() -> Generator[None]:
    """SIGHUP has its default action, which processes inherit. It has not when nohup runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
def test_a_closed_terminal_stops_the_node_in_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output, node(tmp_path, stdout=output, stderr=output) as one:
        one.until_height(1)
        one.process.send_signal(signal.SIGHUP)
        assert one.process.wait(STOP_SECONDS) == 0
    assert events(log)[-2:] == ["stopping", "stopped"]
