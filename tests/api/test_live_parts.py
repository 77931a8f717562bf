"""Each option that the documentation calls live is applied to its part of the node, and to the next output."""

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.addresses import Addresses
from alysd.api.console_log import console_log
from alysd.api.http.connection_places import Port
from alysd.api.http.limits import LIMITS
from alysd.api.http.messages import HttpRefused
from alysd.api.http.site import HostNames, Site
from alysd.api.live_parts import (
    READ_AT_USE,
    LiveAddress,
    LiveHealth,
    LiveHosts,
    LiveLimits,
    LiveLog,
    LiveMiner,
    LivePeers,
)
from alysd.api.servers import ServerAddresses, ServerPlace, limits_of
from alysd.api.system_handle import SystemHandle
from alysd.config.addresses import ListenAddress
from alysd.config.chain_sections import ChainConfig, MiningConfig
from alysd.config.connection_sections import ApiConfig, NetworkConfig
from alysd.config.flags import Flags
from alysd.config.model import AlysConfig, all_options
from alysd.config.operation_sections import LoggingConfig
from alysd.config.peer_choice import PeerChoice
from alysd.config.runtime_sections import MonitoringConfig
from alysd.errors import ConfigRefused
from alysd.integrations.key_kinds import public_text
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeReady, NotReady
from alysd.messages.metrics import PortCounts
from alysd.messages.peer_host import ChangePeers, ConfirmChange, PeerHost
from alysd.nurseries import (
    Actor,
    Address,
    ChildSpec,
    ExponentialBackoff,
    FixedDelay,
    HealthMonitor,
    OneForOne,
    State,
    actor,
    handles,
    open_system,
    supervisor,
    task,
)
from alysd.running import live_parts
from alysd.testing.processes import free_ports
from alysd.timing import Timing
from alysd.types.hashes import EvmAddress
from alysd.types.health_limits import HealthLimits
from alysd.types.latest import Latest
from alysd.types.peers import PeerAddress, PeerHostConfig

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
    resources = SimpleNamespace(payment_signer=None, timing=Timing(2), peers=None)
    to = Addresses()
    node: Any = SimpleNamespace(resources=resources, to=to, fee_recipient=Latest(None), handle=None, flags=Flags())
    with (tmp_path / "log").open("w") as stream, console_log(LoggingConfig(), stream) as process_log:
        parts = live_parts(node, process_log, HostNames(), ServerAddresses.of(ApiConfig()), Latest(HealthLimits()))
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


async def test_the_next_look_at_the_health_has_the_new_limits() -> None:
    limits = Latest(HealthLimits())
    await LiveHealth(limits).apply(attrs.evolve(START, monitoring=MonitoringConfig(5, 8, 0, 3)))
    assert limits.value == HealthLimits(5, 8, 0, 3)


async def test_the_next_work_is_for_the_new_address() -> None:
    recipient: Latest[EvmAddress | None] = Latest(None)
    address = EvmAddress(b"\x11" * 20)
    await LiveMiner(recipient).apply(attrs.evolve(START, mining=MiningConfig(fee_recipient=address)))
    assert recipient.value == address


def served(used: ServerPlace) -> ChildSpec:
    """A server that greets."""

    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        await stream.aclose()

    async def run() -> None:
        now = used.wanted
        listeners = await trio.open_tcp_listeners(now.port, host=now.host)
        used.bound = now
        await trio.serve_listeners(greet, listeners)

    return task("alys server", run, restart=ExponentialBackoff())


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
    used, handle = ServerPlace(first), SystemHandle(HealthMonitor())
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


async def test_a_server_moves_to_another_host_with_the_same_port() -> None:
    """From 127.0.0.1 to all addresses: the server itself was in the way of the check."""
    (port,) = free_ports(1)
    one, every = ListenAddress("127.0.0.1", port), ListenAddress("0.0.0.0", port)  # noqa: S104
    used, handle = ServerPlace(one), SystemHandle(HealthMonitor())
    part = LiveAddress("api.address", "alys server", used, handle)
    async with open_system(supervisor("Root", OneForOne(), [served(used)])) as system:
        handle.system = system
        for address in (every, one):
            await part.apply(attrs.evolve(START, api=ApiConfig(address=address)))
            assert used.wanted == address
            assert await greeting(port) == b"hello"
        await part.apply(attrs.evolve(START, api=ApiConfig(address=every)))
        elsewhere = ListenAddress("192.0.2.1", port)
        with pytest.raises(ConfigRefused, match=r"192\.0\.2\.1:\d+ cannot be used: OSError"):
            await part.apply(attrs.evolve(START, api=ApiConfig(address=elsewhere)))
        await part.apply(attrs.evolve(START, api=ApiConfig(address=every)))
        assert await greeting(port) == b"hello"


async def test_a_server_that_the_node_does_not_have_is_no_problem() -> None:
    """A node with geth has no Ethereum server of its own; the option may change all the same."""
    used, handle = ServerPlace(ListenAddress("127.0.0.1", 1)), SystemHandle(HealthMonitor())
    async with open_system(supervisor("Root", OneForOne(), [])) as system:
        handle.system = system
        part = LiveAddress("api.ethereum_address", "ethereum server", used, handle)
        await part.apply(attrs.evolve(START, api=ApiConfig(ethereum_address=ListenAddress("127.0.0.1", 2))))
    assert used.wanted.port == 2


