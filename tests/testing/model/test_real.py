"""The real side of a program: what an actor does with a deed, and what its sender is told."""

import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import CircuitBreaker, Immediate, OneForOne, Overflow, RestartPolicy, open_system, supervisor
from alysd.testing.model.commands import ASK_PATIENCE, ChildPlan, Deed, Manner
from alysd.testing.model.mailbox import Fate
from alysd.testing.model.real import RealChild


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Trips are what it is for."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")


def child(restart: RestartPolicy | None = None, overflow: Overflow = Overflow.BLOCK) -> RealChild:
    return RealChild.of("child", ChildPlan(restart or Immediate(), 1, overflow))


@pytest.mark.parametrize(
    ("manner", "deed", "fate"),
    [
        (Manner.TELL, Deed.WRITE, Fate.SENT),
        (Manner.SEND, Deed.REFUSE, Fate.SENT),
        (Manner.SEND, Deed.TRIP, Fate.SENT),
        (Manner.ASK, Deed.WRITE, Fate.ANSWERED),
        (Manner.ASK, Deed.REFUSE, Fate.REFUSED),
        (Manner.ASK, Deed.TRIP, Fate.CRASHED),
    ],
)
async def test_a_sender_is_told_what_its_deed_came_to(
    manner: Manner, deed: Deed, fate: Fate, autojump_clock: MockClock
) -> None:
    real = child()
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])):
        assert await real.give(4, manner, deed) is fate
        await wait_all_tasks_blocked()
        assert real.written == ([4] if deed is Deed.WRITE else [])


async def test_nobody_there_no_room_and_no_answer_are_told_apart(autojump_clock: MockClock) -> None:
    real = child(overflow=Overflow.FAIL)
    assert await real.give(0, Manner.ASK, Deed.WRITE) is Fate.DOWN
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])) as system:
        system.suspend("child")
        await wait_all_tasks_blocked()
        began = trio.current_time()
        assert await real.give(1, Manner.ASK, Deed.WRITE) is Fate.TIMEOUT
        assert trio.current_time() - began == pytest.approx(ASK_PATIENCE, abs=0.01)
        assert await real.give(2, Manner.TELL, Deed.WRITE) is Fate.FULL
        assert real.counts()["waiting"] == 1
    assert await real.give(3, Manner.SEND, Deed.WRITE) is Fate.DOWN
    assert real.counts()["abandoned"] == 1


async def test_an_open_circuit_is_told_apart_from_an_actor_that_is_down_for_good(
    autojump_clock: MockClock,
) -> None:
    real = child(CircuitBreaker(failures=1, open_seconds=3.0))
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])):
        assert await real.give(0, Manner.ASK, Deed.TRIP) is Fate.CRASHED
        await wait_all_tasks_blocked()
        assert await real.give(1, Manner.ASK, Deed.WRITE) is Fate.OPEN
        await trio.sleep(3.0)
        await wait_all_tasks_blocked()
        assert await real.give(2, Manner.ASK, Deed.WRITE) is Fate.ANSWERED
    assert real.written == [2]
