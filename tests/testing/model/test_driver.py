"""The runtime does what the model does, for any program; and where it did not, the driver would see it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from alysd.nurseries import (
    Actor,
    Address,
    Deferred,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Never,
    OnCrash,
    OneForAll,
    OneForOne,
    Overflow,
    State,
    Strategy,
)
from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.child import Child
from alysd.nurseries.inbox import Entry, Inbox
from alysd.nurseries.mailbox import Ticket
from alysd.nurseries.processes.outlet import Outlet
from alysd.nurseries.supervising import Supervising
from alysd.nurseries.supervision import SupervisorChild
from alysd.nurseries.timers import Timer
from alysd.testing.model.commands import (
    Action,
    CancelSender,
    ChildPlan,
    Command,
    CrashChild,
    CrashSupervisor,
    EndBackground,
    KillProcess,
    OperateAtOnce,
    Operator,
    PassTime,
    Program,
    RestartChild,
    ResumeChild,
    SendMessage,
    SendMode,
    StopChild,
    SuspendChild,
    TreePlan,
)
from alysd.testing.model.driver import ModelMismatch, run_program
from alysd.testing.process_double import DoubleProcess
from alysd.testing.strategies import programs
from tests.testing.model.many import many_programs
from tests.thorough import cases


@many_programs(cases(150, 500))
@given(programs())
def test_a_supervisor_does_what_its_model_does(program: Program) -> None:
    """Order, counts, states, restarts, escalation, and what every sender gets."""
    run_program(program)


def program(plan: ChildPlan, *commands: Command, strategy: Strategy | None = None) -> Program:
    """Two children alike, and what is done to them."""
    return Program(TreePlan(strategy or OneForOne(), (plan, plan)), commands)


def linked(plan: ChildPlan, *commands: Command) -> Program:
    """The second child is linked to the first one."""
    return Program(TreePlan(OneForOne(), (plan, plan), linked=(1,)), commands)


def nothing(*_: object) -> None:
    """The action of the broken part instead."""


def alone(_: Supervising, failed: Child) -> list[Child]:
    """Only the child that failed restarts."""
    return [failed]


def admit_without_a_task(_: Inbox, ticket: Ticket[Entry]) -> None:
    """The place in line is kept although the sender has gone."""
    ticket.task = None


async def at_once(*_: object) -> None:
    """Return without a restart."""


async def without_end(self: ActorChild, actor: Actor[Any]) -> None:
    """The background's return is not noticed."""
    await actor.background()


def too_short(*_: object) -> float:
    return 0.25


def itself_alone(_: OneForAll, children: object, failed: Child) -> tuple[Child, ...]:
    return (failed,)


