"""The lifecycle table, walked: every pair is either a way or refused."""

from itertools import product

import pytest
import trio

from alysd.nurseries import TRANSITIONS, IllegalTransition, State
from alysd.nurseries.actor_child import TaskChild
from alysd.nurseries.child import Runtime
from alysd.nurseries.spec import task
from alysd.nurseries.wheel import Wheel
from tests.nurseries.kit import Nobody, seeded


@pytest.mark.parametrize(("old", "new"), list(product(State, State)))
async def test_a_child_goes_only_where_the_table_has_a_way(old: State, new: State) -> None:
    child = TaskChild(task("t", trio.sleep_forever), Nobody(), Runtime(Wheel(), None, seeded(0)))
    child.state = old
    if new in TRANSITIONS[old]:
        child.move(new)
        assert child.state is new
    else:
        with pytest.raises(IllegalTransition, match=f"t cannot go from {old.value} to {new.value}"):
            child.move(new)
        assert child.state is old


def test_every_state_can_be_reached_and_every_life_can_end() -> None:
    reached = {State.UNINITIALIZED}
    while True:
        further = reached.union(*(TRANSITIONS[state] for state in reached))
        if further == reached:
            break
        reached = further
    assert reached == set(State)

    ends = {State.STOPPED}
    while True:
        more = ends | {state for state in State if TRANSITIONS[state] & ends}
        if more == ends:
            break
        ends = more
    assert ends == set(State)
