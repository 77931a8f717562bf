"""The queue of answers and events for one WebSocket client, and its bounds."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from alysd.embedded.rpc.outbox import Outbox, QueuedAnswer, QueuedEvent, TooFarBehind
from alysd.embedded.rpc.subscriptions import Notification


def nothing() -> Iterator[Notification | None]:
    return iter(())


async def test_answers_and_events_leave_in_the_order_they_came() -> None:
    """So that the id of a subscription comes before its notifications."""
    box, first, last = Outbox(100, 100), nothing(), nothing()
    box.tell(first, 1)
    answer = box.answer(b"two")
    box.tell(last, 1)
    one, two, three = [await box.take() for _ in range(3)]
    assert isinstance(one, QueuedEvent)
    assert one.notifications is first
    assert two is answer
    assert not answer.sent.is_set()
    assert isinstance(three, QueuedEvent)
    assert three.notifications is last


async def test_taking_waits_for_an_answer() -> None:
    box, taken = Outbox(100, 100), trio.Event()

    async def take() -> None:
        found = await box.take()
        assert isinstance(found, QueuedAnswer)
        assert found.json == b"late"
        taken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        assert not taken.is_set()
        box.answer(b"late")
    assert taken.is_set()


async def test_too_many_events_are_too_far_behind() -> None:
    box = Outbox(3, 100)
    for _ in range(3):
        box.tell(nothing(), 1)
    with pytest.raises(TooFarBehind):
        box.tell(nothing(), 1)
    await box.take()
    box.tell(nothing(), 1)


async def test_too_many_bytes_are_too_far_behind() -> None:
    box = Outbox(100, 10)
    box.tell(nothing(), 10)
    with pytest.raises(TooFarBehind):
        box.tell(nothing(), 1)
    await box.take()
    box.tell(nothing(), 10)


async def test_one_event_may_have_any_size() -> None:
    """The client that reads at once must not be dropped for one large block."""
    box = Outbox(100, 10)
    box.tell(nothing(), 1_000)
    await box.take()
    box.tell(nothing(), 1_000)


async def test_an_answer_does_not_count() -> None:
    """The client asked for it, and the requests without an answer are bounded."""
    box = Outbox(1, 10)
    for _ in range(3):
        box.answer(b"x" * 1_000)
    box.tell(nothing(), 10)
    with pytest.raises(TooFarBehind):
        box.tell(nothing(), 1)
