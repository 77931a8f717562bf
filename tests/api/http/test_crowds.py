"""Many clients at once: idle ones, half-sent requests, slow readers. A newcomer and the operator are served."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import trio

from alysd.api.http.connection_places import Port
from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import Request, Response
from alysd.api.http.site import Route, Site
from alysd.api.jsonrpc import Dispatcher, Method, Params, rpc_route
from alysd.messages.log.base import LogEvent
from alysd.messages.log.clients import ClientsTurnedAway
from alysd.messages.metrics import PortCounts
from alysd.testing.site_server import RunningServer, served
from tests.api.http.fuzzing import HANDSHAKE, POST
from tests.api.http.memory_client import SITE

SOON = 15.0
"""Seconds. The answer takes a millisecond, on a busy machine more. The faults tested for took 28 s and 75 s."""


@asynccontextmanager
async def crowd(running: RunningServer, size: int, data: bytes) -> AsyncGenerator[list[trio.SocketStream]]:
    """So many connections, each of which has sent `data` and does no more."""
    async with AsyncExitStack() as stack:
        streams: list[trio.SocketStream] = []
        for _ in range(size):
            stream = await stack.enter_async_context(await running.connect())
            await stream.send_all(data)
            streams.append(stream)
        yield streams


async def is_served(running: RunningServer) -> None:
    """A new client gets a page and an answer at once."""
    # The client is made before the deadline begins, because it reads the certificates of the machine.
    async with httpx.AsyncClient() as client:
        with trio.fail_after(SOON):
            assert (await client.get(running.url + "page")).status_code == 200
            assert (await client.post(running.url, content=b'{"id":1,"method":"echo"}')).json()["result"] == []


@pytest.mark.parametrize("data", [b"", POST[:-5], b"GET / HT", HANDSHAKE], ids=["idle", "body", "head", "socket"])
async def test_waiting_connections_shut_nobody_out(data: bytes) -> None:
    """256 of them shut a port for 75 s."""
    async with served(SITE) as running, crowd(running, 330, data):
        await is_served(running)
        assert running.counts.gave_way >= 26


async def test_the_connection_that_has_waited_longest_gives_way_and_a_websocket_last() -> None:
    port = Port(ServerLimits(rpc=2, operator=1, waiting=1), PortCounts("test"))
    first, second, socket, running = (port.enter() for _ in range(4))
    socket.websocket = True
    running.run(operator=False)
    assert not port.enter().given_up
    assert [place.given_up for place in (first, second, socket, running)] == [True, False, False, False]
    port.enter()
    assert [place.given_up for place in (first, second, socket, running)] == [True, True, False, False]


async def test_a_running_request_is_finished_while_others_come() -> None:
    answer, begun = trio.Event(), trio.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await answer.wait()
        return Response.text("done")

    site = Site({"/slow": Route("GET", slow), **SITE.routes})
    limits = ServerLimits(rpc=3, operator=1, waiting=1)
    async with served(site, limits) as running, await running.connect() as stream:
        await stream.send_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await begun.wait()
        async with crowd(running, 20, b""):
            await is_served(running)
        answer.set()
        assert b"done" in await stream.receive_some()


async def test_more_requests_than_places_are_refused_and_the_operators_pages_are_not() -> None:
    """A crowd at the RPC would otherwise hide the node from its operator."""
    forever = trio.Event()

    async def slow(request: Request) -> Response:
        await forever.wait()
        return Response.text("done")

    site = Site({"/slow": Route("GET", slow), "/page": SITE.routes["/page"]})
    slow_request = b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n"
    limits = ServerLimits(rpc=5, operator=2, waiting=3)
    async with served(site, limits) as running, crowd(running, 8, slow_request) as streams:
        with trio.fail_after(SOON):
            assert (await streams[-1].receive_some()).startswith(b"HTTP/1.1 503")
            async with httpx.AsyncClient() as client:
                assert (await client.get(running.url + "page")).status_code == 200
        assert running.counts.busy == 3
        forever.set()


async def test_a_client_that_does_not_read_is_given_up_and_counted(logged: list[LogEvent]) -> None:
    async def huge(request: Request) -> Response:
        return Response(bytes(30_000_000))

    site = Site({"/": Route("GET", huge)})
    async with served(site, ServerLimits(send=0.2, send_rate=2**30)) as running, await running.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        with trio.fail_after(SOON):
            while not running.counts.slow:  # noqa: ASYNC110  the server has no event for a test
                await trio.sleep(0.05)
    assert [line for line in logged if isinstance(line, ClientsTurnedAway)] == [ClientsTurnedAway("alys", 0, 0, 1)]


async def test_what_is_turned_away_is_logged_once_a_minute(
    autojump_clock: trio.testing.MockClock, logged: list[LogEvent]
) -> None:
    port = Port(ServerLimits(), PortCounts("test"))
    for _ in range(100):
        port.slow()
        await trio.sleep(1)
    lines = [line for line in logged if isinstance(line, ClientsTurnedAway)]
    assert lines == [ClientsTurnedAway("test", 0, 0, 1), ClientsTurnedAway("test", 0, 0, 60)]


BATCH = b"[" + b",".join([b'{"id":1,"method":"large"}'] * 20) + b"]"
BATCHES = 8 * (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(BATCH), BATCH))
"""Pipelined requests. Their responses, 3 MB each, do not fit into the buffers of a connection."""


def batches(carried_out: list[None]) -> Site:
    async def large(params: Params) -> str:
        carried_out.append(None)
        return "x" * 150_000

    methods = {"large": Method(large), "echo": Method(large)}
    return Site({"/": rpc_route(Dispatcher(methods, {})), "/page": SITE.routes["/page"]})


async def test_slow_readers_with_pipelined_batches_shut_nobody_out() -> None:
    """270 of them refused all others for 28 s."""
    limits = ServerLimits(rpc=12, operator=2, waiting=4)
    async with served(batches([]), limits) as running, crowd(running, 18, BATCHES):
        for _ in range(5):
            with trio.fail_after(SOON):
                async with httpx.AsyncClient() as client:
                    answer = await client.post(running.url, content=b'{"id":1,"method":"echo"}')
            assert answer.status_code == 200
        assert running.counts.busy == 0


async def test_what_clients_asked_for_who_have_gone_is_not_done() -> None:
    """Batches of 256 such clients took the time of several slots."""
    carried_out: list[None] = []
    async with served(batches(carried_out)) as running:
        async with crowd(running, 10, BATCHES):
            pass
        before = -1
        while running.counts.opened < 10 or len(carried_out) > before:
            before = len(carried_out)
            await trio.sleep(0.2)
    assert len(carried_out) < 10 * 20, "of 1,600"
    assert running.counts.failed == 0
