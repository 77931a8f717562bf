"""Random programs for pools, and the mistakes that the rules find."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from alysd.nurseries import Immediate, OnCrash, Overflow
from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.inbox import Entry, Inbox
from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.pools import WorkerAddress
from alysd.testing.model.commands import SendMode
from alysd.testing.model.pool import (
    Job,
    Operate,
    PoolCommand,
    PoolMismatch,
    PoolOperation,
    PoolProgram,
    Wait,
    pool_programs,
    run_pool_program,
)
from tests.testing.model.many import many_programs
from tests.thorough import cases


@many_programs(cases(60, 200))
@given(pool_programs())
def test_a_pool_keeps_its_rules(program: PoolProgram) -> None:
    run_pool_program(program)


HURRIED = Job(SendMode.TELL, steps=1, hurried=True)
SLOW = Job(SendMode.SEND, steps=2)


POISON = Job(SendMode.TELL, steps=1, crashes=True)
RETURN = Inbox.requeue


def return_without_mark(self: Inbox, entry: Entry) -> None:
    """The message that crashed a worker is not known as such to the next one."""
    message, sent_at, pending = entry
    RETURN(self, (message, sent_at, pending))


MISTAKES: dict[str, tuple[type[Any], str, Callable[..., Any], tuple[PoolCommand, ...]]] = {
    "a message is retried again and again": (Inbox, "requeue", return_without_mark, (POISON, Wait(3), Wait(3))),
    "a wake-up is lost in a hook": (
        Mailbox,
        "wake_for_waiting",
        lambda *_: None,
        (HURRIED, Operate(PoolOperation.CHECK, 1), Wait(1), HURRIED, Operate(PoolOperation.CHECK, 2)),
    ),
    "a crash in a stop drops what waits": (
        ActorChild,
        "_took_messages",
        lambda *_: False,
        (POISON, POISON, POISON, SLOW, Operate(PoolOperation.STOP, 0)),
    ),
    "a wake-up is lost with its worker": (
        Mailbox,
        "wake_for_waiting",
        lambda *_: None,
        (HURRIED, Operate(PoolOperation.SUSPEND, 1), Wait(3), HURRIED, Operate(PoolOperation.SUSPEND, 2)),
    ),
    "a message is lost without a dead letter": (
        Inbox,
        "drop",
        lambda *_: None,
        (Job(SendMode.TELL, crashes=True),),
    ),
    "the last worker does not close the address": (
        WorkerAddress,
        "close",
        lambda *_: None,
        (SLOW, SLOW, SLOW, Operate(PoolOperation.STOP, 1), Operate(PoolOperation.STOP, 2), *[Wait(3)] * 4),
    ),
}


def run_with_seeds(program: PoolProgram) -> None:
    for seed in range(8):
        run_pool_program(program, seed=seed)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    kind, method, wrong, commands = MISTAKES[mistake]
    program = PoolProgram(2, 4, Overflow.BLOCK, OnCrash.RETRY, Immediate(), commands, hook_steps=2)
    run_with_seeds(program)
    monkeypatch.setattr(kind, method, wrong)
    with pytest.raises((PoolMismatch, BaseExceptionGroup)):
        run_with_seeds(program)