class RecordingHost(Actor[PeerHost], partial=True):
    """Stands for the peer host, which fails to start while `broken`."""

    def __init__(self, seen: list[ChangePeers], broken: Latest[bool]) -> None:
        self._seen = seen
        self._broken = broken

    async def pre_start(self) -> None:
        if self._broken.value:
            raise OSError("the address is in use")

    @handles(ChangePeers)
    async def change(self, message: ChangePeers) -> None:
        self._seen.append(message)

    @handles(ConfirmChange)
    async def confirm(self, _message: ConfirmChange) -> None:
        pass


OWN, FIRST, SECOND = (
    PeerAddress("192.0.2.1", 9333 + number, public_text("network", bytes([number + 1] * 32)))
    for number in range(3)
)


def naming(*peers: PeerAddress, max_inbound: int = 32) -> AlysConfig:
    section = NetworkConfig(address=ListenAddress("127.0.0.1", 9333), peers=peers, max_inbound=max_inbound)
    return attrs.evolve(START, network=section)


async def test_the_peer_host_is_told_of_other_peers_and_its_next_start_has_them(autojump_clock: MockClock) -> None:
    """A member that was added would be forgotten again when the peer host restarts."""
    config = PeerHostConfig("127.0.0.1", 9333, (FIRST,), bytes(32), "6d3425cf", 32)
    choice, seen, broken = PeerChoice.of(config, OWN.peer), list[ChangePeers](), Latest(False)
    host: Address[PeerHost] = Address("peer host")
    handle = SystemHandle(HealthMonitor())
    part = LivePeers(choice, host, handle)
    spec = actor(host, lambda: RecordingHost(seen, broken), restart=FixedDelay(5.0))
    async with open_system(supervisor("Root", OneForOne(), [spec])) as system:
        handle.system = system
        await part.apply(naming(OWN, FIRST))
        assert seen == [], "nothing has changed: the own entry is no peer"
        await part.apply(naming(OWN, SECOND, max_inbound=4))
        assert seen == [ChangePeers((SECOND,), 4)]
        assert choice.host.value == attrs.evolve(config, peers=(SECOND,), max_inbound=4)
        assert SECOND.peer in choice.configured
        assert FIRST.peer not in choice.configured
        broken.value = True
        await system.restart("peer host")
        await wait_all_tasks_blocked()
        assert system.snapshot().children[0].state is State.BACKOFF
        await part.apply(naming(FIRST))
        assert len(seen) == 1, "there is nobody to tell"
        assert choice.host.value.peers == (FIRST,)


async def test_a_peer_host_that_starts_gets_the_change_when_it_is_up(autojump_clock: MockClock) -> None:
    """Its start takes seconds: a reload in this time would be rolled back."""
    config = PeerHostConfig("127.0.0.1", 9333, (FIRST,), bytes(32), "6d3425cf", 32)
    seen, begin = list[ChangePeers](), trio.Event()

    class Starting(RecordingHost):
        async def pre_start(self) -> None:
            await begin.wait()

    host: Address[PeerHost] = Address("peer host")
    handle = SystemHandle(HealthMonitor())
    part = LivePeers(PeerChoice.of(config, OWN.peer), host, handle)
    spec = attrs.evolve(actor(host, lambda: Starting(seen, Latest(False))), awaited=False)
    async with open_system(supervisor("Root", OneForOne(), [spec])) as system:
        handle.system = system
        with trio.fail_after(1):
            await part.apply(naming(SECOND))
        assert seen == []
        begin.set()
        await wait_all_tasks_blocked()
        assert seen == [ChangePeers((SECOND,), 32)]


async def test_a_peer_host_that_does_not_answer_is_told_again(autojump_clock: MockClock) -> None:
    """The roll-back would take the options for those in use, and the peer host would keep the new ones."""
    config = PeerHostConfig("127.0.0.1", 9333, (FIRST,), bytes(32), "6d3425cf", 32)
    seen, slow = list[ChangePeers](), Latest(True)

    class Slow(RecordingHost):
        @handles(ChangePeers)
        async def change(self, message: ChangePeers) -> None:
            if slow.value:
                await trio.sleep(3)
            await super().change(message)

    host: Address[PeerHost] = Address("peer host")
    handle = SystemHandle(HealthMonitor())
    part = LivePeers(PeerChoice.of(config, OWN.peer), host, handle)
    spec = actor(host, lambda: Slow(seen, Latest(False)))
    async with open_system(supervisor("Root", OneForOne(), [spec])) as system:
        handle.system = system
        with trio.move_on_after(2) as scope:
            await part.apply(naming(SECOND))
        assert scope.cancelled_caught
        slow.value = False
        await part.apply(naming(FIRST))
        assert seen[-1] == ChangePeers((FIRST,), 32)


async def test_a_node_without_a_network_has_no_peers_to_change() -> None:
    """The bootnodes of a chain do not count without a network; a reload must not wait for a peer host."""
    part = LivePeers(None, Address("peer host"), SystemHandle(HealthMonitor()))
    await part.apply(naming(FIRST))
