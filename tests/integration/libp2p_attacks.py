"""Attacks on the port of a peer host, one per layer. Each is an async function of the target that it attacks.

All come from addresses of loopback that no honest node uses, as those of strangers would.
"""

import os
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import attrs
import trio

RANDOM = Random(1)  # noqa: S311  attacks that can be repeated

TROUBLE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


@attrs.define
class Record:
    """The effects of an attack: connections that it opened, messages that it sent, and when the node had enough.

    `authenticated` counts the connections whose handshake was complete. `closed` has the seconds from the opening
    of a connection until the node closed it.
    """

    connections: int = 0
    authenticated: int = 0
    messages: int = 0
    closed: list[float] = attrs.field(factory=list[float])


@attrs.frozen
class Target:
    """The address of a peer host, the id that it proves, and the 8 digits of its chain."""

    host: str
    port: int
    peer: str
    chain: str = "6d3425cf"
    record: Record = attrs.field(factory=Record)


Attack = Callable[[Target], Awaitable[None]]


async def dial(target: Target, source: str = "127.0.0.66") -> trio.SocketStream:
    """A TCP connection from another address than honest nodes use."""
    target.record.connections += 1
    return await trio.open_tcp_stream(target.host, target.port, local_address=source)


async def until_closed(target: Target, stream: trio.SocketStream, seconds: float) -> None:
    """Wait until the node closes the connection, and record when that was."""
    began = trio.current_time()
    with trio.move_on_after(seconds), suppress(*TROUBLE):
        while await stream.receive_some(4096):
            continue
    if trio.current_time() - began < seconds:
        target.record.closed.append(trio.current_time() - began)


async def send_to(target: Target, data: bytes, source: str) -> None:
    """Open a connection, send bytes, and wait until the node closes it."""
    with suppress(*TROUBLE):
        async with await dial(target, source) as stream:
            with suppress(*TROUBLE):
                await stream.send_all(data)
                target.record.messages += 1
            await until_closed(target, stream, 7)


async def random_bytes(target: Target) -> None:
    """Noise that is none, at once and after a correct first line."""
    async with trio.open_nursery() as nursery:
        for kind, start in enumerate((b"", b"\x13/multistream/1.0.0\n", b"\x13/multistream/1.0.0\n\x07/noise\n")):
            for number in range(20):
                data = start + os.urandom(RANDOM.randrange(1, 4000))
                nursery.start_soon(send_to, target, data, f"127.0.10.{20 * kind + number + 1}")


async def oversized_handshake(target: Target) -> None:
    """Lengths that promise more than a handshake needs, in each of its parts."""
    lengths = (b"\xff\xff\xff\xff\x7f", b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff" + bytes(65535))
    async with trio.open_nursery() as nursery:
        for kind, data in enumerate(lengths):
            for number in range(10):
                nursery.start_soon(send_to, target, data * 20, f"127.0.11.{10 * kind + number + 1}")


async def half_open(target: Target) -> None:
    """A thousand connections that say nothing, from a hundred addresses."""

    async def one(number: int) -> None:
        with suppress(*TROUBLE):
            async with await dial(target, f"127.0.1.{number % 100 + 1}") as stream:
                await until_closed(target, stream, 8)

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(one, number)
            if not number % 50:
                await trio.sleep(0.02)


async def slow_loris(target: Target) -> None:
    """A byte of a correct handshake every second."""

    async def trickle(stream: trio.SocketStream) -> None:
        with suppress(*TROUBLE):
            for byte in b"\x13/multistream/1.0.0\n":
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)

    async def one(number: int) -> None:
        with suppress(*TROUBLE):
            async with await dial(target, f"127.0.2.{number + 1}") as stream, trio.open_nursery() as nursery:
                nursery.start_soon(trickle, stream)
                await until_closed(target, stream, 25)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(one, number)


async def authenticated(
    target: Target, attack: Callable[[Any], Awaitable[None]], source: str = "", seconds: float = 20
) -> None:
    """Run `attack` on a connection whose handshake was correct, with a new id."""
    from libp2p.io.exceptions import IOException

    from alysd.integrations.key_kinds import new_secret
    from alysd.integrations.libp2p.connection import upgrade
    from alysd.integrations.libp2p.keys import Identity, peer_id
    from alysd.integrations.libp2p.multistream import NegotiationFailed

    over = trio.Event()

    async def run(connection: Any) -> None:
        began = trio.current_time()
        await connection.muxed.start()
        target.record.closed.append(trio.current_time() - began)
        over.set()

    with suppress(*TROUBLE, IOException, NegotiationFailed), trio.move_on_after(seconds):
        async with await dial(target, source or f"127.0.3.{RANDOM.randrange(1, 250)}") as stream:
            connection = await upgrade(stream, Identity.of(new_secret("network")), peer_id(target.peer))
            target.record.authenticated += 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, connection)
                await connection.muxed.event_started.wait()
                with suppress(Exception):
                    await attack(connection)
                    nursery.cancel_scope.cancel()
                with trio.move_on_after(1):  # the attack has failed because the node closed the connection
                    await over.wait()
                nursery.cancel_scope.cancel()


def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    """A yamux frame, whose header need not fit its body."""
    return struct.pack("!BBHII", 0, kind, flags, stream, length) + body


HEADER = b"\x13/multistream/1.0.0\n"

LINES = (
    b"\0", b"\xff", b"\x7f" + bytes(127), b"\x01\n" * 500, b"\x03ls\n" * 50, b"\x04/x\n!", b"\x03\xff\xfe\n",
    HEADER * 100, HEADER + b"\x03na\n" * 100, HEADER + b"\x0a/unknown/\n" * 100, HEADER + b"\x7f" + b"a" * 126,
    HEADER + b"\x07/noise\n" * 100, HEADER + b"\x0d/yamux/1.0.0\n" * 100,
)  # fmt: skip
"""Lines that negotiate nothing: empty, endless, no text, without an end, of protocols that do not belong there."""


