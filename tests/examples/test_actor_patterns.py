"""The examples of actor patterns run as they stand and print what they promise."""

import logging
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from alysd.testing.virtual_time import run_virtually

FOLDER = Path(__file__).parents[2] / "examples" / "actor-patterns"

PRINTED = {
    "request_response": """\
left: 6
refused, left: 6
warehouse crashed: dropped it
no answer from warehouse to Take within 0.1 s
""",
    "pool": """\
squares: [0, 1, 4, 9, 16, 25, 36, 'crashed', 64, 81, 100, 121]
rounds: 3
worker-1 Running
worker-2 Running
worker-3 Running
worker-4 Running
restarts: 1
""",
    "event_bus": """\
left the roses alone at -2
covered the roses at -7
wrote down -7, missed 3 so far
wrote down 12, missed 3 so far
""",
    "circuit_breaker": """\
closed:    price 42
closed:    quoter crashed: the line is cut
opens:     quoter crashed: the line is cut
open:      CircuitOpen, try again in 0.2 s
the exchange was left alone: True
half-open: price 42
closed:    price 42
crashes: 2
""",
}
"""The exact output of an example on virtual time."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The examples crash on purpose."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_shows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_virtually(runpy.run_path(str(FOLDER / f"{name}.py"))["main"])
    assert capsys.readouterr().out == PRINTED[name]


def test_backpressure_bounds_what_is_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    run_virtually(runpy.run_path(str(FOLDER / "pipeline.py"))["main"])
    under_way, collected = capsys.readouterr().out.splitlines()
    assert int(under_way.split()[3]) <= 3 * 4 + 3, "three mailboxes of 4, and one message in each stage's hand"
    assert collected == "collected: 30 in order: True"


def test_state_outlives_crash_and_process(capsys: pytest.CaptureFixture[str], no_threads: None) -> None:
    run_virtually(runpy.run_path(str(FOLDER / "persistent_state.py"))["main"])
    assert capsys.readouterr().out.splitlines() == [
        "balance: 10",
        "account crashed: -1",
        "after the crash: 15",
        "after the process: 15",
    ]


def test_an_external_process_is_restarted_and_never_left_behind() -> None:
    """As a person runs it: with a real process, in real time."""
    ran = subprocess.run(
        [sys.executable, FOLDER / "external_service.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.splitlines() == [
        "HELLO",
        "service crashed: the process no longer reads its input",
        "AND NOW?",
        "processes started: 2 still running: 0",
    ]
    assert ran.stderr == ""


def test_no_example_is_without_a_test() -> None:
    tested = {*PRINTED, "pipeline", "persistent_state", "external_service"}
    assert {path.stem for path in FOLDER.glob("*.py")} == tested
