"""Traces go with messages while they are open, and cost nothing else."""

import pytest

from alysd.nurseries import Actor, Address, Refusal, TraceContext, actor, current_trace, handles, traced
from alysd.nurseries.trace import carry, traces
from tests.nurseries.kit import Crash, Echo, Note, Say, Unheard, running

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


class Seeing(Actor[Echo]):
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

    @handles(Crash)
    async def crash(self, message: Crash) -> None:
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
            crash = Crash()
            address.tell(crash)
    dead = address.mailbox.dead_letters
    assert dead is not None
    assert dead[0].message is crash
