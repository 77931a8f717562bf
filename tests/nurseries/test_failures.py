"""Classification: each error has one kind, each kind one recommended recovery."""

import errno

import pytest
import trio

from alysd.nurseries.errors import (
    ActorDown,
    AskTimeout,
    BudgetSpent,
    HandlerCrashed,
    HealthCheckFailed,
    MailboxFull,
)
from alysd.nurseries.failures import RECOVERIES, Classifier, FailureKind, root_cause


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