LATE = FixedDelay(seconds=9.0)
BREAKS: dict[str, tuple[type[object], str, Callable[..., object], Program]] = {
    "a message is lost by a crash": (
        Inbox,
        "requeue",
        nothing,
        program(ChildPlan(LATE, on_crash=OnCrash.RETRY), SendMessage(0, SendMode.TELL, Action.CRASH)),
    ),
    "a drop is not counted": (
        Inbox,
        "drop",
        nothing,
        program(ChildPlan(LATE, 1, Overflow.DROP_OLDEST), SuspendChild(0), *[SendMessage(0, SendMode.TELL)] * 3),
    ),
    "a cancelled send is sent": (
        Inbox,
        "leave_line",
        admit_without_a_task,
        program(
            ChildPlan(LATE, 1),
            SuspendChild(0),
            *[SendMessage(0, SendMode.SEND)] * 2,
            CancelSender(0),
            ResumeChild(0),
        ),
    ),
    "a backoff is too short": (
        FixedDelay,
        "delay",
        too_short,
        program(ChildPlan(FixedDelay(seconds=0.75)), CrashChild(0), PassTime(1)),
    ),
    "a group is not restarted together": (
        OneForAll,
        "affected",
        itself_alone,
        program(ChildPlan(Immediate()), CrashChild(0), strategy=OneForAll()),
    ),
    "a deferred ask is not answered": (
        Deferred,
        "reply",
        nothing,
        program(
            ChildPlan(LATE),
            SendMessage(0, SendMode.ASK, Action.DEFER),
            SendMessage(0, SendMode.TELL, Action.REPLY),
        ),
    ),
    "a timer does not fire": (
        Timer,
        "fire",
        nothing,
        program(ChildPlan(LATE), SendMessage(0, SendMode.TELL, Action.SET_TIMER), PassTime(2)),
    ),
    "a timer outlives its instance": (
        Timer,
        "cancel",
        nothing,
        program(
            ChildPlan(Immediate()),
            SendMessage(0, SendMode.TELL, Action.SET_TIMER),
            CrashChild(0),
            PassTime(2),
        ),
    ),
    "a background that has returned is not noticed": (
        ActorChild,
        "_background",
        without_end,
        program(ChildPlan(Immediate(), background=True), EndBackground(0, raises=False)),
    ),
    "a message that a process had not begun is lost": (
        Outlet,
        "settle",
        nothing,
        program(
            ChildPlan(Immediate(), process=True),
            SuspendChild(0),
            SendMessage(0, SendMode.TELL, Action.CRASH),
            SendMessage(0, SendMode.TELL),
            ResumeChild(0),
        ),
    ),
    "the end of a process is not noticed": (
        DoubleProcess,
        "kill",
        nothing,
        program(ChildPlan(Immediate(), process=True), KillProcess(0)),
    ),
    "an operator's restart beside another operator is lost": (
        SupervisorChild,
        "restart",
        at_once,
        program(ChildPlan(LATE), OperateAtOnce((Operator(RestartChild(0)), Operator(SuspendChild(1), turns=2)))),
    ),
    "a crash in a stop drops what waits": (
        ActorChild,
        "_took_messages",
        nothing,
        program(
            ChildPlan(Immediate()),
            SuspendChild(0),
            SendMessage(0, SendMode.TELL, Action.CRASH),
            SendMessage(0, SendMode.TELL),
            StopChild(0),
        ),
    ),
    "a linked child does not restart": (
        Supervising,
        "_group",
        alone,
        linked(ChildPlan(Immediate()), CrashChild(0)),
    ),
    "a linked child does not stop": (
        Supervising,
        "_stop_linked",
        nothing,
        linked(ChildPlan(Never()), CrashChild(0)),
    ),
    "what waits at the end is forgotten": (
        Address,
        "close",
        nothing,
        program(ChildPlan(LATE), CrashChild(0), SendMessage(0, SendMode.TELL)),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_driver_sees_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that finds nothing would pass any runtime."""
    owner, method, broken, example = BREAKS[name]
    run_program(example)
    monkeypatch.setattr(owner, method, broken)
    with pytest.raises(ExceptionGroup) as caught:
        run_program(example)
    assert caught.group_contains(ModelMismatch)


def test_a_change_that_the_table_does_not_have_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Child.move

    def move(self: Child, new: State, error: BaseException | None = None) -> None:
        if new is State.SUSPENDED:
            self.state = State.STARTING
        real(self, State.RUNNING if new is State.SUSPENDED else new, error)

    monkeypatch.setattr(Child, "move", move)
    with pytest.raises(ExceptionGroup) as caught:
        run_program(program(ChildPlan(LATE), SuspendChild(0)))
    assert caught.group_contains(ModelMismatch, match="a change of state that is not in TRANSITIONS")


def test_a_supervisor_is_not_crashed_while_a_process_will_crash_at_its_next_start() -> None:
    """Whether its sibling starts before the crash becomes known has no single outcome."""
    children = (ChildPlan(Immediate(), process=True), ChildPlan(Immediate()))
    commands = (SuspendChild(0), SendMessage(0, SendMode.SEND, Action.CRASH), CrashSupervisor())
    run_program(Program(TreePlan(OneForOne(), children, restarts=0), commands))


def test_a_suspended_child_that_is_stopped_while_its_group_waits_handles_its_messages() -> None:
    """Its desired state was still that of the suspension, so the stop dropped what waited."""
    plan = TreePlan(
        OneForAll(), (ChildPlan(Immediate()), ChildPlan(ExponentialBackoff(first_seconds=0.5131, jitter=0.0)))
    )
    commands = (SuspendChild(0), SendMessage(0, SendMode.TELL, Action.WRITE), CrashChild(1), StopChild(0))
    run_program(Program(plan, commands))
