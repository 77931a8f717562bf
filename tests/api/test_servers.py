"""The node's servers as tasks: what is served where, and that a used port stops the node with a sentence."""

import httpx
import pytest
import trio

from alysd.addresses import Addresses
from alysd.api.alys_rpc import AlysRpc
from alysd.api.operator import OperatorPages
from alysd.api.servers import ServerAddresses, server_tasks
from alysd.api.system_handle import SystemHandle
from alysd.config.addresses import ListenAddress
from alysd.config.connection_sections import ApiConfig
from alysd.errors import AddressInUse
from alysd.integrations.clock import SystemClock
from alysd.node import FATAL
from alysd.nurseries import ChildSpec, HealthMonitor, OneForOne, State, SystemFailed, open_system, supervisor
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.processes import free_ports
from alysd.timing import Timing
from alysd.types.latest import Latest
from alysd.workflows.clock_watch import ClockWatch
from tests.api.http.fuzzing import HANDSHAKE

TIMING = Timing(2)

SPEC = chain_spec()


def tasks(config: ApiConfig, addresses: ServerAddresses | None = None) -> list[ChildSpec]:
    """The servers of a node whose actors do not run."""
    to = Addresses()
    context = ChainHand.of(SPEC).context
    rpc = AlysRpc(to.reader, lambda: 0, to.auxpow, context, Latest(None), TIMING)
    handle = SystemHandle(HealthMonitor())
    pages = OperatorPages(
        context, SystemClock(), ClockWatch(SystemClock(), 2), to.reader, to.metrics, handle, TIMING, "authority"
    )
    return server_tasks(config, rpc.methods(), pages, None, TIMING, (), addresses or ServerAddresses.of(config))


async def status_of(url: str, body: str | None = None) -> int:
    """The HTTP status of a GET, or of a POST when there is a body; waits for the server to be up."""
    async with httpx.AsyncClient() as client:
        with trio.fail_after(30):
            while True:
                try:
                    response = await (client.get(url) if body is None else client.post(url, content=body))
                except httpx.ConnectError:
                    await trio.sleep(0.02)
                else:
                    return response.status_code


async def test_one_port_serves_the_rpc_and_the_operators_pages() -> None:
    (port,) = free_ports(1)
    config = ApiConfig(address=ListenAddress("127.0.0.1", port))
    async with open_system(supervisor("Root", OneForOne(), tasks(config))):
        url = f"http://127.0.0.1:{port}"
        assert await status_of(url + "/", '{"id": 1, "method": "getheadblock", "params": []}') == 200
        assert await status_of(url + "/health/status") == 503, "a node whose tree is not up says that it starts"
        assert await status_of(url + "/nothing") == 404


async def test_a_byte_behind_a_websocket_handshake_ends_nothing_else() -> None:
    """One such packet ended the server, and with it the connections of all clients."""
    (port,) = free_ports(1)
    config = ApiConfig(address=ListenAddress("127.0.0.1", port))
    async with open_system(supervisor("Root", OneForOne(), tasks(config))) as system:
        url = f"http://127.0.0.1:{port}"
        assert await status_of(url + "/health/live") == 200
        async with await trio.open_tcp_stream("127.0.0.1", port) as other:
            for _ in range(20):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(HANDSHAKE + b"x")
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 405")
            await other.send_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await other.receive_some()).startswith(b"HTTP/1.1 200")
        assert [child.restarts for child in system.snapshot().walk()] == [0, 0]


async def test_the_operators_pages_may_have_a_port_of_their_own() -> None:
    api, operator = free_ports(2)
    config = ApiConfig(
        address=ListenAddress("127.0.0.1", api), operator_address=ListenAddress("127.0.0.1", operator)
    )
    assert [each.name for each in tasks(config)] == ["operator server", "alys server"]
    async with open_system(supervisor("Root", OneForOne(), tasks(config))):
        assert await status_of(f"http://127.0.0.1:{operator}/health/status") == 503
        assert await status_of(f"http://127.0.0.1:{api}/health/status") == 404


async def until_bound(addresses: ServerAddresses, wanted: ListenAddress) -> None:
    with trio.fail_after(30):
        while addresses.alys.bound != wanted:  # noqa: ASYNC110  the place has no event
            await trio.sleep(0.01)


async def test_a_port_that_is_taken_while_the_server_restarts_does_not_stop_the_node() -> None:
    """A node that makes blocks would stop because another program was quicker."""
    first, second = (ListenAddress("127.0.0.1", port) for port in free_ports(2))
    config = ApiConfig(address=first)
    addresses = ServerAddresses.of(config)
    async with open_system(supervisor("Root", OneForOne(), tasks(config, addresses)), fatal=FATAL) as system:
        await until_bound(addresses, first)  # at the start of a node, the same failure stops it
        addresses.alys.wanted = second
        await system.restart("alys server")
        await until_bound(addresses, second)
        (taken,) = await trio.open_tcp_listeners(first.port, host=first.host)
        async with taken:
            addresses.alys.wanted = first
            await system.restart("alys server")
            with trio.fail_after(30):
                while system.snapshot().children[0].state is not State.BACKOFF:  # noqa: ASYNC110
                    await trio.sleep(0.01)
        with trio.fail_after(30):
            while system.snapshot().children[0].state is not State.RUNNING:  # noqa: ASYNC110  it tries again
                await trio.sleep(0.01)


async def test_a_used_port_stops_the_node_with_its_number() -> None:
    (port,) = free_ports(1)
    config = ApiConfig(address=ListenAddress("127.0.0.1", port))
    (taken,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
    async with taken:
        with pytest.raises(SystemFailed) as failed:
            async with open_system(supervisor("Root", OneForOne(), tasks(config)), fatal=FATAL):
                await trio.sleep_forever()
    assert isinstance(failed.value.__cause__, AddressInUse)
    assert str(port) in str(failed.value.__cause__)
