"""The model of a tree by itself: delays, groups, budgets and time, each against the number one expects."""

from collections.abc import Collection
from typing import TypeVar

import attrs
import pytest

from alysd.nurseries import (
    Aligned,
    CircuitBreaker,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Never,
    OneForAll,
    OneForOne,
    RestartPolicy,
    RestForOne,
    State,
    Strategy,
)
from alysd.testing.model.commands import (
    ASK_SECONDS,
    TIMER_SECONDS,
    Action,
    ChildPlan,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMode,
    StopChild,
    SuspendChild,
    TreePlan,
)
from alysd.testing.model.mailbox import Message, SendOutcome
from alysd.testing.model.tree import ChildModel, TreeModel, ask_deadline

C = TypeVar("C")


def tree(
    *policies: RestartPolicy, strategy: Strategy | None = None, restarts: int = 9, root: int = 1
) -> TreeModel:
    plans = tuple(ChildPlan(policy) for policy in policies)
    return TreeModel(TreePlan(strategy or OneForOne(), plans, restarts, root))


def send(
    model: TreeModel, child: ChildModel, action: Action = Action.WRITE, mode: SendMode = SendMode.TELL
) -> Message:
    message = Message(len(model.messages), mode, action, ask_deadline(model.now))
    model.send(child, message)
    return message


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (Immediate(), [0.0, 0.0, 0.0]),
        (FixedDelay(seconds=1.0, increment=0.5, max_seconds=1.75), [1.0, 1.5, 1.75]),
        (ExponentialBackoff(first_seconds=1.0, max_seconds=3.0), [1.0, 2.0, 3.0]),
        (CircuitBreaker(failures=2, open_seconds=7.0, delay_seconds=0.5), [0.5, 7.0, 7.0]),
        (Never(), [None, None, None]),
    ],
)
def test_delays_grow_as_the_policies_say(policy: RestartPolicy, delays: list[float | None]) -> None:
    child = tree(policy).children[0]
    found: list[float | None] = []
    for _ in range(3):
        child.count_failure()
        found.append(child.delay())
    assert found == delays


def test_a_policy_that_the_model_does_not_know_is_no_silent_guess() -> None:
    child = tree(Aligned(Immediate(), lambda seconds: seconds)).children[0]
    with pytest.raises(TypeError, match="Aligned"):
        child.delay()


@attrs.frozen
class Sympathy(Strategy):
    """Everybody restarts but the one that failed: a strategy of nobody's."""

    def affected(self, children: Collection[C], failed: C) -> Collection[C]:
        return [child for child in children if child is not failed]


def test_nor_is_a_strategy() -> None:
    model = tree(Immediate(), strategy=Sympathy())
    with pytest.raises(TypeError, match="Sympathy"):
        model.panic(model.children[0])


def test_who_falls_over_what_waited_stops_the_start_of_the_rest() -> None:
    """The supervisor gives up a second time, before the later child was started."""
    model = tree(Immediate(), Immediate(), restarts=0, root=9)
    first, second = model.children
    model.suspend(first)
    send(model, first, Action.CRASH)
    model.collapse()
    assert (model.supervisor_restarts, second.restarts) == (2, 1)
    assert (first.box.dropped, first.state, second.state) == (1, State.RUNNING, State.RUNNING)


def test_an_answer_closes_a_breaker() -> None:
    model = tree(CircuitBreaker(failures=2, open_seconds=7.0))
    (child,) = model.children
    model.panic(child)
    send(model, child)
    model.panic(child)
    assert child.failures == 1
    model.panic(child)
    assert (child.state, child.circuit_open) == (State.BACKOFF, True)
    assert send(model, child, mode=SendMode.ASK).outcome is SendOutcome.OPEN
    model.stop(child)
    assert send(model, child, mode=SendMode.ASK).outcome is SendOutcome.DOWN


def test_a_breaker_refuses_asks_while_it_holds_its_group_down() -> None:
    model = tree(CircuitBreaker(failures=1, open_seconds=7.0), Immediate(), strategy=OneForAll())
    broken, other = model.children
    model.panic(broken)
    assert send(model, broken, mode=SendMode.ASK).outcome is SendOutcome.OPEN
    assert send(model, other, mode=SendMode.ASK).outcome is SendOutcome.WAITING
    model.pass_time(7.0)
    assert send(model, broken, mode=SendMode.ASK).outcome is SendOutcome.ANSWERED


