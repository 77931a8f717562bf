"""What waits for one WebSocket client."""

import pytest
import trio
import trio.testing

from alysd.embedded.rpc.outbox import Outbox, TooFarBehind


async def test_messages_leave_in_the_order_they_came() -> None:
    box = Outbox(100, 100)
    box.notify("one")
    answer = box.answer("two")
    box.notify("three")
    assert [(await box.take()).text for _ in range(3)] == ["one", "two", "three"]
    assert not answer.sent.is_set()


async def test_taking_waits_for_a_message() -> None:
    box, taken = Outbox(100, 100), trio.Event()

    async def take() -> None:
        assert (await box.take()).text == "late"
        taken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        assert not taken.is_set()
        box.notify("late")
    assert taken.is_set()


async def test_too_many_notifications_overflow() -> None:
    box = Outbox(3, 100)
    for _ in range(3):
        box.notify("x")
    with pytest.raises(TooFarBehind):
        box.notify("x")
    await box.take()
    box.notify("x")


async def test_too_many_bytes_overflow() -> None:
    box = Outbox(100, 10)
    box.notify("x" * 10)
    with pytest.raises(TooFarBehind):
        box.notify("x")
    await box.take()
    box.notify("x" * 10)


async def test_an_answer_does_not_count() -> None:
    """It is as large as the client asked for, and there is one at a time."""
    box = Outbox(100, 10)
    box.answer("x" * 1000)
    box.notify("x" * 10)
    assert len((await box.take()).text) == 1000
    with pytest.raises(TooFarBehind):
        box.notify("x")
