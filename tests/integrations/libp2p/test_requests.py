"""The answers to peers: whose slowness costs whom a place."""

from types import SimpleNamespace
from typing import Any, cast

import attrs
import trio
from trio.testing import MockClock

from alysd.types.peers import StreamKind
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


class Sink:
    """A node that answers at once."""

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"answer"


@attrs.define
class FakeStream:
    """A stream with one request, whose peer takes `seconds` to take the answer."""

    connection: Any
    seconds: float
    unread: bytes = b"\0\0\0\x01x"
    answered: bool = False

    async def read_exactly(self, count: int) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    async def write(self, data: bytes) -> None:
        await trio.sleep(self.seconds)
        self.answered = data[0] == 0

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_peers_that_take_large_answers_slowly_delay_no_status(autojump_clock: MockClock) -> None:
    """A peer without an answer to its question for the status takes this node for dead, and bans it in the end."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.rates import TokenBucket
    from alysd.integrations.libp2p.requests import AnswerService

    def connection(peer: str) -> Any:
        return SimpleNamespace(peer=peer, answers=0, requests=TokenBucket(20, 20))

    service = AnswerService(cast("Any", Sink()))
    slow = 0.9 * limits.RESPONSE_SECONDS

    async def answer_slowly(of: Any) -> None:
        while True:
            await service.serve(cast("Any", FakeStream(of, slow)), StreamKind.BLOCKS_BY_RANGE)

    async with trio.open_nursery() as nursery:
        for number in range(limits.ANSWERS):
            hostile = connection(f"hostile {number}")
            for _ in range(limits.ANSWERS_PER_PEER):
                nursery.start_soon(answer_slowly, hostile)
        honest = connection("honest")
        for _ in range(20):
            await trio.sleep(10)
            stream = FakeStream(honest, 0.1)
            with trio.fail_after(1):
                await service.serve(cast("Any", stream), StreamKind.STATUS)
            assert stream.answered
        nursery.cancel_scope.cancel()
