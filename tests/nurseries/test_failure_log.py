"""The failure log: counts from the beginning, memory of the last ones, never more."""

import logging

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import FixedDelay, Immediate, Intensity, Never, OneForAll, supervisor
from alysd.nurseries.failure_log import LATER, RECENT, Failure, FailureLog
from alysd.nurseries.failures import Classifier, FailureKind, Recovery
from alysd.nurseries.history import RECENT_OF_A_CHILD, Outcome
from tests.nurseries.kit import Crash, Say, echo, running


def test_the_log_is_bounded_but_counts_everything() -> None:
    log = FailureLog(Classifier())
    for number in range(RECENT + 10):
        log.add(Failure("a", ValueError(number), float(number), 2.0, Outcome.RESTARTED, 0.5))
    history = log.of("a")
    assert (history.failures, len(history.recent), len(log.recent)) == (RECENT + 10, RECENT_OF_A_CHILD, RECENT)
    assert history.mean_uptime() == 2.0
    assert history.kinds == {FailureKind.PANIC: RECENT + 10}
    newest = log.recent[-1]
    assert (newest.error, newest.at, newest.delay) == (f"ValueError: {RECENT + 9}", RECENT + 9, 0.5)
    assert newest.recovery is Recovery.RESTART


def test_a_child_that_never_failed_has_an_empty_history_and_a_forgotten_one_too() -> None:
    log = FailureLog(Classifier())
    log.add(Failure("a", ValueError(), 0.0, 0.0, Outcome.LEFT))
    log.forget("a")
    log.forget("a")
    assert log.of("a").failures == 0
    assert len(log.recent) == 1


async def test_a_system_records_what_its_supervisors_did(autojump_clock: MockClock) -> None:
    lone, lone_child = echo("lone", restart=FixedDelay(2.0))
    never, never_child = echo("never", restart=Never())
    grouped, grouped_child = echo("grouped")
    last, last_child = echo("last")
    tree = [
        lone_child,
        never_child,
        supervisor("All", OneForAll(), [grouped_child, echo("other")[1]]),
        supervisor("Strict", OneForAll(), [last_child], intensity=Intensity(0, 1)),
    ]
    async with running(tree) as system:
        await trio.sleep(10)
        for address in (lone, never, grouped, last):
            address.tell(Crash(ConnectionError("gone")))
            await trio.sleep(3)
        assert await last.ask(Say("back")) == "back"
        seen = [(record.child, record.outcome, record.uptime, record.delay) for record in system.failures.recent]
        assert seen == [
            ("lone", Outcome.RESTARTED, 10, 2),
            ("never", Outcome.LEFT, 13, 0),
            ("grouped", Outcome.GROUP_RESTARTED, 16, 0),
            ("last", Outcome.ESCALATED, 19, 0),
            ("Strict", Outcome.RESTARTED, 19, 0),
        ]
        assert {record.kind for record in system.failures.recent} == {FailureKind.NETWORK}


async def test_a_failure_is_logged_with_name_kind_and_words_soon_after(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a panic comes with a traceback, and as a warning: of the other kinds the words say all."""
    caplog.set_level(logging.INFO, logger="alysd.nurseries")
    address, child = echo()
    async with running([child]):
        address.tell(Crash(ConnectionError("peer gone")))
        address.tell(Crash(ZeroDivisionError("bug")))
        await address.ask(Say("up"))
        await trio.sleep(2 * LATER)
        network, panic = (record for record in caplog.records if "failed" in record.getMessage())
        assert (network.levelno, panic.levelno) == (logging.INFO, logging.WARNING)
        assert network.getMessage() == "echo failed (network): restarted, delay 0 s: ConnectionError: peer gone"
        assert not network.exc_info
        assert panic.exc_info is not None
        assert isinstance(panic.exc_info[1], ZeroDivisionError)


async def test_a_failure_that_ends_the_system_is_logged_before_its_end(caplog: pytest.LogCaptureFixture) -> None:
    address, child = echo()
    async with running([child]):
        address.tell(Crash())
    assert "echo failed (panic): stopped, as it was about to be" in caplog.text


async def test_a_child_that_fails_as_fast_as_it_starts_leaves_others_their_turns() -> None:
    address, child = echo(restart=Immediate())
    async with running([child], intensity=Intensity(10**6, 1)) as system:
        for _ in range(200):
            address.tell(Crash())
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert 0 < system.failures.of("echo").failures < 200
