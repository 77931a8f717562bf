"""Snapshots are plain values: nothing in them changes when the system goes on."""

import attrs
import pytest
import trio

from alysd.nurseries import OneForOne, State, supervisor, task
from tests.nurseries.kit import Note, Say, echo, running


async def test_a_snapshot_stays_as_it_was_taken() -> None:
    address, child = echo()
    async with running([child]) as system:
        before = system.snapshot()
        for _ in range(3):
            address.tell(Note("x"))
        await address.ask(Say("done"))
        after = system.snapshot()
    assert before.state is after.state is State.RUNNING
    mailboxes = [snapshot.children[0].mailbox for snapshot in (before, after)]
    assert [mailbox.handled for mailbox in mailboxes if mailbox] == [0, 4]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.restarts = 1  # pyright: ignore[reportAttributeAccessIssue]


async def test_walking_goes_down_the_tree_in_start_order() -> None:
    inner = supervisor("Inner", OneForOne(), [echo("a")[1], echo("b")[1]])
    async with running([inner, task("last", trio.sleep_forever)]) as system:
        assert [node.name for node in system.snapshot().walk()] == ["Root", "Inner", "a", "b", "last"]
