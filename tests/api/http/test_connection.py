"""One connection: what RFC 9112 asks of a server, and what is refused with which status."""

import gzip
import json
import re
import zlib

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import Request, Response
from alysd.api.http.server import serve_stream
from alysd.api.http.site import Route, Site
from alysd.errors import NotNow
from tests.api.http.fuzzing import ASK, HANDSHAKE, INTERESTING, POST, frame
from tests.api.http.memory_client import SITE, converse, new_port


def heads(received: bytes) -> list[int]:
    """The statuses of all responses."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("a post", [200]),
        ("two posts in one packet", [200, 200]),
        ("a page", [200]),
        ("HTTP/1.0", [200]),
        ("HTTP/2", [505]),
        ("a last request", [200]),
        ("two lengths", [400]),
        ("length and chunks", [400]),
        ("a folded header", [200]),
        ("a space before the colon", [400]),
        ("another host", [421]),
        ("no host", [400]),
        ("a whole URL", [200]),
        ("a preflight", [204]),
        ("TLS", [400]),
        ("another version", [426]),
    ],
)
async def test_each_kind_of_request_has_its_status(
    autojump_clock: MockClock, name: str, statuses: list[int]
) -> None:
    assert heads(await converse([INTERESTING[name]], new_port())) == statuses


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nhost: localhost", 404),
        (b"DELETE /page HTTP/1.1\r\nhost: localhost", 405),
        (b"GET / HTTP/1.1\r\nhost: localhost", 405),
        (b"GET /page HTTP/2.0\r\nhost: localhost", 505),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5242881", 413),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999", 413),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: gzip\r\ncontent-length: 1", 415),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip", 501),
        (b"GET /page HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000, 431),
        (b"GET /page HTTP/1.1\r\nhost: localhost" + b"\r\nx: y" * 101, 431),
        (b"GET /page HTTP/1.1\r\nhost: one\r\nhost: two", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nsec-websocket-version: 13", 400),
    ],
)
async def test_what_is_wrong_is_refused_with_a_sentence(
    autojump_clock: MockClock, head: bytes, status: int
) -> None:
    received = await converse([head + b"\r\n\r\n"], new_port())
    assert heads(received) == [status]
    assert b"connection: close" in received
    assert len(received.partition(b"\r\n\r\n")[2]) > 15, "the refusal has no words"


@pytest.mark.parametrize("first", ["a post", "a page", "a folded header", "a whole URL", "chunks", "a preflight"])
async def test_a_request_is_judged_alike_whichever_came_before_it(autojump_clock: MockClock, first: str) -> None:
    """A head that repeats the previous one is not parsed again: none that differs may pass for it."""
    before = INTERESTING[first]
    once = heads(await converse([before], new_port()))
    assert heads(await converse([before] * 3, new_port())) == once * 3
    assert heads(await converse([before * 3], new_port())) == once * 3
    for name, stream in INTERESTING.items():
        alone = heads(await converse([stream], new_port()))
        assert heads(await converse([before, stream], new_port())) == once + alone, name
        assert heads(await converse([before + stream], new_port())) == once + alone, name


async def test_a_repeated_head_has_the_body_that_follows_it(autojump_clock: MockClock) -> None:
    """A client would get the answer to its previous request."""
    one, two = ASK.replace(b"[1]", b"[7]"), ASK.replace(b"[1]", b"[8]")
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(ASK)
    for pieces in ([head + ASK, head + one, head + two], [head, ASK, head, one, head[:20], head[20:] + two]):
        received = await converse(pieces, new_port())
        assert re.findall(rb'"result":\[(.)\]', received) == [b"1", b"7", b"8"]
    evil = head.replace(b"localhost", b"localhos.")
    assert heads(await converse([head + ASK, evil + ASK], new_port())) == [200, 421]


async def test_the_refusal_of_a_host_names_the_option(autojump_clock: MockClock) -> None:
    received = await converse([INTERESTING["another host"]], new_port())
    assert received.endswith(
        b"this node is not evil.example: use its IP address, or add the name to api.allowed_hosts\n"
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:3000",
        "a.localhost",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:80",
        "8.8.8.8",
        "Node.Example:8545",
    ],
)
async def test_own_names_and_addresses_are_allowed(autojump_clock: MockClock, host: str) -> None:
    request = f"GET /page HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    assert heads(await converse([request], new_port())) == [200]


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.0.0.1.evil.example", "evil", "[::1].evil", ""])
async def test_names_that_only_look_like_the_nodes_are_not(autojump_clock: MockClock, host: str) -> None:
    request = f"GET /page HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    assert heads(await converse([request], new_port())) == [421]


async def test_a_page_of_another_origin_of_its_own_name_reaches_no_websocket(
    autojump_clock: MockClock,
) -> None:
    handshake = HANDSHAKE.replace(b"host: localhost", b"host: evil.example")
    assert heads(await converse([handshake], new_port())) == [421]


async def test_a_preflight_of_a_private_network_is_allowed(autojump_clock: MockClock) -> None:
    received = await converse([INTERESTING["a preflight"]], new_port())
    assert b"access-control-allow-private-network: true" in received
    assert b"access-control-allow-origin: *" in received


async def test_a_site_without_cors_answers_no_preflight(autojump_clock: MockClock) -> None:
    site = attrs.evolve(SITE, any_origin=False)
    received = await converse([INTERESTING["a preflight"]], new_port(), site)
    assert heads(received) == [403]
    assert b"access-control" not in received


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("HTTP://LOCALHOST:3000", 200),
        ("https://node.example", 200),
        ("http://localhost:8080", 403),
        ("http://localhost", 403),
        ("https://evil.example", 403),
        ("https://node.example.evil", 403),
        ("null", 403),
        ("file://", 403),
        ("", 403),
    ],
)
async def test_a_page_of_another_origin_executes_nothing(
    autojump_clock: MockClock, origin: str, status: int
) -> None:
    """A browser sends a POST of plain text for any page, and asks nobody before."""
    request = (
        f"POST / HTTP/1.1\r\nhost: localhost:3000\r\norigin: {origin}\r\ncontent-type: text/plain\r\n"
        'content-length: 24\r\n\r\n{"id":1,"method":"echo"}'
    ).encode()
    site = attrs.evolve(SITE, any_origin=False)
    received = await converse([request], new_port(), site)
    assert heads(received) == [status]
    if status != 200:
        page = "api.allowed_hosts"
        assert f"web pages of {origin} may not use this port: add their host name to {page}\n".encode() in received
    assert heads(await converse([request], new_port(), SITE)) == [200]


async def test_a_head_request_has_the_length_and_no_body(autojump_clock: MockClock) -> None:
    received = await converse([INTERESTING["only its head"]], new_port())
    assert b"content-length: 6\r\n" in received
    assert received.endswith(b"\r\n\r\n")


async def test_a_client_that_waits_is_told_to_go_on_once(autojump_clock: MockClock) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [head, b"%x" % len(ASK), b"\r\n", ASK + b"\r\n0\r\n\r\n"]
    assert heads(await converse(pieces, new_port())) == [100, 200]


async def test_a_request_that_is_too_large_is_not_told_to_go_on(autojump_clock: MockClock) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 6000000\r\n\r\n"
    assert heads(await converse([head], new_port())) == [413]


async def test_empty_lines_before_a_request_are_allowed(autojump_clock: MockClock) -> None:
    assert heads(await converse([b"\r\n\r\n", POST, b"\r\n" + POST], new_port())) == [200, 200]


async def test_a_body_in_many_tiny_chunks_is_refused(autojump_clock: MockClock) -> None:
    """Each costs as much as a large one: five million would stop the event loop for a minute."""
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    assert heads(await converse([head + b"1\r\nx\r\n" * 3000], new_port())) == [413]


async def test_bodies_that_are_too_large_together_are_refused(autojump_clock: MockClock) -> None:
    """The half-sent requests of 300 clients would otherwise fill the memory."""
    port = new_port(ServerLimits(bodies=1000))
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000\r\n\r\n"
    assert heads(await converse([head + b"x" * 1500], port)) == [503]
    assert port.body_bytes == 0


async def test_a_refusal_of_a_handler_is_a_503_and_a_fault_a_500(autojump_clock: MockClock) -> None:
    async def starting(request: Request) -> Response:
        raise NotNow("the node is starting")

    async def broken(request: Request) -> Response:
        raise KeyError("secret")

    site = Site({"/starting": Route("GET", starting), "/broken": Route("GET", broken)})
    port = new_port()
    request = b"GET /%b HTTP/1.1\r\nhost: localhost\r\n\r\n"
    received = await converse([request % b"broken", request % b"starting"], port, site)
    assert heads(received) == [500, 503]
    assert b'"code":-32603' in received
    assert b"secret" not in received
    assert port.counts.failed == 1


@pytest.mark.parametrize("size", [20_000, 200_000])
async def test_a_large_response_is_compressed_for_those_who_ask(size: int) -> None:
    async def large(request: Request) -> Response:
        return Response(json.dumps("x" * size).encode())

    site = Site({"/": Route("GET", large)})
    request = b"GET / HTTP/1.1\r\nhost: localhost\r\naccept-encoding: %b\r\nconnection: close\r\n\r\n"
    packed = await exchange(request % b"deflate, gzip;q=1.0", site)
    assert b"content-encoding: gzip" in packed
    assert json.loads(gzip.decompress(packed.partition(b"\r\n\r\n")[2])) == "x" * size
    for asked in (b"gzip;q=0", b"br", b"identity"):
        plain = await exchange(request % asked, site)
        assert json.loads(plain.partition(b"\r\n\r\n")[2]) == "x" * size
    with pytest.raises(zlib.error):
        zlib.decompress(plain)


async def exchange(request: bytes, site: Site) -> bytes:
    """Like `converse`, on the real clock, since a large response is compressed in a thread."""
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, server, new_port(), site)
        await client.send_all(request)
        received = bytearray()
        while data := await client.receive_some():
            received += data
    return bytes(received)


async def test_a_half_sent_request_ends(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    assert heads(await converse([b"POST / HTTP/1.1\r\nhost: loc"], new_port(), end=False)) == [408]
    assert trio.current_time() - began <= 12


async def test_a_request_that_drips_has_its_deadline_from_its_first_byte(autojump_clock: MockClock) -> None:
    """A byte every second would otherwise keep the connection for a day."""
    client, server = trio.testing.memory_stream_pair()
    began, port = trio.current_time(), new_port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.watch)
        nursery.start_soon(serve_stream, server, port, SITE)
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
            for byte in POST:
                await client.send_all(bytes([byte]))
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began <= 13


async def test_an_idle_connection_ends_without_a_word(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    assert heads(await converse([POST], new_port(), end=False)) == [200]
    assert trio.current_time() - began == pytest.approx(75, abs=0.2)


@pytest.mark.parametrize("_attempt", range(8))
async def test_a_request_that_came_while_the_process_was_stopped_is_answered(
    mock_clock: MockClock, _attempt: int
) -> None:
    """The deadline of the idle connection has passed at the same moment, and tasks run in random order."""
    client, server = trio.testing.memory_stream_pair()
    port = new_port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.watch)
        nursery.start_soon(serve_stream, server, port, SITE)
        await trio.testing.wait_all_tasks_blocked()
        await client.send_all(POST)
        mock_clock.jump(600)
        assert (await client.receive_some()).startswith(b"HTTP/1.1 200")
        nursery.cancel_scope.cancel()


async def test_messages_are_echoed_and_a_ping_is_answered(autojump_clock: MockClock) -> None:
    received = await converse([HANDSHAKE + frame(b"one"), frame(b"p", 9), frame(b"two", 2)], new_port())
    assert received.partition(b"\r\n\r\n")[2] == b"\x81\x03one\x8a\x01p\x81\x03two"


async def test_a_compressed_frame_is_not_inflated(autojump_clock: MockClock) -> None:
    """64 KiB would become 64 MiB."""
    packer = zlib.compressobj(9, wbits=-15)
    bomb = packer.compress(bytes(1 << 26)) + packer.flush(zlib.Z_SYNC_FLUSH)
    offer = b"sec-websocket-extensions: permessage-deflate\r\nsec-websocket-version"
    handshake = HANDSHAKE.replace(b"sec-websocket-version", offer)
    received = await converse([handshake + frame(bomb[:65535], 2, flags=0x40)], new_port())
    head, _, frames = received.partition(b"\r\n\r\n")
    assert b"extensions" not in head
    assert frames[:1] == b"\x88", "the connection is closed"
    assert frames[2:4] == (1002).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(b"x" * 60_000, 2, last=False) + frame(b"x" * 60_000, 0, last=False) * 100, 1009),
        (frame(b"", last=False) + frame(b"", 0, last=False) * 3000, 1009),
        (frame(b"\xff"), 1007),
        (frame(b"half", last=False), 1008),
        (b"\x81\x01x", 1002),
    ],
    ids=["too long", "too many pieces", "bad UTF-8", "never finished", "no mask"],
)
async def test_a_wrong_message_ends_the_websocket_with_its_code(
    autojump_clock: MockClock, frames: bytes, code: int
) -> None:
    received = await converse([HANDSHAKE + frames], new_port(), end=False)
    closing = received.partition(b"\r\n\r\n")[2]
    assert closing[:1] == b"\x88"
    assert int.from_bytes(closing[2:4], "big") == code


async def test_a_websocket_that_has_gone_is_noticed_by_its_silence(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    received = await converse([HANDSHAKE], new_port(), end=False)
    assert received.endswith(b"\r\n\r\n\x89\x00"), "it is pinged once"
    assert trio.current_time() - began == pytest.approx(40)