async def multistream_lines(target: Target) -> None:
    """Negotiations that are none, on the connection, in the session, and on streams."""

    async def send(connection: Any) -> None:
        for number, lines in enumerate(LINES):
            stream = 2 * number + 101
            opening = frame(1, 1, stream, 0) + frame(0, 0, stream, len(lines), lines)
            await connection.muxed.secured_conn.write(opening)
            target.record.messages += 1
        await trio.sleep(6)

    async with trio.open_nursery() as nursery:
        for number, lines in enumerate(LINES):
            nursery.start_soon(send_to, target, lines, f"127.0.9.{number + 1}")
            nursery.start_soon(authenticated, target, send)


CROWD = 1000
"""The number of connections of `authenticated_crowd`: 15 times as many as a node ever accepts."""


async def authenticated_crowd(target: Target) -> None:
    """1,000 connections whose handshakes are correct, each with a new id, that stay and say nothing."""

    async def stay(_: Any) -> None:
        target.record.messages += 1
        await trio.sleep_forever()

    async def some(first: int) -> None:
        for number in range(first, CROWD, 50):
            await authenticated(target, stay, f"127.0.8.{number % 200 + 1}", seconds=15)

    async with trio.open_nursery() as nursery:
        for first in range(50):
            nursery.start_soon(some, first)


async def yamux_frames(target: Target) -> None:
    """Frames of no version, of no kind, too long, for no stream, and thousands of streams."""
    bad = (
        os.urandom(500),
        frame(9, 0, 1, 0),
        frame(0, 1, 1, 1 << 31),
        frame(0, 0, 77, 10, b"0123456789") * 100,
        b"".join(frame(1, 1, 2 * n + 1, 0) for n in range(5000)),
        b"".join(frame(1, 1 | 8, 2 * n + 1, 0) for n in range(5000)),
        b"".join(frame(2, 1, 0, n) for n in range(20000)),
        frame(1, 0, 1, 0xFFFFFFFF) * 100,
    )

    async def send(data: bytes, connection: Any) -> None:
        await connection.muxed.secured_conn.write(data)
        target.record.messages += 1
        await trio.sleep(2)  # for the node to close the connection

    async with trio.open_nursery() as nursery:
        for data in bad:
            nursery.start_soon(authenticated, target, partial(send, data))


async def unread_bytes(target: Target) -> None:
    """Bytes beyond the window of streams that nobody reads."""

    async def send(connection: Any) -> None:
        for number in range(40):
            stream = 2 * number + 101
            await connection.muxed.secured_conn.write(frame(1, 1, stream, 0))
            for _ in range(16):
                await connection.muxed.secured_conn.write(frame(0, 0, stream, 60000, bytes(60000)))
                target.record.messages += 1

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(authenticated, target, send)


def _gossip_frames(chain: str) -> list[bytes]:
    from libp2p.pubsub.pb import rpc_pb2

    topic = f"/alys/{chain}/approval"
    control = rpc_pb2.ControlMessage
    frames = [
        os.urandom(300),
        rpc_pb2.RPC(
            subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=str(n)) for n in range(5000)]
        ).SerializeToString(),
        rpc_pb2.RPC(
            publish=[rpc_pb2.Message(data=b"x", topicIDs=[topic], from_id=b"?", seqno=bytes(8), signature=b"s")]
            * 50
        ).SerializeToString(),
        rpc_pb2.RPC(publish=[rpc_pb2.Message(topicIDs=[topic] * 3)]).SerializeToString(),
        rpc_pb2.RPC(
            control=control(iwant=[rpc_pb2.ControlIWant(messageIDs=[os.urandom(40) for _ in range(20000)])])
        ).SerializeToString(),
        rpc_pb2.RPC(
            control=control(graft=[rpc_pb2.ControlGraft(topicID="\u2026" * 50)] * 1000)
        ).SerializeToString(),
        rpc_pb2.RPC(senderRecord=os.urandom(5000)).SerializeToString(),
    ]
    return [varint(len(data)) + data for data in frames] + [varint(1 << 27), b"\xff" * 20]


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


async def gossip_frames(target: Target) -> None:
    """Frames of gossipsub that are no protobuf, too large, or name too much."""

    async def send(data: bytes, connection: Any) -> None:
        stream = await connection.open_stream("/meshsub/1.1.0")
        for _ in range(20):
            await stream.write(data)
            target.record.messages += 1
        await trio.sleep(2)  # for the node to close the connection

    async with trio.open_nursery() as nursery:
        for data in _gossip_frames(target.chain):
            nursery.start_soon(authenticated, target, partial(send, data))


async def requests_of_no_kind(target: Target) -> None:
    """Requests that are too long, never end, or come by the hundred, whose answers nobody reads."""

    async def send(connection: Any) -> None:
        for data in (b"\xff\xff\xff\xff", b"\x00\x00\x01\x00half", b"\x00\x00\x00\x07" + b"4194304"):
            for _ in range(40):
                with suppress(Exception):
                    stream = await connection.open_stream("/alys/status/1")
                    await stream.write(data)
                    target.record.messages += 1
        await trio.sleep(3)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(authenticated, target, send)


ATTACKS: Mapping[str, Attack] = {
    each.__name__: each
    for each in (
        random_bytes, oversized_handshake, half_open, slow_loris, multistream_lines, authenticated_crowd,
        yamux_frames, unread_bytes, gossip_frames, requests_of_no_kind,
    )
}  # fmt: skip
