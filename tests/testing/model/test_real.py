"""The real side of a program: what an actor does with a action, and what its sender is told."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import CircuitBreaker, Immediate, OneForOne, Overflow, RestartPolicy, open_system, supervisor
from alysd.testing.model.commands import ASK_SECONDS, Action, ChildPlan, SendMode
from alysd.testing.model.mailbox import SendOutcome
from alysd.testing.model.real import RECORDS, RealChild


def child(
    restart: RestartPolicy | None = None, overflow: Overflow = Overflow.BLOCK, stop_turns: int = 0
) -> RealChild:
    return RealChild.of("child", ChildPlan(restart or Immediate(), 1, overflow, stop_turns=stop_turns))


async def test_a_background_is_counted_while_it_runs(autojump_clock: MockClock) -> None:
    real = RealChild.of("child", ChildPlan(Immediate(), background=True))
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])) as system:
        for restarts, raises in enumerate((True, False)):
            await wait_all_tasks_blocked()
            assert real.counts()["backgrounds"] == 1
            assert system.snapshot().children[0].restarts == restarts
            real.background.end(raises=raises)
    assert real.counts()["backgrounds"] == 0


async def test_a_process_does_the_same_and_can_be_killed(autojump_clock: MockClock) -> None:
    real = RealChild.of("child", ChildPlan(Immediate(), process=True))
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])) as system:
        assert await real.send(1, SendMode.ASK, Action.WRITE) is SendOutcome.ANSWERED
        assert await real.send(2, SendMode.TELL, Action.WRITE) is SendOutcome.SENT
        await wait_all_tasks_blocked()
        real.double.kill("child")
        await wait_all_tasks_blocked()
        assert (real.written, system.snapshot().children[0].restarts) == ([1, 2], 1)
    assert RECORDS.decode(RECORDS.encode("plain")) == "plain"


@pytest.mark.parametrize(
    ("mode", "action", "outcome"),
    [
        (SendMode.TELL, Action.WRITE, SendOutcome.SENT),
        (SendMode.SEND, Action.REFUSE, SendOutcome.SENT),
        (SendMode.SEND, Action.CRASH, SendOutcome.SENT),
        (SendMode.ASK, Action.WRITE, SendOutcome.ANSWERED),
        (SendMode.ASK, Action.REFUSE, SendOutcome.REFUSED),
        (SendMode.ASK, Action.CRASH, SendOutcome.CRASHED),
    ],
)
async def test_a_sender_is_told_what_its_deed_came_to(
    mode: SendMode, action: Action, outcome: SendOutcome, autojump_clock: MockClock
) -> None:
    real = child()
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])):
        assert await real.send(4, mode, action) is outcome
        await wait_all_tasks_blocked()
        assert real.written == ([4] if action is Action.WRITE else [])


async def test_nobody_there_no_room_and_no_answer_are_told_apart(autojump_clock: MockClock) -> None:
    real = child(overflow=Overflow.FAIL)
    assert await real.send(0, SendMode.ASK, Action.WRITE) is SendOutcome.DOWN
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])) as system:
        system.suspend("child")
        await wait_all_tasks_blocked()
        began = trio.current_time()
        assert await real.send(1, SendMode.ASK, Action.WRITE) is SendOutcome.TIMEOUT
        assert trio.current_time() - began == pytest.approx(ASK_SECONDS, abs=0.01)
        assert await real.send(2, SendMode.TELL, Action.WRITE) is SendOutcome.SENT, "the ask gave its place back"
        assert await real.send(3, SendMode.TELL, Action.WRITE) is SendOutcome.FULL
        assert real.counts()["waiting"] == 1
    assert await real.send(4, SendMode.SEND, Action.WRITE) is SendOutcome.DOWN
    assert real.counts()["abandoned"] == 1


async def test_an_open_circuit_is_told_apart_from_an_actor_that_is_down_for_good(
    autojump_clock: MockClock,
) -> None:
    real = child(CircuitBreaker(failures=1, open_seconds=3.0))
    async with open_system(supervisor("Root", OneForOne(), [real.spec()])):
        assert await real.send(0, SendMode.ASK, Action.CRASH) is SendOutcome.CRASHED
        await wait_all_tasks_blocked()
        assert await real.send(1, SendMode.ASK, Action.WRITE) is SendOutcome.OPEN
        await trio.sleep(3.0)
        await wait_all_tasks_blocked()
        assert await real.send(2, SendMode.ASK, Action.WRITE) is SendOutcome.ANSWERED
    assert real.written == [2]


async def test_a_child_takes_turns_to_stop_but_not_to_crash(autojump_clock: MockClock) -> None:
    real = child(Immediate(), stop_turns=50)
    turns = 0
    async with (
        open_system(supervisor("Root", OneForOne(), [real.spec()])) as system,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(system.restart, real.address.name)
        while not system.snapshot().children[0].restarts:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert await real.send(0, SendMode.ASK, Action.CRASH) is SendOutcome.CRASHED
        assert system.snapshot().children[0].restarts == 2
    assert turns >= 50
