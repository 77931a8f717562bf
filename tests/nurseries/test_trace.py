"""Messages carry a trace context while a trace is open, and only then."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    HandlerCrashed,
    OneForOne,
    Refusal,
    TraceContext,
    actor,
    current_trace,
    handles,
    open_system,
    supervisor,
    task,
    traced,
    untraced,
)
from alysd.nurseries.trace import carry, traces
from alysd.testing.echo import Await, CrashAsked, CrashTold, Echo, Note, Say, Unheard, echo, running

HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_traceparent_header_is_read_and_written() -> None:
    context = TraceContext.parse(HEADER)
    assert context == TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
    assert context is not None
    assert context.header() == HEADER
    unsampled = TraceContext.parse(HEADER[:-2] + "00")
    assert unsampled is not None
    assert not unsampled.sampled
    assert TraceContext.parse("01" + HEADER[2:] + "-what-comes-later") == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        HEADER.upper(),
        HEADER[:-1],
        "ff" + HEADER[2:],
        HEADER + "-more",
        HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        HEADER.replace("00f067aa0ba902b7", "0" * 16),
        "\u0660" + HEADER[1:],
    ],
)
def test_what_is_no_traceparent_is_taken_for_none(header: str) -> None:
    assert TraceContext.parse(header) is None


class Seeing(Actor[Echo], partial=True):
    """Notes in which trace each message is handled."""

    def __init__(self, seen: list[TraceContext | None]) -> None:
        self.seen = seen

    @handles(Note)
    async def note(self, message: Note) -> None:
        self.seen.append(current_trace())

    @handles(Say)
    async def say(self, message: Say) -> str:
        self.seen.append(current_trace())
        return message.text

    @handles(CrashTold)
    async def crash(self, message: CrashTold) -> None:
        raise message.error

    @handles(CrashAsked)
    async def crash_asked(self, message: CrashAsked) -> str:
        raise message.error


async def test_a_handler_runs_in_the_trace_of_its_message_and_the_next_does_not() -> None:
    seen: list[TraceContext | None] = []
    address: Address[Echo] = Address("seeing")
    context = TraceContext("a" * 32, "b" * 16)
    async with running([actor(address, lambda: Seeing(seen))]):
        with traced(context):
            address.tell(Note("told"))
            await address.send(Note("sent"))
            assert await address.ask(Say("asked")) == "asked"
        address.tell(Note("outside"))
        await address.ask(Say("outside"))
    assert seen == [context, context, context, None, None]
    assert traces.open == 0


async def test_what_is_sent_untraced_leaves_the_trace_and_the_rest_stays_in_it() -> None:
    seen: list[TraceContext | None] = []
    address: Address[Echo] = Address("seeing")
    context = TraceContext("a" * 32, "b" * 16)
    async with running([actor(address, lambda: Seeing(seen))]):
        with traced(context):
            with untraced():
                await address.ask(Say("later"))
            await address.ask(Say("now"))
    assert seen == [None, context]


async def test_who_is_in_no_trace_sends_plain_messages_while_another_has_one_open() -> None:
    note = Note("plain")
    traces.open += 1
    try:
        assert carry(note) is note
    finally:
        traces.open -= 1


async def test_a_carried_message_is_itself_to_errors_and_dead_letters() -> None:
    address: Address[Echo] = Address("seeing")
    async with running([actor(address, lambda: Seeing([]))]):
        with traced(TraceContext("a" * 32, "b" * 16)):
            with pytest.raises(Refusal, match="no handler for Unheard"):
                await address.ask(Unheard())
            crash = CrashTold()
            address.tell(crash)
    dead = address.mailbox.dead_letters
    assert dead is not None
    assert dead[0].message is crash


class Diary:
    """A tracer that writes down what is handled, and how it ended; each handler runs in a span of its own."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, TraceContext]] = []
        self.failed: list[str] = []

    @contextmanager
    def handling(self, actor: str, message: str, sender: TraceContext) -> Generator[TraceContext]:
        self.entries.append((actor, message, sender))
        try:
            yield TraceContext(sender.trace_id, f"{len(self.entries):016x}")
        except ValueError as error:
            self.failed.append(str(error))
            raise


async def test_a_tracer_sees_what_is_handled_in_a_trace_and_nothing_else() -> None:
    diary, seen = Diary(), list[TraceContext | None]()
    address: Address[Echo] = Address("seeing")
    context = TraceContext("a" * 32, "b" * 16)
    root = supervisor("Root", OneForOne(), [actor(address, lambda: Seeing(seen))])
    async with open_system(root, tracer=diary):
        await address.ask(Say("outside"))
        with traced(context):
            await address.ask(Say("inside"))
            with pytest.raises(HandlerCrashed):
                await address.ask(CrashAsked())
            with pytest.raises(Refusal):
                await address.ask(Unheard())
        await address.ask(Say("outside again"))
    assert diary.entries == [("seeing", "Say", context), ("seeing", "CrashAsked", context)]
    assert diary.failed == ["boom"]
    assert seen == [None, TraceContext("a" * 32, f"{1:016x}"), None]


async def test_a_child_added_in_a_trace_does_not_work_in_it() -> None:
    """Its context inherited the trace of the handler that added it, and all its messages carried it for ever."""
    seen: list[TraceContext | None] = []
    added: Address[Echo] = Address("added")

    async def work() -> None:
        seen.append(current_trace())
        await trio.sleep_forever()

    class Added(Seeing):
        async def pre_start(self) -> None:
            seen.append(current_trace())

    address, child = echo()
    async with running([child]) as system:

        async def add() -> None:
            system.add("Root", task("work", work))
            system.add("Root", actor(added, lambda: Added([])))
            system.add("Root", supervisor("Sub", OneForOne(), [task("deeper", work)]))

        with traced(TraceContext("a" * 32, "b" * 16)):
            await address.ask(Await(add))
        await wait_all_tasks_blocked()
    assert seen == [None, None, None]
