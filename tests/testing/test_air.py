"""Messages on their way: straight, lost, late, doubled; and who sent them."""

from collections.abc import Sequence
from random import Random

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import ActorDown, Address, AskTimeout, Bus, MailboxFull, OnCrash, Overflow, actor
from alysd.testing.air import Air, FaultyAddress, Passage
from alysd.testing.harness import ActorTestHarness
from alysd.testing.probe import StandIn
from tests.testing.kit import Book, Count, GetBalance, Ledger, Till, TillActor, Withdraw


def lose(passage: Passage, rng: Random) -> Sequence[Passage]:
    return ()


def late(passage: Passage, rng: Random) -> Sequence[Passage]:
    return (attrs.evolve(passage, delay=2.0),)


def twice(passage: Passage, rng: Random) -> Sequence[Passage]:
    return passage, attrs.evolve(passage, delay=1.0)


class Shop:
    """A till behind an air, and what it counted."""

    def __init__(self) -> None:
        self.harness = ActorTestHarness()
        self.air = Air()
        self.counted: list[int] = []
        self.ledger = StandIn[Ledger]("ledger", self.harness.transcript)
        self.ledger.on(GetBalance).answers(5)
        self.till = FaultyAddress[Till]("till", self.air)
        self.child = actor(self.till, lambda: TillActor(self.ledger, self.counted))


async def test_clear_air_changes_nothing(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child):
        shop.till.tell(Count(1))
        await shop.till.send(Count(2))
        assert await shop.till.ask(Withdraw(3)) == 2
    assert shop.counted == [1, 2]
    assert (shop.air.sent, shop.air.lost) == (0, 0)


async def test_a_lost_tell_is_gone_and_a_lost_ask_times_out(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child):
        with shop.air.bent(lose):
            shop.till.tell(Count(1))
            await shop.till.send(Count(2))
            began = trio.current_time()
            with pytest.raises(AskTimeout, match="no answer from till to Withdraw within 3 s"):
                await shop.till.ask(Withdraw(1), seconds=3)
            assert trio.current_time() - began == 3
        shop.till.tell(Count(3))
    assert shop.counted == [3]
    assert (shop.air.sent, shop.air.lost) == (3, 3)


async def test_a_late_message_is_passed_by_others_and_arrives(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child), trio.open_nursery() as nursery:
        nursery.start_soon(shop.air.carry)
        with shop.air.bent(late):
            shop.till.tell(Count(1))
            await shop.till.send(Count(2))
        shop.till.tell(Count(3))
        await trio.sleep(1.9)
        assert shop.counted == [3]
        await shop.air.clear()
        await shop.harness.settle()
        assert shop.counted == [3, 1, 2]
        nursery.cancel_scope.cancel()
    assert shop.air.delayed == 2


async def test_a_late_question_takes_of_the_askers_patience(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child):
        with shop.air.bent(late):
            assert await shop.till.ask(Withdraw(1), seconds=3) == 4
            assert trio.current_time() == 2
            with pytest.raises(AskTimeout):
                await shop.till.ask(Withdraw(1), seconds=1.5)
            assert trio.current_time() == 3.5


async def test_doubled_messages_are_handled_twice_and_answered_once(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child), trio.open_nursery() as nursery:
        nursery.start_soon(shop.air.carry)
        with shop.air.bent(twice):
            shop.till.tell(Count(1))
            assert await shop.till.ask(Withdraw(1)) == 4
        await shop.air.clear()
        await shop.harness.settle()
        nursery.cancel_scope.cancel()
    assert shop.counted == [1, 1]
    assert shop.ledger.received.count(Book(1)) == 2
    assert shop.air.doubled == 2


async def test_what_arrives_late_at_a_full_mailbox_is_lost_and_counted(autojump_clock: MockClock) -> None:
    air = Air()
    till = FaultyAddress[Till]("till", air, capacity=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(air.carry)
        with air.bent(late):
            till.tell(Count(1))
            till.tell(Count(2))
        await air.clear()
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert (till.depth, air.lost) == (1, 1)


async def test_the_sender_is_the_child_that_sends(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    air = Air()
    seen: list[tuple[str, str]] = []

    def note(passage: Passage, rng: Random) -> Sequence[Passage]:
        seen.append((passage.sender, passage.to))
        return (passage,)

    ledger = FaultyAddress[Ledger]("ledger", air)
    till = FaultyAddress[Till]("till", air)
    async with harness.running(actor(till, lambda: TillActor(ledger))):
        with air.bent(note), pytest.raises(ActorDown, match="ledger is down"):
            await till.ask(Withdraw(1), seconds=1)
    assert seen == [("test", "till"), ("till", "ledger")]


async def test_events_of_a_bus_pass_through_the_air() -> None:
    air, bus = Air(), Bus()
    bus.filters.append(air.passes)
    with bus.subscribe(int, who="till") as events:
        bus.publish(1, sender="ledger")
        with air.bent(lose):
            bus.publish(2, sender="ledger")
        assert events.receive_nowait() == 1
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    assert bus.filtered == 1


async def test_an_address_like_another_keeps_its_mailbox_and_policies() -> None:
    address = Address[Till]("till", capacity=1, overflow=Overflow.FAIL, on_crash=OnCrash.RETRY)
    faulty = FaultyAddress[Till].like(address, Air())
    assert (faulty.name, faulty.on_crash) == ("till", OnCrash.RETRY)
    faulty.tell(Count())
    with pytest.raises(MailboxFull):
        await faulty.send(Count())
