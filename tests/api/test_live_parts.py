"""Each option that the documentation calls live is applied to its part of the node, and to the next output."""

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

from alysd.api.console_log import console_log
from alysd.api.http.connection_places import Port
from alysd.api.http.limits import LIMITS
from alysd.api.http.messages import HttpRefused
from alysd.api.http.site import HostNames, Site
from alysd.api.live_parts import READ_AT_USE, LiveAddress, LiveHosts, LiveLimits, LiveLog, LiveMiner
from alysd.api.servers import ServerAddresses, limits_of
from alysd.api.system_handle import SystemHandle
from alysd.config.addresses import ListenAddress
from alysd.config.chain_sections import ChainConfig, MiningConfig
from alysd.config.connection_sections import ApiConfig
from alysd.config.flags import Flags
from alysd.config.model import AlysConfig, all_options
from alysd.config.operation_sections import LoggingConfig
from alysd.errors import ConfigRefused
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeReady, NotReady
from alysd.messages.metrics import PortCounts
from alysd.nurseries import ChildSpec, HealthMonitor, Immediate, OneForOne, open_system, supervisor, task
from alysd.running import live_parts
from alysd.testing.processes import free_ports
from alysd.timing import Timing
from alysd.types.hashes import EvmAddress
from alysd.types.latest import Latest

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))


async def test_the_next_line_has_the_new_level_and_format(tmp_path: Path) -> None:
    before = LoggingConfig("error", "text")
    with (tmp_path / "log").open("w") as stream, console_log(before, stream) as process_log:
        log(NodeReady(1.0, None))
        live = LiveLog(process_log)
        await live.apply(attrs.evolve(START, logging=LoggingConfig("info", "json")))
        log(NodeReady(2.0, None))
        await live.apply(attrs.evolve(START, logging=LoggingConfig("info", "text")))
        log(NotReady("no answer"))
        await live.apply(attrs.evolve(START, logging=LoggingConfig("error", "text")))
        log(NodeReady(3.0, None))
    first, second = (tmp_path / "log").read_text().splitlines()
    assert (json.loads(first)["event"], json.loads(first)["seconds"]) == ("ready", 2.0)
    assert second.endswith("not ready   no answer")


async def test_the_next_request_may_have_the_new_name() -> None:
    names = HostNames(["old.example"])
    site = Site({}, names=names)
    site.check_host(b"old.example")
    hosts = ApiConfig(allowed_hosts=("new.example",))  # pyright: ignore[reportArgumentType]
    await LiveHosts(names).apply(attrs.evolve(START, api=hosts))
    site.check_host(b"new.example:3000")
    with pytest.raises(HttpRefused, match="this node is not old"):
        site.check_host(b"old.example")


def test_every_live_option_has_its_part(tmp_path: Path) -> None:
    """A reload would say that an option is applied, and nothing would use it."""
    live = {one.key for one in all_options() if one.live}
    resources = SimpleNamespace(payment_signer=None, timing=Timing(2))
    node: Any = SimpleNamespace(resources=resources, fee_recipient=Latest(None), handle=None, flags=Flags())
    with (tmp_path / "log").open("w") as stream, console_log(LoggingConfig(), stream) as process_log:
        parts = live_parts(node, process_log, HostNames(), ServerAddresses.of(ApiConfig()))
    keys = [key for part in parts for key in part.keys]
    assert sorted([*keys, *READ_AT_USE]) == sorted(live)


def test_every_child_that_a_change_restarts_is_that_of_its_part() -> None:
    """The trial would watch another child, and the documentation would name it."""
    named = {one.key: one.restarts for one in all_options() if one.restarts}
    assert named == {"api.address": "alys server", "api.ethereum_address": "ethereum server"}


async def test_the_next_request_is_judged_by_the_new_limits() -> None:
    """A port keeps the limits in one place, which a reload changes for all its connections."""
    limits = Latest(limits_of(ApiConfig()))
    port = Port(limits, PortCounts("alys"))
    assert (port.limits.rpc, port.limits.bodies, port.limits.responses) == (256, 64 << 20, 64 << 20)
    assert port.limits == LIMITS, "the options have the defaults of the server"
    port.running[False] = 10
    assert not port.crowded
    await LiveLimits(limits).apply(attrs.evolve(START, api=ApiConfig(max_requests=16, buffer_mib=8)))
    assert (port.limits.rpc, port.limits.bodies, port.limits.responses) == (16, 8 << 20, 8 << 20)
    assert port.crowded


async def test_the_next_work_is_for_the_new_address() -> None:
    recipient: Latest[EvmAddress | None] = Latest(None)
    address = EvmAddress(b"\x11" * 20)
    await LiveMiner(recipient).apply(attrs.evolve(START, mining=MiningConfig(fee_recipient=address)))
    assert recipient.value == address


def served(used: Latest[ListenAddress]) -> ChildSpec:
    """A server that greets."""

    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        await stream.aclose()

    async def run() -> None:
        listeners = await trio.open_tcp_listeners(used.value.port, host=used.value.host)
        await trio.serve_listeners(greet, listeners)

    return task("alys server", run, restart=Immediate())


async def greeting(port: int) -> bytes:
    """The greeting of a server that may be starting."""
    with trio.fail_after(30):
        while True:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    return bytes(await stream.receive_some())
            except OSError:
                await trio.sleep(0.02)


async def test_a_server_moves_to_another_address_and_back() -> None:
    first, second, third = (ListenAddress("127.0.0.1", port) for port in free_ports(3))
    used, handle = Latest(first), SystemHandle(HealthMonitor())
    part = LiveAddress("api.address", "alys server", used, handle)

    def at(address: ListenAddress) -> AlysConfig:
        return attrs.evolve(START, api=ApiConfig(address=address))

    async with open_system(supervisor("Root", OneForOne(), [served(used)])) as system:
        handle.system = system
        await part.apply(at(second))
        assert await greeting(second.port) == b"hello"
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", first.port)
        uptime = system.snapshot().children[0].uptime
        await part.apply(at(second))
        assert system.snapshot().children[0].uptime >= uptime, "nothing is restarted without a change"
        with socket.socket() as other:
            other.bind((third.host, third.port))
            other.listen()
            with pytest.raises(ConfigRefused, match=f"{third} cannot be used"):
                await part.apply(at(third))
        assert await greeting(second.port) == b"hello"
        await part.apply(at(first))
        assert await greeting(first.port) == b"hello"


async def test_a_server_that_the_node_does_not_have_is_no_problem() -> None:
    """A node with geth has no Ethereum server of its own; the option may change all the same."""
    used, handle = Latest(ListenAddress("127.0.0.1", 1)), SystemHandle(HealthMonitor())
    async with open_system(supervisor("Root", OneForOne(), [])) as system:
        handle.system = system
        part = LiveAddress("api.ethereum_address", "ethereum server", used, handle)
        await part.apply(attrs.evolve(START, api=ApiConfig(ethereum_address=ListenAddress("127.0.0.1", 2))))
    assert used.value.port == 2
