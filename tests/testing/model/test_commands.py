"""Programs are values: equal, hashable, printed so that one knows them again."""

import pytest

from alysd.nurseries import FixedDelay, Immediate, OnCrash, OneForAll, Overflow
from alysd.testing.model.commands import (
    ASK_SECONDS,
    GRID,
    Action,
    ChildPlan,
    PassTime,
    Program,
    SendMessage,
    SendMode,
    SpawnChild,
    TreePlan,
)
from alysd.testing.model.driver import run_program
from alysd.testing.model.tree import TICK, ask_deadline
from alysd.testing.strategies import OFFSETS


def program() -> Program:
    plan = ChildPlan(FixedDelay(seconds=0.5131), 2, Overflow.DROP_OLDEST, OnCrash.RETRY)
    commands = (
        SendMessage(0, SendMode.ASK, Action.CRASH),
        PassTime(2),
        SpawnChild(ChildPlan(Immediate())),
        SendMessage(7, SendMode.TELL),
    )
    return Program(TreePlan(OneForAll(), (plan, plan)), commands)


def test_two_programs_that_say_the_same_are_the_same() -> None:
    assert program() == program()
    assert len({program(), program()}) == 1


def test_a_program_cannot_be_changed_after_it_failed() -> None:
    with pytest.raises(AttributeError):
        program().commands[1].steps = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_a_program_says_everything_that_was_done() -> None:
    text = repr(program())
    for word in (
        "OneForAll",
        "seconds=0.5131",
        "drop oldest",
        "retry",
        "PassTime(steps=2)",
        "SpawnChild",
        "child=7",
    ):
        assert word in text


def test_a_child_beyond_the_last_is_one_of_them() -> None:
    """A program fits any tree, so that it can be made smaller from both ends."""
    run_program(program())


def test_deadlines_restarts_and_steps_never_fall_together() -> None:
    """If they did, which came first would be chance, and no model could say."""
    steps = {round(number * GRID, 6) for number in range(200)}
    deadlines = {round(ask_deadline(step), 6) for step in steps}
    assert not steps & deadlines
    assert all(
        abs(deadline - step - ASK_SECONDS) <= TICK
        for step, deadline in zip(sorted(steps), sorted(deadlines), strict=True)
    )
    once = [round(half + offset, 6) for offset in OFFSETS for half in (0.5, 1.0)]
    assert len(set(once)) == len(once)
    assert not {round(step + delay, 6) for step in steps for delay in once} & (steps | deadlines)
