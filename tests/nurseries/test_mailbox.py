"""The mailbox as a channel: order, bounds, overflow policies, cancellation and closing."""

import math

import pytest
import trio
from trio.testing import MockClock, Sequencer, wait_all_tasks_blocked

from alysd.nurseries import ActorDown, Backoff, Mailbox, MailboxFull, Overflow
from alysd.nurseries.mailbox import TURNS, Ticket, maybe_checkpoint
from alysd.testing.virtual_time import seeded


def test_delays_grow_by_the_factor_and_end_after_the_retries() -> None:
    assert list(Backoff(retries=4, first_seconds=0.5, factor=3).delays()) == [0.5, 1.5, 4.5, 13.5]


def test_numbers_that_make_no_sense_are_refused() -> None:
    for wrong in ({"retries": 0}, {"first_seconds": 0.0}, {"factor": 0.5}):
        with pytest.raises(ValueError, match="must be"):
            Backoff(**wrong)  # pyright: ignore[reportArgumentType]


async def test_it_is_a_trio_channel_that_ends_when_closed() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 10)
    send: trio.abc.SendChannel[int] = mailbox
    receive: trio.abc.ReceiveChannel[int] = mailbox
    for number in range(3):
        await send.send(number)
    await send.aclose()
    assert [number async for number in receive] == [0, 1, 2]


def test_a_mailbox_without_room_for_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be a whole number of at least 1, not 0"):
        Mailbox("m", 0)


async def test_a_full_mailbox_makes_senders_wait_in_line_and_admits_them_in_order() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1)
    await mailbox.send(0)
    async with trio.open_nursery() as nursery:
        for number in (1, 2, 3):
            nursery.start_soon(mailbox.send, number)
            await wait_all_tasks_blocked()
        assert len(mailbox) == 1
        with pytest.raises(MailboxFull):
            mailbox.send_nowait(9)  # nobody overtakes those in line
        assert [await mailbox.receive() for _ in range(4)] == [0, 1, 2, 3]
    mailbox.send_nowait(4)
    assert await mailbox.receive() == 4


async def test_a_send_cancelled_in_line_was_not_sent_and_leaves_the_place_to_others() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1)
    mailbox.send_nowait(0)
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def impatient() -> None:
            with first:
                await mailbox.send(1)

        nursery.start_soon(impatient)
        await wait_all_tasks_blocked()
        nursery.start_soon(mailbox.send, 2)
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
        assert [await mailbox.receive() for _ in range(2)] == [0, 2]
    assert mailbox.dropped == 0


async def test_a_line_that_everyone_left_no_longer_keeps_newcomers_out() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 2)
    mailbox.send_nowait(0)
    mailbox.send_nowait(1)
    with trio.move_on_after(0):
        await mailbox.send(2)
    ticket = Ticket(3, None)
    mailbox.join_line(ticket)
    mailbox.queue.popleft()
    mailbox.leave_line(ticket)
    mailbox.leave_line(ticket)  # once is enough, twice does no harm
    mailbox.send_nowait(4)
    assert list(mailbox.queue) == [1, 4]


async def test_a_cancelled_send_is_noticed_within_a_budget_of_turns_and_is_not_queued() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 10 * TURNS)
    with trio.CancelScope() as scope:
        scope.cancel()
        for number in range(2 * TURNS):
            await mailbox.send(number)
    assert scope.cancelled_caught
    assert len(mailbox) < TURNS
    assert list(mailbox.queue) == list(range(len(mailbox)))


async def test_other_tasks_get_their_turn_while_one_only_receives() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(10 * TURNS):
            await maybe_checkpoint()
        nursery.cancel_scope.cancel()
    assert turns >= 9


async def test_urgent_values_come_before_the_queue_and_beyond_its_bound() -> None:
    mailbox: Mailbox[str] = Mailbox("m", 1)
    mailbox.send_nowait("usual")
    mailbox.send_urgent("first")
    mailbox.send_urgent("second")
    assert [await mailbox.receive() for _ in range(3)] == ["first", "second", "usual"]


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"), [(Overflow.DROP_OLDEST, [1, 2], [0]), (Overflow.DROP_NEWEST, [0, 1], [2])]
)
async def test_a_dropping_policy_counts_what_it_drops(
    policy: Overflow, kept: list[int], dropped: list[int]
) -> None:
    class PersistentState(Mailbox[int]):
        def drop(self, value: int, reason: str) -> None:
            super().drop(value, reason)
            lost.append(value)
            assert reason == "mailbox full"

    lost: list[int] = []
    mailbox = PersistentState("m", 2, policy)
    for number in range(3):
        await mailbox.send(number)
    assert [await mailbox.receive() for _ in range(2)] == kept
    assert lost == dropped
    assert mailbox.dropped == 1


