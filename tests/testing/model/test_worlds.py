"""Worlds: which outcomes of overlapping operations are allowed, and which are not."""

from alysd.nurseries import Immediate, OneForOne, State
from alysd.testing.model.commands import (
    Action,
    ChildPlan,
    Operation,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMode,
    SpawnChild,
    StopChild,
    SuspendChild,
    TreePlan,
)
from alysd.testing.model.mailbox import Message, SendOutcome
from alysd.testing.model.tree import TreeModel
from alysd.testing.model.worlds import Call, Done, Worlds

NAME = "child 0"


def worlds(*calls: tuple[Operation, Done]) -> Worlds:
    """The worlds after these calls for the only child."""
    found = Worlds(TreeModel(TreePlan(OneForOne(), (ChildPlan(Immediate()),))))
    found.branch([Call(operation, NAME, done) for operation, done in calls])
    return found


def outcomes(found: Worlds) -> set[tuple[State, int]]:
    children = [model.child(NAME) for model in found]
    return {(child.state, child.restarts) for child in children}


def test_overlapping_operations_end_as_in_one_of_their_orders() -> None:
    found = worlds((StopChild(0), Done.RETURNED), (RestartChild(0), Done.RETURNED))
    assert outcomes(found) == {(State.STOPPED, 1), (State.RUNNING, 1)}


def test_a_cancelled_operation_was_done_or_not() -> None:
    found = worlds((SuspendChild(0), Done.RETURNED), (RestartChild(0), Done.CANCELLED))
    assert outcomes(found) == {(State.SUSPENDED, 0), (State.SUSPENDED, 1), (State.RUNNING, 1)}


def test_a_refused_operation_was_not_done() -> None:
    assert outcomes(worlds((RestartChild(0), Done.REFUSED), (StopChild(0), Done.RETURNED))) == {(State.STOPPED, 0)}


def test_two_equal_operations_may_be_one() -> None:
    found = worlds((RestartChild(0), Done.RETURNED), (RestartChild(5), Done.RETURNED))  # 5 is modulo their number
    assert outcomes(found) == {(State.RUNNING, 1), (State.RUNNING, 2)}


def test_worlds_that_cannot_be_told_apart_are_one() -> None:
    found = worlds((SuspendChild(0), Done.RETURNED), (RemoveChild(0), Done.RETURNED))
    assert len(list(found)) == 1
    assert found.any.child(NAME).removed


def test_a_world_is_independent_of_the_others() -> None:
    first = TreeModel(TreePlan(OneForOne(), (ChildPlan(Immediate()),)))
    found = Worlds(first)
    found.branch([Call(StopChild(0), NAME, Done.RETURNED), Call(SpawnChild(ChildPlan(Immediate())), "child 1")])
    assert first.child(NAME).state is State.RUNNING
    assert sorted(len(model.children) for model in found) == [1, 2]


def test_worlds_that_differ_from_the_tree_are_discarded_unless_all_do() -> None:
    found = worlds((ResumeChild(0), Done.RETURNED), (RestartChild(0), Done.CANCELLED))
    assert found.keep(lambda model: "restarted" if model.child(NAME).restarts else None) is None
    assert outcomes(found) == {(State.RUNNING, 0)}
    assert found.keep(lambda _: "nothing is right") == "nothing is right (1 possible outcomes)"
    assert outcomes(found) == {(State.RUNNING, 0)}


def test_a_restart_may_replace_a_stop_that_has_not_ended() -> None:
    """Else a message whose answer is deferred would have to be handled by the instance that stops."""
    found = Worlds(TreeModel(TreePlan(OneForOne(), (ChildPlan(Immediate()),))))
    child = found.any.child(NAME)
    found.any.suspend(child)
    found.any.send(child, Message(0, SendMode.ASK, Action.DEFER, 1.0))
    found.branch([Call(StopChild(0), NAME, Done.RETURNED), Call(RestartChild(0), NAME, Done.RETURNED)])
    asked = {(model.child(NAME).state, model.messages[0].outcome) for model in found}
    assert asked == {
        (State.RUNNING, SendOutcome.WAITING),
        (State.RUNNING, SendOutcome.DOWN),
        (State.STOPPED, SendOutcome.DOWN),
    }