def test_messages_wait_for_the_next_instance() -> None:
    model = tree(FixedDelay(seconds=1.0))
    (child,) = model.children
    send(model, child, Action.CRASH)
    send(model, child)
    model.pass_time(0.9)
    assert child.box.written == []
    model.pass_time(0.2)
    assert (child.box.written, child.restarts, child.state) == ([1], 1, State.RUNNING)


@pytest.mark.parametrize(
    ("strategy", "restarts"), [(OneForOne(), [0, 1, 0]), (OneForAll(), [1, 1, 1]), (RestForOne(), [0, 1, 1])]
)
def test_a_strategy_decides_who_restarts(strategy: Strategy, restarts: list[int]) -> None:
    model = tree(Immediate(), FixedDelay(seconds=1.0), Immediate(), strategy=strategy)
    model.panic(model.children[1])
    assert model.children[1].state is State.BACKOFF
    model.pass_time(1.0)
    assert [child.restarts for child in model.children] == restarts


def linked(*policies: RestartPolicy) -> TreeModel:
    """Each child but the first is linked to the one before."""
    plans = tuple(ChildPlan(policy) for policy in policies)
    return TreeModel(TreePlan(OneForOne(), plans, 9, linked=tuple(range(1, len(plans)))))


@pytest.mark.parametrize(("failed", "restarts"), [(0, [1, 1, 1]), (1, [0, 1, 1]), (2, [0, 0, 1])])
def test_a_child_restarts_with_those_linked_to_it(failed: int, restarts: list[int]) -> None:
    model = linked(Immediate(), Immediate(), Immediate())
    model.panic(model.children[failed])
    assert [child.restarts for child in model.children] == restarts


def test_a_child_that_failed_for_good_stops_those_linked_to_it_after_their_messages() -> None:
    model = linked(Immediate(), Never(), Immediate())
    first, second, third = model.children
    model.suspend(third)
    waiting = send(model, third)
    model.panic(second)
    assert (first.state, second.state, third.state) == (State.RUNNING, State.FAILED, State.STOPPED)
    assert third.box.written == [waiting.number]
    model.restart(second)
    assert third.state is State.STOPPED


def test_one_restart_too_many_goes_up_and_keeps_the_messages() -> None:
    model = tree(Immediate(), Never(), restarts=1)
    first, second = model.children
    model.suspend(second)
    send(model, second)
    model.panic(first)
    assert model.supervisor_restarts == 0
    model.panic(first)
    assert (model.supervisor_restarts, model.failed) == (1, False)
    assert second.box.written == [0]


def test_the_roots_budget_is_the_last() -> None:
    model = tree(Immediate(), restarts=0, root=0)
    (child,) = model.children
    model.suspend(child)
    asked = send(model, child, mode=SendMode.ASK)
    model.panic(child)
    assert model.failed
    assert (asked.outcome, child.state) == (SendOutcome.DOWN, State.FAILED)


def test_restarts_are_forgotten_after_the_window() -> None:
    model = tree(Immediate(), restarts=1)
    for _ in range(4):
        model.panic(model.children[0])
        model.pass_time(10.0)
    assert model.supervisor_restarts == 0


def test_who_is_left_for_good_comes_back_with_a_new_supervisor_unless_stopped_by_hand() -> None:
    model = tree(Never(), Immediate())
    left, stopped = model.children
    model.panic(left)
    model.stop(stopped)
    assert (left.state, stopped.state) == (State.FAILED, State.STOPPED)
    model.collapse()
    assert (left.state, stopped.state) == (State.RUNNING, State.STOPPED)


def test_an_ask_ends_at_its_deadline_and_the_handler_finds_nobody() -> None:
    model = tree(Immediate())
    (child,) = model.children
    model.suspend(child)
    asked = send(model, child, mode=SendMode.ASK)
    model.pass_time(ASK_SECONDS)
    assert asked.outcome is SendOutcome.WAITING, "the timer of asks ticks"
    model.pass_time(0.01)
    assert asked.outcome is SendOutcome.TIMEOUT
    model.resume(child)
    assert child.box.abandoned == 1