async def test_the_failing_policy_tells_the_sender_which_mailbox_and_how_full() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1, Overflow.FAIL)
    await mailbox.send(0)
    with pytest.raises(trio.WouldBlock) as caught:
        await mailbox.send(1)
    assert str(caught.value) == "mailbox m is full (1 messages)"


async def test_backoff_tries_again_with_growing_delays_then_gives_up(autojump_clock: MockClock) -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1, Backoff(retries=3, first_seconds=1.0, factor=2.0))
    await mailbox.send(0)
    began = trio.current_time()
    with pytest.raises(MailboxFull):
        await mailbox.send(1)
    assert math.isclose(trio.current_time() - began, 1 + 2 + 4)


async def test_backoff_delivers_when_there_is_room_in_time(autojump_clock: MockClock) -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1, Backoff(retries=2, first_seconds=1.0))
    await mailbox.send(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.send, 1)
        await trio.sleep(0.5)
        assert await mailbox.receive() == 0
    assert await mailbox.receive() == 1


async def test_closing_refuses_new_senders_and_those_in_line_but_keeps_what_was_sent() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1)
    mailbox.send_nowait(0)
    refused: list[int] = []

    async def sender() -> None:
        with pytest.raises(ActorDown):
            await mailbox.send(1)
        refused.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        await wait_all_tasks_blocked()
        mailbox.join_line(Ticket(2, None))
        mailbox.close()
    assert refused == [1]
    assert mailbox.dropped == 1  # the value that stood in line without a task to tell
    with pytest.raises(trio.BrokenResourceError):
        mailbox.send_nowait(3)
    assert mailbox.receive_nowait() == 0
    with pytest.raises(trio.EndOfChannel):
        await mailbox.receive()
    mailbox.reopen()
    mailbox.send_nowait(4)
    assert await mailbox.receive() == 4


async def test_closing_a_backoff_mailbox_ends_the_retries() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1, Backoff(first_seconds=0.001))
    mailbox.send_nowait(0)
    mailbox.close()
    with pytest.raises(ActorDown):
        await mailbox.send(1)


async def test_a_receiver_sleeps_until_something_comes_and_only_one_may() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1)
    order = Sequencer()
    async with trio.open_nursery() as nursery:

        async def receiver() -> None:
            async with order(0):
                pass
            assert await mailbox.receive() == 7

        nursery.start_soon(receiver)
        await wait_all_tasks_blocked()
        async with order(1):
            with pytest.raises(trio.BusyResourceError):
                await mailbox.receive()
        await mailbox.send(7)


async def test_a_cancelled_receiver_loses_nothing() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 1)
    with trio.move_on_after(0):
        await mailbox.receive()
    mailbox.send_nowait(1)
    assert await mailbox.receive() == 1


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_doubled_or_reordered_by_cancellation_and_overflow(seed: int) -> None:
    """Senders that are cancelled at random, small mailboxes: received = sent - dropped, each sender in order."""
    rng = seeded(seed)
    policy = rng.choice([Overflow.BLOCK, Overflow.DROP_OLDEST, Overflow.DROP_NEWEST])
    lost: list[tuple[int, int]] = []

    class PersistentState(Mailbox[tuple[int, int]]):
        def drop(self, value: tuple[int, int], reason: str) -> None:
            super().drop(value, reason)
            lost.append(value)

    async def main() -> None:
        mailbox = PersistentState("m", rng.randint(1, 5), policy)
        sent: set[tuple[int, int]] = set()
        received: list[tuple[int, int]] = []

        async def sender(me: int) -> None:
            for number in range(60):
                with trio.move_on_after(rng.choice([0, 0.5, 2])):
                    await mailbox.send((me, number))
                    sent.add((me, number))
                if rng.random() < 0.3:
                    await trio.sleep(rng.random())

        async def receiver() -> None:
            async for value in mailbox:
                received.append(value)
                if rng.random() < 0.3:
                    await trio.sleep(rng.random())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver)
            async with trio.open_nursery() as senders:
                for me in range(4):
                    senders.start_soon(sender, me)
            mailbox.close()
        assert len(received) == len(set(received))
        assert set(received) | set(lost) == sent
        assert not set(received) & set(lost)
        for me in range(4):
            numbers = [number for sender_, number in received if sender_ == me]
            assert numbers == sorted(numbers)

    trio.run(main, clock=MockClock(autojump_threshold=0))
