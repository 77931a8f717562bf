"""Messages on their way: straight, lost, late, doubled; and who sent them."""

from collections.abc import Sequence
from random import Random

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import ActorDown, Address, AskTimeout, Bus, MailboxFull, OnCrash, Overflow, actor
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.testing.till import Book, Count, GetBalance, Ledger, Till, TillActor, Withdraw
from alysd.testing.transport import Delivery, Transport, TransportAddress


def lose(delivery: Delivery, rng: Random) -> Sequence[Delivery]:
    return ()


def late(delivery: Delivery, rng: Random) -> Sequence[Delivery]:
    return (attrs.evolve(delivery, delay=2.0),)


def twice(delivery: Delivery, rng: Random) -> Sequence[Delivery]:
    return delivery, attrs.evolve(delivery, delay=1.0)


class Shop:
    """A till behind a transport, and what it counted."""

    def __init__(self) -> None:
        self.harness = ActorTestHarness()
        self.transport = Transport()
        self.counted: list[int] = []
        self.ledger = StandIn[Ledger]("ledger", self.harness.transcript)
        self.ledger.on(GetBalance).answers(5)
        self.till = TransportAddress[Till]("till", self.transport)
        self.child = actor(self.till, lambda: TillActor(self.ledger, self.counted))


async def test_a_transport_without_faults_changes_nothing(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child):
        shop.till.tell(Count(1))
        await shop.till.send(Count(2))
        assert await shop.till.ask(Withdraw(3)) == 2
    assert shop.counted == [1, 2]
    assert (shop.transport.sent, shop.transport.lost) == (0, 0)


async def test_a_lost_tell_is_gone_and_a_lost_ask_times_out(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child):
        with shop.transport.applying(lose):
            shop.till.tell(Count(1))
            await shop.till.send(Count(2))
            began = trio.current_time()
            with pytest.raises(AskTimeout, match="no answer from till to Withdraw within 3 s"):
                await shop.till.ask(Withdraw(1), seconds=3)
            assert trio.current_time() - began == 3
        shop.till.tell(Count(3))
    assert shop.counted == [3]
    assert (shop.transport.sent, shop.transport.lost) == (3, 3)


async def test_a_late_message_is_passed_by_others_and_arrives(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child), trio.open_nursery() as nursery:
        nursery.start_soon(shop.transport.run)
        with shop.transport.applying(late):
            shop.till.tell(Count(1))
            await shop.till.send(Count(2))
        shop.till.tell(Count(3))
        await trio.sleep(1.9)
        assert shop.counted == [3]
        await shop.transport.drain()
        await shop.harness.settle()
        assert shop.counted == [3, 1, 2]
        nursery.cancel_scope.cancel()
    assert shop.transport.delayed == 2


async def test_a_late_question_uses_up_the_askers_timeout(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child):
        with shop.transport.applying(late):
            assert await shop.till.ask(Withdraw(1), seconds=3) == 4
            assert trio.current_time() == 2
            with pytest.raises(AskTimeout):
                await shop.till.ask(Withdraw(1), seconds=1.5)
            assert trio.current_time() == 3.5


async def test_doubled_messages_are_handled_twice_and_answered_once(autojump_clock: MockClock) -> None:
    shop = Shop()
    async with shop.harness.running(shop.child), trio.open_nursery() as nursery:
        nursery.start_soon(shop.transport.run)
        with shop.transport.applying(twice):
            shop.till.tell(Count(1))
            assert await shop.till.ask(Withdraw(1)) == 4
        await shop.transport.drain()
        await shop.harness.settle()
        nursery.cancel_scope.cancel()
    assert shop.counted == [1, 1]
    assert shop.ledger.received.count(Book(1)) == 2
    assert shop.transport.duplicated == 2


async def test_what_arrives_late_at_a_full_mailbox_is_lost_and_counted(autojump_clock: MockClock) -> None:
    transport = Transport()
    till = TransportAddress[Till]("till", transport, capacity=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run)
        with transport.applying(late):
            till.tell(Count(1))
            till.tell(Count(2))
        await transport.drain()
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert (till.depth, transport.lost) == (1, 1)


async def test_the_sender_is_the_child_that_sends(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    transport = Transport()
    seen: list[tuple[str, str]] = []

    def note(delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        seen.append((delivery.sender, delivery.to))
        return (delivery,)

    ledger = TransportAddress[Ledger]("ledger", transport)
    till = TransportAddress[Till]("till", transport)
    async with harness.running(actor(till, lambda: TillActor(ledger))):
        with transport.applying(note), pytest.raises(ActorDown, match="ledger is down"):
            await till.ask(Withdraw(1), seconds=1)
    assert seen == [("test", "till"), ("till", "ledger")]


async def test_events_of_a_bus_pass_through_a_transport() -> None:
    transport, bus = Transport(), Bus()
    bus.filters.append(transport.passes)
    with bus.subscribe(int, name="till") as events:
        bus.publish(1, sender="ledger")
        with transport.applying(lose):
            bus.publish(2, sender="ledger")
        assert events.receive_nowait() == 1
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    assert bus.filtered == 1


async def test_an_address_like_another_keeps_its_mailbox_and_policies() -> None:
    address = Address[Till]("till", capacity=1, overflow=Overflow.FAIL, on_crash=OnCrash.RETRY)
    faulty = TransportAddress[Till].like(address, Transport())
    assert (faulty.name, faulty.on_crash) == ("till", OnCrash.RETRY)
    faulty.tell(Count())
    with pytest.raises(MailboxFull):
        await faulty.send(Count())
