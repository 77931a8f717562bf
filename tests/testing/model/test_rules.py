"""The driver skips commands that are impossible or have several outcomes."""

import pytest

from alysd.nurseries import FixedDelay, Immediate, OnCrash, OneForAll, OneForOne, Strategy
from alysd.testing.model.commands import (
    Action,
    ChildPlan,
    Command,
    CrashChild,
    CrashSupervisor,
    EndBackground,
    KillProcess,
    OperateAtOnce,
    PassTime,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMessage,
    SendMode,
    SpawnChild,
    StopChild,
    SuspendChild,
    TreePlan,
)
from alysd.testing.model.mailbox import Message
from alysd.testing.model.rules import is_allowed
from alysd.testing.model.tree import TreeModel

NAME = "child 0"


def tree(strategy: Strategy | None = None) -> TreeModel:
    plan = ChildPlan(FixedDelay(seconds=1.0), capacity=1)
    return TreeModel(TreePlan(strategy or OneForOne(), (plan, plan)))


def refused(model: TreeModel, *commands: Command) -> list[type[Command]]:
    return [type(command) for command in commands if not is_allowed(model, command, NAME)]


def send(model: TreeModel, action: Action, mode: SendMode = SendMode.SEND) -> None:
    model.send(model.child(NAME), Message(len(model.messages), mode, action, 1.0))


EVERYTHING: list[Command] = [
    CrashChild(0),
    CrashSupervisor(),
    SuspendChild(0),
    RestartChild(0),
    StopChild(0),
    RemoveChild(0),
    SpawnChild(ChildPlan(Immediate())),
    OperateAtOnce(()),
    PassTime(1),
    SendMessage(0, SendMode.TELL),
]


def test_only_a_background_that_runs_can_be_ended() -> None:
    end = EndBackground(0, raises=True)
    model = TreeModel(TreePlan(OneForOne(), (ChildPlan(FixedDelay(seconds=1.0), background=True),)))
    assert refused(tree(), end) == [EndBackground]
    assert refused(model, end) == []
    model.panic(model.child(NAME))
    assert refused(model, end) == [EndBackground]


def test_only_a_process_can_be_killed_and_it_sets_no_timer() -> None:
    programs: list[Command] = [KillProcess(0), SendMessage(0, SendMode.TELL, Action.SET_TIMER)]
    model = TreeModel(TreePlan(OneForOne(), (ChildPlan(FixedDelay(seconds=1.0), process=True),)))
    assert refused(tree(), *programs) == [KillProcess]
    assert refused(model, *programs) == [SendMessage]
    model.panic(model.child(NAME))
    assert refused(model, *programs) == [KillProcess, SendMessage]


def test_a_child_that_runs_allows_everything_but_a_resume() -> None:
    assert refused(tree(), *EVERYTHING, ResumeChild(0)) == [ResumeChild]


def test_a_removed_child_allows_only_messages() -> None:
    model = tree()
    model.remove(model.child(NAME))
    assert refused(model, CrashChild(0), SuspendChild(0), RestartChild(0), StopChild(0), RemoveChild(0)) == [
        CrashChild,
        SuspendChild,
        RestartChild,
        StopChild,
        RemoveChild,
    ]
    assert refused(model, SendMessage(0, SendMode.ASK, Action.CRASH)) == []


@pytest.mark.parametrize(("strategy", "allowed"), [(OneForOne(), True), (OneForAll(), False)])
def test_a_crash_that_waits_for_a_group_has_no_single_outcome(strategy: Strategy, allowed: bool) -> None:
    model = tree(strategy)
    model.suspend(model.child(NAME))
    command = SendMessage(0, SendMode.TELL, Action.CRASH)
    assert is_allowed(model, command, NAME) is allowed


def test_operators_do_not_act_at_once_while_a_crash_or_a_sender_waits() -> None:
    waits = tree()
    waits.suspend(waits.child(NAME))
    send(waits, Action.CRASH)
    stands = tree()
    stands.suspend(stands.child(NAME))
    send(stands, Action.WRITE)
    assert refused(stands, OperateAtOnce(())) == []
    send(stands, Action.WRITE)
    assert refused(waits, OperateAtOnce(())) == refused(stands, OperateAtOnce(())) == [OperateAtOnce]


@pytest.mark.parametrize("on_crash", list(OnCrash))
def test_a_child_with_a_background_is_not_crashed_at_its_start(on_crash: OnCrash) -> None:
    """It crashes when its background has ended. It is not certain which other children have started by then."""
    plan = ChildPlan(FixedDelay(seconds=1.0), on_crash=on_crash, background=True)
    model = TreeModel(TreePlan(OneForOne(), (plan, plan)))
    crash = SendMessage(0, SendMode.TELL, Action.CRASH)
    assert is_allowed(model, crash, NAME) is (on_crash is OnCrash.DROP)
    model.suspend(model.child(NAME))
    assert not is_allowed(model, crash, NAME)
