"""Recorded addresses behave as real ones; stand-ins do as their script says."""

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    AskTimeout,
    Down,
    HandlerCrashed,
    MailboxFull,
    Overflow,
    Refusal,
    Tell,
    actor,
    handles,
)
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn, Unscripted
from alysd.testing.till import Book, Count, GetBalance, Ledger, Till, TillActor, Withdraw
from alysd.testing.transcript import Returned, Sent, Transcript


def stand_in() -> StandIn[Ledger]:
    return StandIn[Ledger]("ledger", Transcript())


async def test_answers_come_in_turn_and_the_last_one_stays() -> None:
    ledger = stand_in()
    ledger.on(GetBalance).answers(1, 2)
    assert [await ledger.ask(GetBalance()) for _ in range(3)] == [1, 2, 2]


async def test_answers_can_be_computed_from_the_message() -> None:
    till = StandIn[Till]("till", Transcript())

    def left(message: Withdraw) -> int:
        return 10 - message.amount

    till.on(Withdraw).computes(left)
    assert await till.ask(Withdraw(4)) == 6


async def test_a_script_may_fail_asks_and_tells_alike() -> None:
    ledger = stand_in()
    ledger.on(GetBalance).fails(ActorDown("ledger", "for the test"))
    ledger.on(Book).fails(MailboxFull("ledger", 1))
    with pytest.raises(ActorDown):
        await ledger.ask(GetBalance())
    with pytest.raises(MailboxFull):
        ledger.tell(Book(1))
    with pytest.raises(MailboxFull):
        await ledger.send(Book(2))
    assert [type(error) for error in ledger.transcript.errors("ledger")] == [ActorDown, MailboxFull, MailboxFull]


async def test_silence_ends_with_the_askers_patience_and_slowness_may(autojump_clock: MockClock) -> None:
    ledger = stand_in()
    ledger.on(GetBalance).keeps_silent()
    began = trio.current_time()
    with pytest.raises(AskTimeout, match="no answer from ledger to GetBalance within 3 s"):
        await ledger.ask(GetBalance(), seconds=3)
    ledger.on(GetBalance).answers(9).after(2)
    assert await ledger.ask(GetBalance(), seconds=3) == 9
    with pytest.raises(AskTimeout):
        await ledger.ask(GetBalance(), seconds=1)
    assert trio.current_time() - began == pytest.approx(3 + 2 + 1)


async def test_an_ask_that_nobody_scripted_says_what_to_do() -> None:
    with pytest.raises(Unscripted, match=r"no script for GetBalance: add one with .on\(GetBalance\)"):
        await stand_in().ask(GetBalance())


async def test_next_gives_each_message_once_and_waits_for_it(autojump_clock: MockClock) -> None:
    ledger = stand_in()
    ledger.on(GetBalance).answers(0)
    ledger.tell(Book(1))
    await ledger.ask(GetBalance())

    async def book_later() -> None:
        await trio.sleep(1)
        await ledger.send(Book(2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(book_later)
        assert await ledger.next(Book) == Book(1)
        assert await ledger.next(Book) == Book(2)
    with pytest.raises(trio.TooSlowError):
        await ledger.next(Book, seconds=1)
    assert ledger.received == [Book(1), GetBalance(), Book(2)]


async def test_a_recorded_address_is_the_real_one_and_writes_everything_down(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    ledger.on(GetBalance).answers(5)
    till = RecordedAddress[Till]("till", harness.transcript)
    async with harness.running(actor(till, lambda: TillActor(ledger))):
        assert await till.ask(Withdraw(3)) == 2
        with pytest.raises(Refusal, match="the balance is only 5"):
            await till.ask(Withdraw(9))
        await till.send(Count(1))
        till.tell(Count(2))
        await harness.settle()
    kept = [entry for entry in harness.transcript.entries if isinstance(entry, Sent | Returned)]
    assert [(entry.to, entry.message) for entry in kept if isinstance(entry, Sent)] == [
        ("till", Withdraw(3)),
        ("ledger", GetBalance()),
        ("ledger", Book(3)),
        ("till", Withdraw(9)),
        ("ledger", GetBalance()),
        ("till", Count(1)),
        ("till", Count(2)),
    ]
    answers = [(entry.to, entry.answer) for entry in kept if isinstance(entry, Returned) and entry.error is None]
    assert answers == [("ledger", 5), ("till", 2), ("ledger", 5)]
    assert harness.transcript.sent("ledger", sender="till") == [GetBalance(), Book(3), GetBalance()]


async def test_a_recorded_address_keeps_capacity_and_policy() -> None:
    till = RecordedAddress[Till]("till", Transcript(), capacity=1, overflow=Overflow.FAIL)
    till.tell(Count())
    with pytest.raises(MailboxFull):
        till.tell(Count())
    assert [type(error) for error in till.transcript.errors("till")] == [MailboxFull]


async def test_an_unscripted_ask_fails_the_test_even_if_the_actor_lives_on(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    till = RecordedAddress[Till]("till", harness.transcript)

    async def withdraw_without_a_script() -> None:
        async with harness.running(actor(till, lambda: TillActor(ledger))):
            with pytest.raises(HandlerCrashed):
                await till.ask(Withdraw(3))

    with pytest.raises(Unscripted):
        await withdraw_without_a_script()


class Watching:
    """The protocol of `WatchingActor`."""


@attrs.frozen
class LedgerDown(Tell[Watching]):
    """The ledger is down."""

    down: Down


class WatchingActor(Actor[Watching]):
    """Watches a ledger."""

    def __init__(self, ledger: StandIn[Ledger], seen: list[Down]) -> None:
        self.ledger = ledger
        self.seen = seen

    async def pre_start(self) -> None:
        self.watch(self.ledger, LedgerDown)

    @handles(LedgerDown)
    async def ledger_down(self, message: LedgerDown) -> None:
        self.seen.append(message.down)


async def test_a_stand_in_plays_the_end_of_an_instance_for_its_watchers(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    seen: list[Down] = []
    error = OSError("gone")
    address: Address[Watching] = Address("watching")
    async with harness.running(actor(address, lambda: WatchingActor(ledger, seen))):
        ledger.ends_instance(error)
        await harness.settle()
        ledger.ends_instance(gone="removed")
        await harness.settle()
        ledger.ends_instance(error)
        await harness.settle()
    assert seen == [Down("ledger", error, None, 1), Down("ledger", None, "removed", 1)]
