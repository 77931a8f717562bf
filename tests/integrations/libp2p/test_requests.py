"""The answers to peers: whose slowness costs whom a place."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.errors import Malformed, NotNow
from alysd.types.peers import StreamKind
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


@attrs.define
class Sink:
    """A node that answers at once, with `size` bytes."""

    size: int = 6

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if request == b"n":
            raise NotNow("the peer has asked for too much")
        if request == b"m":
            raise Malformed("not a request")
        return bytes(self.size)


@attrs.define
class FakeStream:
    """A stream with one request, whose peer takes `seconds` to take the answer."""

    connection: Any
    seconds: float
    unread: bytes = b"\0\0\0\x01x"
    answered: bool = False
    first: int | None = None

    async def read_exactly(self, count: int) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    async def write(self, data: bytes) -> None:
        await trio.sleep(self.seconds if data[0] == 0 else 0)
        self.first = data[0]
        self.answered = data[0] == 0

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def connection(peer: str) -> Any:
    from alysd.integrations.libp2p.rates import TokenBucket

    return SimpleNamespace(peer=peer, answers=0, requests=TokenBucket(20, 20))


def service(size: int = 6, members: Sequence[str] = ()) -> Any:
    from alysd.integrations.libp2p.requests import AnswerService

    return AnswerService(cast("Any", Sink(size)), members)


async def test_peers_that_take_large_answers_slowly_delay_no_status(autojump_clock: MockClock) -> None:
    """A peer without an answer to its question for the status takes this node for dead, and bans it in the end."""
    from alysd.integrations.libp2p import limits

    answers = service()
    slow = 0.9 * limits.RESPONSE_SECONDS_LEAST

    async def answer_slowly(of: Any) -> None:
        while True:
            await answers.serve(FakeStream(of, slow), StreamKind.BLOCKS_BY_RANGE)
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            hostile = connection(f"hostile {number}")
            for _ in range(limits.ANSWERS_PER_PEER):
                nursery.start_soon(answer_slowly, hostile)
        honest = connection("honest")
        for _ in range(6):
            await trio.sleep(10)
            stream = FakeStream(honest, 0.1)
            with trio.fail_after(1):
                await answers.serve(stream, StreamKind.STATUS)
            assert stream.answered
        nursery.cancel_scope.cancel()


BUSY = 2


@pytest.mark.parametrize("kind", [StreamKind.BLOCKS_BY_RANGE, StreamKind.PROPOSALS_SINCE])
async def test_strangers_that_take_answers_slowly_leave_room_for_members_and_tell_others_at_once(
    autojump_clock: MockClock, kind: StreamKind
) -> None:
    """Two strangers held all places, and a member that asked for blocks waited until its time was over."""
    from alysd.integrations.libp2p import limits

    answers = service(limits.ANSWER_RESERVED, ["member"])

    async def take_slowly(of: Any) -> None:
        while True:
            await answers.serve(FakeStream(of, 0.9 * limits.RESPONSE_SECONDS), kind)
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        for number in range(24):
            hostile = connection(f"hostile {number}")
            for _ in range(limits.ANSWERS_PER_PEER):
                nursery.start_soon(take_slowly, hostile)
        member, honest = connection("member"), connection("honest")
        for _ in range(6):  # three times as long as an answer may take
            await trio.sleep(10.1)
            stream, other = FakeStream(member, 0.0), FakeStream(honest, 0.0)
            with trio.fail_after(0.5):
                await answers.serve(stream, kind)
                await answers.serve(other, kind)
            assert stream.answered
            assert other.first in (0, BUSY)
        nursery.cancel_scope.cancel()


async def test_one_peer_holds_a_part_of_the_memory_and_any_answer_fits_alone(autojump_clock: MockClock) -> None:
    from alysd.integrations.libp2p import limits

    memory = limits.RESPONSE_BYTES
    answers, hostile, honest = service(memory), connection("hostile"), connection("honest")
    async with trio.open_nursery() as nursery:
        for _ in range(limits.ANSWERS_PER_PEER - 1):
            nursery.start_soon(answers.serve, FakeStream(hostile, 10.0), StreamKind.BLOCKS_BY_RANGE)
        await trio.sleep(1)
        for of, first in ((hostile, BUSY), (honest, 0)):
            stream = FakeStream(of, 0.0)
            await answers.serve(stream, StreamKind.BLOCKS_BY_RANGE)
            assert stream.first == first
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("request_byte", "first"), [(b"n", BUSY), (b"m", 1)])
async def test_a_node_that_is_busy_says_so_and_a_false_request_is_refused(
    autojump_clock: MockClock, request_byte: bytes, first: int
) -> None:
    stream = FakeStream(connection("peer"), 0.0, b"\0\0\0\x01" + request_byte)
    await service().serve(stream, StreamKind.BLOCKS_BY_RANGE)
    assert stream.first == first


async def test_a_small_answer_must_be_taken_soon(autojump_clock: MockClock) -> None:
    """Otherwise peers that take nothing hold memory and streams for 20 s with each small request."""
    with pytest.raises(trio.TooSlowError):
        await service().serve(FakeStream(connection("peer"), 4.0), StreamKind.BLOCKS_BY_RANGE)
    await service(4 << 20).serve(FakeStream(connection("peer"), 18.0), StreamKind.BLOCKS_BY_RANGE)
