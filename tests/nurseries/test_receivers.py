"""The receiving side of a worker: idle, suspended and cancelled tasks, and the urgent entries of each."""

import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import Overflow
from alysd.nurseries.asks import Pending
from alysd.nurseries.health import HealthCheck
from alysd.nurseries.inbox import Entry, Inbox
from alysd.nurseries.receivers import WorkerReceiver
from alysd.testing.echo import unstarted_child


def entry(message: object, pending: Pending | None = None) -> Entry:
    return message, 0.0, pending


async def wait_as(receiver: WorkerReceiver, name: str, woken: list[str]) -> None:
    receiver.waiter = trio.lowlevel.current_task()
    await trio.lowlevel.wait_task_rescheduled(receiver.abort_wait)
    woken.append(name)


async def test_one_idle_receiver_is_woken_for_each_value() -> None:
    inbox, woken = Inbox("a", 8, Overflow.BLOCK), list[str]()
    receivers = {name: WorkerReceiver(name, inbox) for name in ("one", "two", "three")}
    inbox.share(receivers.values())
    async with trio.open_nursery() as nursery:
        for name, receiver in receivers.items():
            nursery.start_soon(wait_as, receiver, name, woken)
        await wait_all_tasks_blocked()
        inbox.send_nowait(entry("x"))
        inbox.send_nowait(entry("y"))
        await wait_all_tasks_blocked()
        assert len(woken) == 2
        inbox.send_nowait(entry("z"))
        await wait_all_tasks_blocked()
        assert sorted(woken) == ["one", "three", "two"]
        inbox.send_nowait(entry("nobody waits"))
    assert inbox.depth == 4


async def test_an_urgent_entry_wakes_its_receiver_and_only_once() -> None:
    inbox, woken = Inbox("a", 8, Overflow.BLOCK), list[str]()
    receivers = [WorkerReceiver(name, inbox) for name in ("one", "two", "three")]
    inbox.share(receivers)
    async with trio.open_nursery() as nursery:
        for receiver in receivers:
            nursery.start_soon(wait_as, receiver, receiver.name, woken)
        await wait_all_tasks_blocked()
        for _ in range(2):
            receivers[1].send_urgent(entry("now"))
        await wait_all_tasks_blocked()
        assert woken == ["two"]
        receivers[1].send_urgent(entry("nobody waits"))
        assert len(receivers[1].urgent or ()) == 3
        nursery.cancel_scope.cancel()
    assert (inbox.waiter, inbox.spares) == (None, [])


async def test_a_receiver_that_waits_apart_gets_no_values() -> None:
    inbox, one = Inbox("a", 8, Overflow.BLOCK), HealthCheck(unstarted_child())
    receiver = WorkerReceiver("one", inbox)
    inbox.share([receiver])
    assert not receiver.waits_for_any
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.wait)
        await wait_all_tasks_blocked()
        inbox.send_nowait(entry("x"))
        await wait_all_tasks_blocked()
        assert inbox.waiter is None
        receiver.send_urgent(entry("check", one))
    receiver.clear_urgent("its instance ended")
    receiver.clear_urgent("there are none")
    assert str(one.error) == "one is down: its instance ended"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.wait)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    receiver.waiter = None
    assert receiver.waiter is None
