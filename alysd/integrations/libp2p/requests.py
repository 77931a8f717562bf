"""Requests to peers and their answers, each on a stream of its own.

A request is its length (4 bytes, big-endian) and its bytes; then the asker closes its side. An answer is one byte,
0 for an answer and 1 for a refusal, the length (4 bytes) and the bytes, in one write: writes of its parts are
seven times as slow. The text of a refusal is for the log of the asker.
"""

import struct

import trio
from libp2p.io.exceptions import IOException

from alysd.errors import Malformed, NotNow, PeerUnavailable, Refused
from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.connection import PeerConnection, Stream
from alysd.integrations.libp2p.multistream import NegotiationFailed
from alysd.ports import GossipSink
from alysd.types.peers import StreamKind

_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BI")
_ANSWER, _REFUSAL = 0, 1


def protocol_of(chain: str, kind: StreamKind) -> str:
    """The protocol of a kind of requests on a chain (docs/protocol.md, "Network")."""
    return f"/alys/{chain}/{kind.value}/1"


async def ask(connection: PeerConnection, protocol: str, request: bytes, max_bytes: int, seconds: float) -> bytes:
    """Send a request and return the answer. Raises `PeerUnavailable`."""
    peer = connection.peer
    try:
        with trio.fail_after(seconds):
            stream = await connection.open_stream(protocol)
            try:
                await stream.write(_LENGTH.pack(len(request)) + request)
                await stream.close()
                kind, length = _HEAD.unpack(await stream.read_exactly(_HEAD.size))
                most = min(max_bytes, limits.RESPONSE_BYTES) if kind == _ANSWER else limits.REFUSAL_BYTES
                if kind not in (_ANSWER, _REFUSAL) or length > most:
                    raise PeerUnavailable(peer, f"its answer has {length} bytes, at most {most} are allowed")
                body = await stream.read_exactly(length)
            finally:
                await stream.reset()
    except trio.TooSlowError:
        raise PeerUnavailable(peer, f"no answer within {seconds:g} s") from None
    except (IOException, NegotiationFailed) as error:
        raise PeerUnavailable(peer, f"the connection or its stream failed: {type(error).__name__}") from error
    if kind == _REFUSAL:
        text = body.decode(errors="replace")
        raise PeerUnavailable(peer, "refused: " + "".join(each if each.isprintable() else "?" for each in text))
    return body


class AnswerService:
    """Answers the requests of peers by `sink`, a bounded number at a time.

    Statuses have places of their own. Otherwise a few peers that take large answers slowly would hold all places,
    and the other peers would take this node for one that does not answer.
    """

    def __init__(self, sink: GossipSink) -> None:
        self._sink = sink
        self._statuses = trio.Semaphore(limits.STATUS_ANSWERS)
        self._large = trio.Semaphore(limits.ANSWERS)

    async def serve(self, stream: Stream, kind: StreamKind) -> None:
        """Read a request and answer it. Raises `trio.TooSlowError` for a peer that does not take its answer."""
        connection = stream.connection
        with trio.fail_after(limits.REQUEST_SECONDS):
            (length,) = _LENGTH.unpack(await stream.read_exactly(_LENGTH.size))
            if length > limits.REQUEST_BYTES:
                raise Malformed(f"a request of {length} bytes")
            request = await stream.read_exactly(length)
        if connection.answers >= limits.ANSWERS_PER_PEER:
            await _write(stream, _REFUSAL, b"too many requests at the same time")
            return
        connection.answers += 1
        try:
            await connection.requests.take(1)
            async with self._statuses if kind is StreamKind.STATUS else self._large:
                await self._answer(stream, kind, request)
        finally:
            connection.answers -= 1

    async def _answer(self, stream: Stream, kind: StreamKind, request: bytes) -> None:
        try:
            answer = await self._sink.answer(stream.connection.peer, kind, request)
            if len(answer) > limits.RESPONSE_BYTES:
                raise NotNow(f"the answer would have {len(answer)} bytes, more than {limits.RESPONSE_BYTES}")
        except Refused as error:
            await _write(stream, _REFUSAL, str(error).encode()[: limits.REFUSAL_BYTES])
            return
        await _write(stream, _ANSWER, answer)


async def _write(stream: Stream, kind: int, body: bytes) -> None:
    with trio.fail_after(limits.RESPONSE_SECONDS):
        await stream.write(_HEAD.pack(kind, len(body)) + body)
        await stream.close()
