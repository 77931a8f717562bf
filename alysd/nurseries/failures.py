"""What kind of failure an error is, and what is usually done about it.

The runtime classifies; it does not decide by it. A supervisor restarts by its child's policy whatever the
kind; the kind and its recommended recovery are for the person who reads the statistics, and for patterns.
"""

import errno
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType

import attrs
import trio

from alysd.nurseries.errors import BudgetSpent, HealthCheckFailed, MailboxFull, NotAnswered, leaf_of


class FailureKind(Enum):
    """The kinds. A program says which of its own errors are of which (`Classifier`)."""

    PANIC = "panic"
    TIMEOUT = "timeout"
    MAILBOX_OVERFLOW = "mailbox overflow"
    RESOURCE_EXHAUSTION = "resource exhaustion"
    CONSENSUS = "consensus"
    NETWORK = "network"
    GOVERNANCE = "governance"
    FEDERATION = "federation"
    HEALTH_CHECK = "health check"
    CONFIGURATION = "configuration"
    DEPENDENCY = "dependency"


class Recovery(Enum):
    """What usually helps."""

    RESTART = "restart it"
    RESTART_LATER = "restart it, with growing delays"
    SHED_LOAD = "send less, or give it a larger mailbox"
    FREE_RESOURCES = "free disk, memory or file descriptors first"
    MEND_DEPENDENCY = "mend what it depends on"
    CORRECT_CONFIGURATION = "correct the configuration; no restart helps"
    ASK_A_PERSON = "stop and let a person look"


RECOVERIES: Mapping[FailureKind, Recovery] = MappingProxyType(
    {
        FailureKind.PANIC: Recovery.RESTART,
        FailureKind.TIMEOUT: Recovery.RESTART_LATER,
        FailureKind.MAILBOX_OVERFLOW: Recovery.SHED_LOAD,
        FailureKind.RESOURCE_EXHAUSTION: Recovery.FREE_RESOURCES,
        FailureKind.CONSENSUS: Recovery.ASK_A_PERSON,
        FailureKind.NETWORK: Recovery.RESTART_LATER,
        FailureKind.GOVERNANCE: Recovery.RESTART_LATER,
        FailureKind.FEDERATION: Recovery.RESTART_LATER,
        FailureKind.HEALTH_CHECK: Recovery.RESTART,
        FailureKind.CONFIGURATION: Recovery.CORRECT_CONFIGURATION,
        FailureKind.DEPENDENCY: Recovery.MEND_DEPENDENCY,
    }
)
"""The recommended recovery of each kind."""

Rule = tuple[type[BaseException], FailureKind]
"""Errors of this type, and those derived from it, are of this kind."""

GENERAL_RULES: tuple[Rule, ...] = (
    (HealthCheckFailed, FailureKind.HEALTH_CHECK),
    (MailboxFull, FailureKind.MAILBOX_OVERFLOW),
    (trio.TooSlowError, FailureKind.TIMEOUT),
    (TimeoutError, FailureKind.TIMEOUT),
    (NotAnswered, FailureKind.DEPENDENCY),
    (MemoryError, FailureKind.RESOURCE_EXHAUSTION),
    (ConnectionError, FailureKind.NETWORK),
    (trio.BrokenResourceError, FailureKind.NETWORK),
)
"""What is known of errors of Python, trio and this runtime. The first rule that fits counts."""

_EXHAUSTED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@attrs.frozen
class Classifier:
    """Says of an error what kind it is: by the program's own `rules`, then the general ones, else a panic."""

    rules: Sequence[Rule] = ()

    def kind(self, error: BaseException) -> FailureKind:
        """The kind of `error`; of a supervisor that gave up, that of the error it gave up over."""
        error = root_cause(error)
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return FailureKind.RESOURCE_EXHAUSTION
        for error_type, kind in (*self.rules, *GENERAL_RULES):
            if isinstance(error, error_type):
                return kind
        return FailureKind.PANIC


def root_cause(error: BaseException) -> BaseException:
    """Where it began: through groups, and through supervisors that gave up."""
    error = leaf_of(error)
    while isinstance(error, BudgetSpent) and error.__cause__ is not None:
        error = leaf_of(error.__cause__)
    return error
