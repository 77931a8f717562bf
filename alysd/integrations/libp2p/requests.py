"""Requests to peers and their answers. Each request has a stream of its own.

A request is its length (4 bytes, big-endian) and its bytes; then the asker closes its side. An answer is one byte,
the length (4 bytes) and the bytes, in one write: writes of its parts are seven times as slow. The first byte is 0
for an answer, 1 for the refusal of a false request, and 2 if the node is busy: then the asker asks another node.
The text of a refusal is for the log of the asker.
"""

import struct
from collections import Counter
from collections.abc import Container

import trio
from libp2p.io.exceptions import IOException

from alysd.errors import Malformed, NotNow, PeerBusy, PeerUnavailable, PeerWithoutProtocol, Refused
from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.connection import PeerConnection, Stream
from alysd.integrations.libp2p.multistream import NegotiationFailed, ProtocolsRefused
from alysd.ports import GossipSink
from alysd.types.peers import StreamKind

_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BI")
_ANSWER, _REFUSAL, _BUSY = 0, 1, 2


def protocol_of(chain: str, kind: StreamKind) -> str:
    """The protocol of a kind of requests on a chain (docs/protocol.md, "Network").

    That of the status names no chain: nodes of two chains learn from it that they have to part.
    """
    if kind is StreamKind.STATUS:
        return "/alys/status/1"
    return f"/alys/{chain}/{kind.value}/1"


async def ask(connection: PeerConnection, protocol: str, request: bytes, max_bytes: int, seconds: float) -> bytes:
    """Send a request and return the answer.

    Raises `PeerUnavailable`; `PeerBusy` if the peer says so; `PeerWithoutProtocol` if it refuses `protocol`.
    """
    peer = connection.peer
    try:
        with trio.fail_after(seconds):
            stream = await connection.open_stream(protocol)
            try:
                await stream.write(_LENGTH.pack(len(request)) + request)
                await stream.close()
                kind, length = _HEAD.unpack(await stream.read_exactly(_HEAD.size))
                most = min(max_bytes, limits.RESPONSE_BYTES) if kind == _ANSWER else limits.REFUSAL_BYTES
                if kind not in (_ANSWER, _REFUSAL, _BUSY):
                    raise PeerUnavailable(peer, f"its answer has the unknown kind {kind}")
                if length > most:
                    raise PeerUnavailable(peer, f"its answer has {length} bytes; at most {most} are allowed")
                body = await stream.read_exactly(length)
            finally:
                await stream.reset()
    except trio.TooSlowError:
        raise PeerUnavailable(peer, f"no answer within {seconds:g} s") from None
    except ProtocolsRefused as error:
        raise PeerWithoutProtocol(peer, f"it does not know the protocol {protocol}") from error
    except (IOException, NegotiationFailed) as error:
        raise PeerUnavailable(peer, f"the connection or its stream failed: {type(error).__name__}") from error
    if kind == _ANSWER:
        return body
    text = "".join(each if each.isprintable() else "?" for each in body.decode(errors="replace"))
    raise PeerBusy(peer, f"busy: {text}") if kind == _BUSY else PeerUnavailable(peer, f"refused: {text}")


class AnswerMemory:
    """Bounds the bytes of large answers in memory: of all answers, of answers to strangers, and per peer.

    Without these bounds, a few peers that take large answers slowly would leave no memory for other peers.
    `members` are the configured peers.
    """

    def __init__(self, members: Container[str]) -> None:
        self._members = members
        self._held = Counter[str]()

    def take(self, peer: str, size: int) -> bool:
        """Count `size` bytes for `peer` if the bounds allow it, and return whether they do.

        The bound of one peer does not apply to a single answer, which may be larger.
        """
        bound = limits.ANSWER_MEMORY - (0 if peer in self._members else limits.ANSWER_MEMORY_MEMBERS)
        held = self._held[peer]
        if self._held.total() + size > bound or (held and held + size > limits.ANSWER_MEMORY_PER_PEER):
            return False
        self._held[peer] += size
        return True

    def give_back(self, peer: str, size: int) -> None:
        """Release `size` bytes that `take` has counted for `peer`."""
        self._held[peer] -= size
        if not self._held[peer]:
            del self._held[peer]


class AnswerService:
    """Answers the requests of peers by `sink`, in bounded memory. `members` are the configured peers.

    Statuses have places of their own. Otherwise, while a few peers that take large answers slowly hold all memory,
    the other peers would get no status and would blame this node. A large answer never waits for memory: the peer
    is told at once that this node is busy.
    """

    def __init__(self, sink: GossipSink, members: Container[str] = ()) -> None:
        self._sink = sink
        self._statuses = trio.Semaphore(limits.STATUS_ANSWERS)
        self._memory = AnswerMemory(members)

    async def serve(self, stream: Stream, kind: StreamKind) -> None:
        """Read a request and answer it. Raises `trio.TooSlowError` for a peer that does not take its answer."""
        connection = stream.connection
        with trio.fail_after(limits.REQUEST_SECONDS):
            (length,) = _LENGTH.unpack(await stream.read_exactly(_LENGTH.size))
            if length > limits.REQUEST_BYTES:
                raise Malformed(f"the request has {length} bytes; at most {limits.REQUEST_BYTES} are accepted")
            request = await stream.read_exactly(length)
        if connection.answers >= limits.ANSWERS_PER_PEER:
            await _write(stream, _BUSY, b"too many requests of this peer at the same time")
            return
        connection.answers += 1
        try:
            await connection.requests.take(1)
            if kind is StreamKind.STATUS:
                async with self._statuses:
                    await _write(stream, *await self._answer(connection.peer, kind, request))
            else:
                await self._answer_large(stream, kind, request)
        finally:
            connection.answers -= 1

    async def _answer_large(self, stream: Stream, kind: StreamKind, request: bytes) -> None:
        peer, held = stream.connection.peer, limits.ANSWER_RESERVED
        if not self._memory.take(peer, held):
            await _write(stream, _BUSY, b"too many answers are on their way")
            return
        try:
            what, body = await self._answer(peer, kind, request)
            self._memory.give_back(peer, held)
            held = 0
            if not self._memory.take(peer, len(body)):
                what, body = _BUSY, b"too many answers are on their way"
            else:
                held = len(body)
            await _write(stream, what, body)
        finally:
            self._memory.give_back(peer, held)

    async def _answer(self, peer: str, kind: StreamKind, request: bytes) -> tuple[int, bytes]:
        try:
            answer = await self._sink.answer(peer, kind, request)
            if len(answer) > limits.RESPONSE_BYTES:
                raise Refused(f"the answer would have {len(answer)} bytes, more than {limits.RESPONSE_BYTES}")
        except Refused as error:
            what = _BUSY if isinstance(error, NotNow) else _REFUSAL
            return what, str(error).encode()[: limits.REFUSAL_BYTES]
        return _ANSWER, answer


def seconds_for(size: int) -> float:
    """The time in which a peer must take an answer of `size` bytes."""
    return min(limits.RESPONSE_SECONDS, limits.RESPONSE_SECONDS_LEAST + size / limits.RESPONSE_RATE)


async def _write(stream: Stream, kind: int, body: bytes) -> None:
    with trio.fail_after(seconds_for(len(body))):
        await stream.write(_HEAD.pack(kind, len(body)) + body)
        await stream.close()
