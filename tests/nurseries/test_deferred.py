"""Deferred replies: an actor handles other messages, and answers an ask later."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    AskTimeout,
    Deferred,
    HandlerCrashed,
    Immediate,
    Refusal,
    SystemFailed,
    Tell,
    WrongThread,
    actor,
    handles,
)
from alysd.nurseries.spec import ActorSpec
from alysd.testing.echo import Await, echo, running


class Desk:
    """The protocol of `Clerk`."""


@attrs.frozen
class Request(Ask[Desk, str]):
    """Answered when the clerk is told so."""

    subject: str = "x"


@attrs.frozen
class Quick(Ask[Desk, int]):
    """Answered at once for 0, otherwise later."""

    number: int


@attrs.frozen
class Run(Tell[Desk]):
    """Calls a function in a handler of the clerk."""

    call: Callable[[], None]


@attrs.frozen
class Resubmit(Ask[Desk, str]):
    """Returns the first token again."""


class Clerk(Actor[Desk]):
    """Keeps its tokens where the test sees them."""

    def __init__(self, tokens: list[Deferred[str]]) -> None:
        self.tokens = tokens

    @handles(Request)
    async def request(self, message: Request) -> Deferred[str]:
        token: Deferred[str] = Deferred()
        self.tokens.append(token)
        if message.subject == "now":
            token.reply("before the handler returned")
        if message.subject == "slow":
            await trio.sleep(2)
        return token

    @handles(Quick)
    async def quick(self, message: Quick) -> int | Deferred[int]:
        return message.number or Deferred()

    @handles(Run)
    async def run(self, message: Run) -> None:
        message.call()

    @handles(Resubmit)
    async def resubmit(self, message: Resubmit) -> Deferred[str]:
        return self.tokens[0]


class Own(Exception):
    """A refusal of some program."""


@attrs.define
class Asker:
    """A task that asks, and its outcome."""

    address: Address[Desk]
    outcome: object = None

    async def ask(self, message: Request | Resubmit | None = None, seconds: float = 5.0) -> None:
        try:
            self.outcome = await self.address.ask(message or Request(), seconds=seconds)
        except (ActorDown, HandlerCrashed, Refusal, Own) as error:
            self.outcome = error


@attrs.frozen
class Office:
    """A running clerk."""

    tokens: list[Deferred[str]] = attrs.field(factory=list[Deferred[str]])
    address: Address[Desk] = attrs.field(factory=lambda: Address("clerk"))

    def child(self) -> ActorSpec:
        return actor(self.address, lambda: Clerk(self.tokens), restart=Immediate())

    def asker(self) -> Asker:
        return Asker(self.address)


async def test_the_actor_handles_other_messages_until_a_later_handler_answers() -> None:
    office = Office()
    askers = [office.asker() for _ in range(3)]
    async with running([office.child()]), trio.open_nursery() as nursery:
        for asker in askers:
            nursery.start_soon(asker.ask)
            await wait_all_tasks_blocked()
        assert await office.address.ask(Quick(7)) == 7, "the actor is free"
        assert [token.waiting for token in office.tokens] == [True] * 3
        for token, text in zip(office.tokens, "bca", strict=True):
            office.address.tell(Run(lambda token=token, text=text: token.reply(text)))
    assert [asker.outcome for asker in askers] == ["b", "c", "a"]
    assert not any(token.waiting for token in office.tokens)
    assert not office.address.deferred


async def test_a_task_answers() -> None:
    office = Office()
    asker = office.asker()
    async with running([office.child()]), trio.open_nursery() as nursery:
        nursery.start_soon(asker.ask)
        await wait_all_tasks_blocked()
        office.tokens[0].reply("from a task")
    assert asker.outcome == "from a task"


async def test_an_answer_given_before_the_handler_returns_counts() -> None:
    office = Office()
    async with running([office.child()]):
        assert await office.address.ask(Request("now")) == "before the handler returned"


async def test_the_first_outcome_counts() -> None:
    office, refusal = Office(), Refusal("no")
    first, second = office.asker(), office.asker()
    async with running([office.child()]), trio.open_nursery() as nursery:
        nursery.start_soon(first.ask)
        await wait_all_tasks_blocked()
        nursery.start_soon(second.ask)
        await wait_all_tasks_blocked()
        office.tokens[0].reply("yes")
        office.tokens[0].reply("no")
        office.tokens[0].fail(refusal)
        office.tokens[1].fail(refusal)
        office.tokens[1].reply("yes")
    assert (first.outcome, second.outcome) == ("yes", refusal)


async def test_an_ask_fails_with_a_refusal_or_with_a_crash_that_names_the_actor() -> None:
    office = Office()
    errors: list[Exception] = [Own("own"), ActorDown("other", "gone"), KeyError("bug")]
    askers = [office.asker() for _ in errors]
    async with running([office.child()], refusals=[Own]), trio.open_nursery() as nursery:
        for asker in askers:
            nursery.start_soon(asker.ask)
            await wait_all_tasks_blocked()
        for token, error in zip(office.tokens, errors, strict=True):
            token.fail(error)
    own, down, crash = (asker.outcome for asker in askers)
    assert [own, down] == errors[:2]
    assert isinstance(crash, HandlerCrashed)
    assert (crash.name, crash.error) == ("clerk", errors[2])
    wrong: Any = "no error"
    with pytest.raises(TypeError, match="an ask cannot fail with 'no error'"):
        office.tokens[0].fail(wrong)


async def test_an_ask_that_is_never_answered_ends_at_its_timeout(autojump_clock: MockClock) -> None:
    office = Office()
    async with running([office.child()]):
        began = trio.current_time()
        with pytest.raises(AskTimeout, match="no answer from clerk to Request within 2 s"):
            await office.address.ask(Request(), seconds=2)
        assert trio.current_time() - began < 2.02
        with trio.move_on_after(1):
            await office.address.ask(Request())
        assert [token.waiting for token in office.tokens] == [False, False]
        assert not office.address.deferred, "nothing is kept for an asker that has gone"
        office.tokens[0].reply("late")


async def test_an_asker_that_gave_up_while_the_handler_ran_gets_nothing(autojump_clock: MockClock) -> None:
    office = Office()
    async with running([office.child()]):
        with pytest.raises(AskTimeout):
            await office.address.ask(Request("slow"), seconds=1)
        await trio.sleep(2)
        assert not office.address.deferred
        assert not office.tokens[0].waiting
        office.tokens[0].reply("late")


async def test_an_instance_that_crashes_fails_its_deferred_asks_and_the_next_one_does_not() -> None:
    office = Office()
    asker, later = office.asker(), office.asker()
    async with running([office.child()]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(asker.ask)
        await wait_all_tasks_blocked()
        system.inject("clerk", ValueError("boom"))
        await wait_all_tasks_blocked()
        assert isinstance(asker.outcome, HandlerCrashed)
        nursery.start_soon(later.ask)
        await wait_all_tasks_blocked()
        office.tokens[0].reply("too late")
        office.tokens[1].reply("in time")
    assert later.outcome == "in time"


async def test_an_actor_that_stops_fails_its_deferred_asks() -> None:
    office = Office()
    asker = office.asker()
    async with running([office.child()]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(asker.ask)
        await wait_all_tasks_blocked()
        await system.stop_child("clerk")
    assert isinstance(asker.outcome, ActorDown)


async def test_one_token_answers_one_ask() -> None:
    office = Office()
    first, second = office.asker(), office.asker()
    async with running([office.child()]), trio.open_nursery() as nursery:
        nursery.start_soon(first.ask)
        await wait_all_tasks_blocked()
        nursery.start_soon(second.ask, Resubmit())
    assert isinstance(second.outcome, HandlerCrashed)
    assert "clerk returned one Deferred for two asks; make a new one for each ask" in str(second.outcome)


async def test_a_token_is_answered_in_the_thread_of_the_system() -> None:
    office = Office()
    asker = office.asker()
    async with running([office.child()]), trio.open_nursery() as nursery:
        nursery.start_soon(asker.ask)
        await wait_all_tasks_blocked()
        with pytest.raises(WrongThread, match="cannot answer an ask of clerk in this thread"):
            await trio.to_thread.run_sync(office.tokens[0].reply, "from a thread")
        office.tokens[0].reply("from the run")
    assert asker.outcome == "from the run"


async def test_an_ask_that_was_told_has_nobody_to_answer() -> None:
    office = Office()
    told: Any = Request("now")
    async with running([office.child()]):
        office.address.tell(told)
        assert await office.address.ask(Quick(1)) == 1


async def test_an_asker_waits_for_the_actor_until_the_deferred_reply() -> None:
    """The detection of cycles knows so."""
    office = Office()
    address, child = echo()

    async def ask_clerk() -> None:
        await office.address.ask(Request())

    async with running([office.child(), child]), trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, Await(ask_clerk))
        await wait_all_tasks_blocked()
        assert address.mailbox.waits_for == [office.address.mailbox]
        office.tokens[0].reply("done")
        await wait_all_tasks_blocked()
        assert address.mailbox.waits_for == []


@pytest.mark.parametrize("when", ["before the token is returned", "later", "after the asker has gone"])
async def test_a_fatal_error_given_to_a_deferred_ask_ends_the_system(autojump_clock: MockClock, when: str) -> None:
    """The asker was told of a crash that had not happened, and the system went on."""
    tokens: list[Deferred[str]] = []

    class Failing(Clerk):
        @handles(Request)
        async def request(self, message: Request) -> Deferred[str]:
            tokens.append(Deferred())
            if when == "before the token is returned":
                tokens[-1].fail(DiskGone())
            elif when == "after the asker has gone":
                await trio.sleep(2)
                tokens[-1].fail(DiskGone())
            return tokens[-1]

    desk: Address[Desk] = Address("desk")
    with pytest.raises(SystemFailed) as failed:  # noqa: PT012  the error arrives at the end of the system
        async with (
            running([actor(desk, lambda: Failing(tokens))], fatal=[DiskGone]),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(ask_for_nothing, desk)
            await trio.sleep(1)
            if when == "later":
                desk.tell(Run(lambda: tokens[-1].fail(DiskGone())))
            await trio.sleep_forever()
    assert isinstance(failed.value.__cause__, DiskGone)


class DiskGone(Exception):
    """A fatal error of the program."""


async def ask_for_nothing(desk: Address[Desk]) -> None:
    with suppress(AskTimeout, HandlerCrashed):
        await desk.ask(Request(), seconds=1)
