"""Failures: their kinds, the history of each child, and the log."""

import errno
import logging

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    ActorDown,
    AskTimeout,
    BudgetSpent,
    ChildHistory,
    Classifier,
    FailureKind,
    FailureLog,
    FailureRecord,
    FixedDelay,
    HandlerCrashed,
    HealthCheckFailed,
    Immediate,
    Intensity,
    MailboxFull,
    Never,
    OneForAll,
    Outcome,
    Recovery,
    supervisor,
)
from alysd.nurseries.failures import LATER, RECENT, RECENT_OF_A_CHILD, RECOVERIES, Failure, root_cause
from alysd.testing.echo import CrashAsked, CrashTold, Say, echo, running


class ForkFound(Exception):
    """An error of some program."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bug"), FailureKind.PANIC),
        (trio.TooSlowError(), FailureKind.TIMEOUT),
        (AskTimeout("a", "M", 1.0), FailureKind.TIMEOUT),
        (TimeoutError(), FailureKind.TIMEOUT),
        (MailboxFull("a", 1), FailureKind.MAILBOX_OVERFLOW),
        (MemoryError(), FailureKind.RESOURCE_EXHAUSTION),
        (OSError(errno.ENOSPC, "disk full"), FailureKind.RESOURCE_EXHAUSTION),
        (OSError(errno.EMFILE, "too many files"), FailureKind.RESOURCE_EXHAUSTION),
        (OSError(errno.EACCES, "not allowed"), FailureKind.PANIC),
        (ConnectionRefusedError(), FailureKind.NETWORK),
        (trio.BrokenResourceError(), FailureKind.NETWORK),
        (ActorDown("a", "stopped"), FailureKind.DEPENDENCY),
        (HandlerCrashed("a", ValueError()), FailureKind.DEPENDENCY),
        (HealthCheckFailed("a", 3, "no answer"), FailureKind.HEALTH_CHECK),
        (ForkFound(), FailureKind.CONSENSUS),
        (ExceptionGroup("nursery", [ForkFound()]), FailureKind.CONSENSUS),
    ],
)
def test_an_error_is_of_its_kind(error: Exception, kind: FailureKind) -> None:
    assert Classifier([(ForkFound, FailureKind.CONSENSUS)]).kind(error) is kind


def test_the_programs_own_rules_come_first() -> None:
    assert Classifier([(OSError, FailureKind.GOVERNANCE)]).kind(ConnectionError()) is FailureKind.GOVERNANCE


def test_a_supervisor_that_gave_up_fails_by_what_it_gave_up_over() -> None:
    leaf = ConnectionResetError()
    outer, inner = BudgetSpent("Outer", "Inner", "why"), BudgetSpent("Inner", "leaf", "why")
    inner.__cause__ = ExceptionGroup("nursery", [leaf])
    outer.__cause__ = inner
    assert root_cause(outer) is leaf
    assert Classifier().kind(outer) is FailureKind.NETWORK


def test_every_kind_has_a_recovery() -> None:
    assert set(RECOVERIES) == set(FailureKind)


def record(at: float, outcome: Outcome = Outcome.RESTARTED) -> FailureRecord:
    return FailureRecord("a", FailureKind.NETWORK, "E: e", at, 2 * at, outcome, 0.5)


def test_everything_is_counted_and_the_last_are_kept() -> None:
    history = ChildHistory()
    assert history.mean_uptime() == 0.0
    for number in range(20):
        history.add(record(float(number)))
    history.add(record(20.0, Outcome.ESCALATED))
    assert history.failures == 21
    assert history.mean_uptime() == 20.0
    assert history.outcomes == {Outcome.RESTARTED: 20, Outcome.ESCALATED: 1}
    assert history.kinds == {FailureKind.NETWORK: 21}
    assert [kept.at for kept in history.recent] == [float(at) for at in range(21 - RECENT_OF_A_CHILD, 21)]


def test_a_record_says_what_usually_helps() -> None:
    assert record(1.0).recovery is Recovery.RESTART_LATER


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
            address.tell(CrashTold(ConnectionError("gone")))
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
        address.tell(CrashTold(ConnectionError("peer gone")))
        address.tell(CrashTold(ZeroDivisionError("bug")))
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
        address.tell(CrashTold())
    assert "echo failed (panic): not restarted, because it was stopping" in caplog.text


async def test_a_child_that_fails_as_fast_as_it_starts_leaves_others_their_turns() -> None:
    address, child = echo(restart=Immediate())
    async with running([child], intensity=Intensity(10**6, 1)) as system:
        for _ in range(200):
            address.tell(CrashTold())
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert 0 < system.failures.of("echo").failures < 200


class Unprintable(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise KeyError("no text")


async def test_an_error_without_a_text_and_a_classifier_that_fails_do_not_end_the_system(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Classifier):
        def kind(self, error: BaseException) -> FailureKind:
            raise LookupError("no kind")

    address, child = echo()
    async with running([child], classifier=Failing()) as system:
        with pytest.raises(HandlerCrashed) as caught:
            await address.ask(CrashAsked(Unprintable()))
        assert str(caught.value) == "echo crashed: (its text cannot be made: KeyError)"
        await trio.sleep(1)
        assert await address.ask(Say("alive")) == "alive"
        (record,) = system.failures.recent
        assert record.kind is FailureKind.PANIC
        assert record.error == "Unprintable: (its text cannot be made: KeyError)"
        assert system.snapshot().children[0].last_error == record.error
    assert "the classifier failed on a failure of echo: LookupError('no kind')" in caplog.text
