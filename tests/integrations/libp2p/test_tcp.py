"""A TCP connection to a peer: exact reads with deadlines, at a bounded rate, and whole writes."""

import socket
from collections.abc import Generator

import pytest
import trio
from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

Pair = tuple[trio.SocketStream, trio.SocketStream]


@pytest.fixture
def pair() -> Generator[Pair]:
    """Two ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    ends: list[trio.SocketStream] = []
    for each in (one, other):
        each.setblocking(False)
        ends.append(trio.SocketStream(trio.socket.from_stdlib_socket(each)))
    yield ends[0], ends[1]
    for each in (one, other):
        each.close()


async def test_reads_are_exact(pair: Pair, autojump_clock: MockClock) -> None:
    """libp2p gives up after a hundred parts of a message."""
    from alysd.integrations.libp2p.tcp import TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    await pair[1].send_all(b"abc")
    await pair[1].send_all(b"defgh")
    assert [await connection.read(n) for n in (2, 4, 2)] == [b"ab", b"cdef", b"gh"]
    assert connection.get_remote_address() == pair[1].socket.getsockname()


async def test_a_handshake_is_short(pair: Pair, autojump_clock: MockClock) -> None:
    """Each of 64 strangers could have the node buffer megabytes before it has proved anything."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.tcp import ConnectionClosedError, TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    await pair[1].send_all(bytes(limits.HANDSHAKE_BYTES + 1))
    await connection.read(limits.HANDSHAKE_BYTES)
    with pytest.raises(ConnectionClosedError, match="the handshake has more than 8192 bytes"):
        await connection.read(1)
    trusted = TcpConnection(pair[1], is_initiator=True)
    trusted.trust()
    await pair[0].send_all(bytes(limits.HANDSHAKE_BYTES + 1))
    assert len(await trusted.read(limits.HANDSHAKE_BYTES + 1)) == limits.HANDSHAKE_BYTES + 1


async def test_a_silent_peer_is_given_up(pair: Pair, autojump_clock: MockClock) -> None:
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.tcp import ConnectionClosedError, TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    began = trio.current_time()
    with pytest.raises(ConnectionClosedError, match="the peer has not sent 1 bytes within 15 s"):
        await connection.read(1)
    assert trio.current_time() - began == pytest.approx(limits.READ_SECONDS)


async def test_the_rate_of_received_bytes_is_bounded(pair: Pair, autojump_clock: MockClock) -> None:
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.tcp import TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    connection.trust()
    piece, began = 1 << 16, trio.current_time()

    async def send() -> None:
        for _ in range(2 * limits.BYTES_PER_SECOND // piece):
            await pair[1].send_all(bytes(piece))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for _ in range(2 * limits.BYTES_PER_SECOND // piece):
            await connection.read(piece)
    assert trio.current_time() - began == pytest.approx(1.0, abs=0.05)


async def test_a_write_that_the_peer_does_not_take_is_the_last_one_and_ends_the_read(
    pair: Pair, autojump_clock: MockClock
) -> None:
    """Half a message has left, so what follows could not be decrypted; and the reader would wait for 15 s."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.tcp import ConnectionClosedError, TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    ended: list[float] = []
    began = trio.current_time()

    async def read() -> None:
        with pytest.raises(ConnectionClosedError):
            await connection.read(1)
        ended.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        with pytest.raises(ConnectionClosedError, match="the peer has not taken .* bytes within 10 s"):
            await connection.write(bytes(64 << 20))
    assert ended == [pytest.approx(limits.WRITE_SECONDS)]
    with pytest.raises(ConnectionClosedError, match="an earlier write has failed"):
        await connection.write(b"x")


async def test_a_cancelled_write_is_finished_first(pair: Pair, autojump_clock: MockClock) -> None:
    """Half a frame would break the encryption for all other streams."""
    from alysd.integrations.libp2p.tcp import TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    with trio.CancelScope() as scope:
        scope.cancel()
        await connection.write(b"whole")
    assert await pair[1].receive_some(100) == b"whole"


async def test_a_peer_that_leaves_ends_reads_and_writes(pair: Pair, autojump_clock: MockClock) -> None:
    from alysd.integrations.libp2p.tcp import ConnectionClosedError, TcpConnection

    connection = TcpConnection(pair[0], is_initiator=False)
    await pair[1].aclose()
    with pytest.raises(ConnectionClosedError, match="the peer closed the connection"):
        await connection.read(1)
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        await connection.read(1)
    assert connection.get_remote_address() is None
