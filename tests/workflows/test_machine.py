"""The driver of workflows: moves only as the table says, and tells of every move."""

import attrs
import pytest

from alysd.messages.events import WorkflowMoved
from alysd.workflows.machine import Machine, NoSuchTransition, Transitions


@attrs.frozen
class Idle:
    done: int


@attrs.frozen
class Busy:
    done: int


@attrs.frozen
class Begin:
    pass


@attrs.frozen
class Finish:
    more: int


TABLE: Transitions = {
    (Idle, Begin): lambda state, _event: Busy(state.done),
    (Busy, Finish): lambda state, event: Idle(state.done + event.more),
}


def machine(moves: list[WorkflowMoved]) -> Machine[Idle | Busy, Begin | Finish]:
    return Machine("demo", TABLE, Idle(0), moves.append)


def test_moves_carry_the_values_of_state_and_event() -> None:
    run = machine([])
    run.move(Begin())
    assert run.move(Finish(3)) == Idle(3)
    assert run.state == Idle(3)


def test_every_move_is_published_by_name_and_in_order() -> None:
    moves: list[WorkflowMoved] = []
    run = machine(moves)
    run.move(Begin())
    run.move(Finish(1))
    assert moves == [WorkflowMoved("demo", "Busy"), WorkflowMoved("demo", "Idle")]


def test_what_the_table_lacks_is_refused_and_changes_nothing() -> None:
    moves: list[WorkflowMoved] = []
    run = machine(moves)
    with pytest.raises(NoSuchTransition, match="demo: no transition from Idle on Finish"):
        run.move(Finish(1))
    assert run.state == Idle(0)
    assert moves == []