def test_a_stop_handles_what_waits_and_a_restart_takes_messages_again() -> None:
    model = tree(Immediate())
    (child,) = model.children
    model.suspend(child)
    send(model, child)
    model.stop(child)
    assert (child.box.written, send(model, child).outcome) == ([0], SendOutcome.DOWN)
    model.restart(child)
    assert send(model, child).outcome is SendOutcome.SENT


@pytest.mark.parametrize(
    ("restart", "second", "restarts"),
    [
        (Immediate(), SendOutcome.ANSWERED, 1),
        (FixedDelay(1.0), SendOutcome.ANSWERED, 1),
        (CircuitBreaker(failures=1), SendOutcome.DOWN, 0),
        (Never(), SendOutcome.DOWN, 0),
    ],
)
def test_a_crash_over_the_last_messages_fails_its_own_ask_and_others_only_if_the_policy_restarts_nothing(
    restart: RestartPolicy, second: SendOutcome, restarts: int
) -> None:
    model = tree(restart)
    (child,) = model.children
    model.suspend(child)
    asked = [send(model, child, action, SendMode.ASK) for action in (Action.CRASH, Action.WRITE)]
    model.stop(child)
    assert [message.outcome for message in asked] == [SendOutcome.CRASHED, second]
    assert (child.restarts, child.state) == (restarts, State.STOPPED)


def test_a_child_added_at_run_time_stays_when_it_is_stopped_and_can_be_restarted() -> None:
    model = tree(Immediate(), strategy=OneForAll())
    added = model.spawn(ChildPlan(Immediate()), "added")
    model.stop(added)
    model.panic(model.children[0])
    assert (added.state, added.restarts) == (State.STOPPED, 0)
    model.restart(added)
    assert (added.state, added.restarts) == (State.RUNNING, 1)


def test_shutting_down_drains_everybody() -> None:
    model = tree(Immediate(), FixedDelay(seconds=5.0))
    running, waiting = model.children
    model.suspend(running)
    send(model, running)
    model.panic(waiting)
    send(model, waiting)
    model.shut_down()
    assert (running.box.written, waiting.box.written) == ([0], [])
    assert waiting.box.dropped == 1


def test_a_removed_child_accepts_nothing_and_its_group_forgets_it() -> None:
    model = tree(Immediate(), FixedDelay(seconds=1.0), strategy=OneForAll())
    first, second = model.children
    model.panic(second)
    model.operate(RemoveChild(1), second.name)
    model.operate(RestartChild(1), second.name)
    assert (model.children, model.removed, second.state) == ([first], [second], State.STOPPED)
    assert send(model, second).outcome is SendOutcome.DOWN
    model.pass_time(1.0)
    assert (first.state, first.restarts, second.restarts) == (State.RUNNING, 1, 0)
    assert model.child(second.name) is second


def test_an_operation_that_the_runtime_refuses_does_nothing() -> None:
    model = tree(Immediate())
    (child,) = model.children
    model.operate(ResumeChild(0), child.name)
    model.operate(StopChild(0), child.name)
    model.operate(SuspendChild(0), child.name)
    assert child.state is State.STOPPED


@pytest.mark.parametrize(("crashes", "written"), [(False, [0, 0]), (True, [0])])
def test_a_timer_is_due_unless_its_instance_has_ended(crashes: bool, written: list[int]) -> None:
    model = tree(Immediate())
    (child,) = model.children
    send(model, child, Action.SET_TIMER)
    if crashes:
        model.panic(child)
    model.pass_time(TIMER_SECONDS - 0.001)
    assert child.box.written == [0]
    model.pass_time(0.002)
    assert child.box.written == written


def test_a_deferred_ask_is_told_how_its_instance_ended() -> None:
    model = tree(Immediate(), Immediate())
    first, second = (send(model, child, Action.DEFER, SendMode.ASK) for child in model.children)
    model.panic(model.children[0])
    model.restart(model.children[1])
    assert (first.outcome, second.outcome) == (SendOutcome.CRASHED, SendOutcome.DOWN)


def test_a_child_added_at_run_time_leaves_the_tree_when_it_fails_for_good() -> None:
    model = tree(Never())
    planned, added = model.children[0], model.spawn(ChildPlan(Never()), "added")
    model.panic(planned)
    asked = send(model, added, Action.CRASH, SendMode.ASK)
    assert (model.children, model.removed) == ([planned], [added])
    assert (asked.outcome, send(model, added).outcome) == (SendOutcome.CRASHED, SendOutcome.DOWN)
