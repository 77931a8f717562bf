"""Peer hosts in processes of their own, on loopback: gossip, requests, lost peers, and hostile ones."""

import os
import signal
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import attrs
import pytest
import trio

from alysd.errors import Malformed, PeerUnavailable, PeerWithoutProtocol
from alysd.integrations.key_kinds import new_secret, public_text
from alysd.messages.network import (
    GossipReceived,
    Network,
    PeerConnected,
    PeerLost,
    PeerRequests,
    RequestReceived,
)
from alysd.messages.peer_host import ChangePeers, DisconnectPeer, PeerHost, PublishGossip, SendRequest
from alysd.node import REFUSALS
from alysd.nurseries import (
    Actor,
    Address,
    ChildSpec,
    Intensity,
    OneForOne,
    actor,
    handles,
    open_system,
    supervisor,
)
from alysd.peer_host_process import peer_host_process
from alysd.testing.processes import free_ports
from alysd.types.latest import Latest
from alysd.types.peers import GossipVerdict, PeerAddress, PeerHostConfig, StreamKind, Topic
from alysd.wire.sync import MAX_ANSWER_BYTES
from tests.integration.libp2p_attacks import ATTACKS, Target
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

LARGEST = 4 << 20
"""The largest answer that is not a single block."""


@attrs.define
class Heard:
    """The messages that a node's actors got from its peer host."""

    peers: set[str] = attrs.field(factory=set[str])
    lost: set[str] = attrs.field(factory=set[str])
    messages: dict[bytes, float] = attrs.field(factory=dict[bytes, float])
    verdict: Callable[[bytes], GossipVerdict] = lambda _: GossipVerdict.ACCEPT
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def changed(self) -> None:
        """Wake the tasks that wait in `until`."""
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition of this record holds."""
        with trio.fail_after(seconds):
            while not condition():
                await self._changed.wait()


class RecordingNetwork(Actor[Network], partial=True):
    """Stands for the network actor."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    @handles(PeerConnected)
    async def connected(self, message: PeerConnected) -> None:
        self._heard.peers.add(message.peer)
        self._heard.changed()

    @handles(PeerLost)
    async def lost(self, message: PeerLost) -> None:
        self._heard.peers.discard(message.peer)
        self._heard.lost.add(message.peer)
        self._heard.changed()

    @handles(GossipReceived)
    async def judge(self, message: GossipReceived) -> GossipVerdict:
        self._heard.messages.setdefault(message.data[:16], time.perf_counter())
        self._heard.changed()
        return self._heard.verdict(message.data)


class Counted(Actor[PeerRequests]):
    """Answers a request, a number, with that many bytes."""

    @handles(RequestReceived)
    async def answer(self, message: RequestReceived) -> bytes:
        if not message.request.isdigit():
            raise Malformed("the request is not a number")
        return bytes(int(message.request))


@attrs.define
class Node:
    """A node with a real peer host, and stand-ins for the rest."""

    number: int
    config: PeerHostConfig
    peer: str
    host: Address[PeerHost]
    heard: Heard = attrs.field(factory=Heard)
    process: int = 0
    """The process of its peer host, as it was started first."""

    @property
    def address(self) -> PeerAddress:
        """The address at which the others dial it."""
        return PeerAddress(self.config.host, self.config.port, self.peer)

    def children(self) -> list[ChildSpec]:
        network = Address[Network]("network")
        requests = Address[PeerRequests]("peer requests")
        return [
            actor(network, lambda: RecordingNetwork(self.heard)),
            actor(requests, Counted),
            peer_host_process(Latest(self.config), self.host, network, requests),
        ]

    async def hears(self, others: set[str], seconds: float = 60) -> None:
        """Wait until exactly these peers are connected."""
        await self.heard.until(lambda: self.heard.peers == others, seconds)

    async def got(self, key: bytes, seconds: float = 20) -> float:
        """Wait for a message; returns the time of its arrival."""
        await self.heard.until(lambda: key in self.heard.messages, seconds)
        return self.heard.messages[key]


def processes() -> set[int]:
    """The child processes of this one."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def resident(pid: int) -> int:
    """The resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) >> 10
    raise LookupError("no such process")


@asynccontextmanager
async def nodes(
    count: int, *, chains: tuple[str, ...] = (), more: tuple[PeerAddress, ...] = ()
) -> AsyncGenerator[list[Node]]:
    """Run nodes that know each other, each in a system of its own, with a real clock."""
    ports = free_ports(count)
    secrets = [new_secret("network") for _ in range(count)]
    peers = [
        PeerAddress("127.0.0.1", port, public_text("network", secret))
        for port, secret in zip(ports, secrets, strict=True)
    ]
    made: list[Node] = []
    for number in range(count):
        others = tuple(each for each in peers if each is not peers[number])
        chain = chains[number] if chains else "6d3425cf"
        config = PeerHostConfig("127.0.0.1", ports[number], (*others, *more), secrets[number], chain, 32)
        made.append(Node(number, config, peers[number].peer, Address("peer host", capacity=256)))
    async with trio.open_nursery() as nursery:
        ready = [trio.Event() for _ in made]
        over = trio.Event()

        async def run(node: Node) -> None:
            tree = supervisor(
                "Root", OneForOne(), node.children(), intensity=Intensity(restarts=1000, seconds=60.0)
            )
            async with open_system(tree, refusals=REFUSALS):
                ready[node.number].set()
                await over.wait()

        with trio.fail_after(60):
            for node, event in zip(made, ready, strict=True):
                before = processes()
                nursery.start_soon(run, node)
                await event.wait()
                while not (started := processes() - before):  # noqa: ASYNC110  a new process is no event
                    await trio.sleep(0.01)
                (node.process,) = started
        yield made
        over.set()


def names(made: list[Node], but: Node) -> set[str]:
    return {node.peer for node in made if node is not but}


async def connected(made: list[Node]) -> None:
    """Wait until all are connected, and gossip has found its peers (a heartbeat of 1 s)."""
    for node in made:
        await node.hears(names(made, node))
    await trio.sleep(2)


async def test_gossip_reaches_all() -> None:
    """A block of a member would reach nobody, or too late."""
    count = 4
    async with nodes(count) as made:
        await connected(made)
        for size, topic in ((1000, Topic.APPROVAL), (200_000, Topic.PROPOSAL)):
            delays: list[float] = []
            for number in range(10):
                data = os.urandom(size)
                began = time.perf_counter()
                await made[number % count].host.send(PublishGossip(topic, data))
                others = [node for node in made if node is not made[number % count]]
                delays += [await node.got(data[:16]) - began for node in others]
            median, worst = statistics.median(delays) * 1000, max(delays) * 1000
            print(f"{count} nodes, {size} bytes: {median:.0f} ms, {worst:.0f} ms at most")
            assert median < 2000


async def test_a_burst_is_not_lost() -> None:
    """libp2p's own queue lost 24 of 40 messages."""
    async with nodes(2) as made:
        await connected(made)
        burst = [os.urandom(1000) for _ in range(40)]
        for data in burst:
            await made[0].host.send(PublishGossip(Topic.APPROVAL, data))
        for data in burst:
            await made[1].got(data[:16])


async def test_requests_and_their_limits() -> None:
    """A member that lost data would never get it back."""
    async with nodes(2) as made:
        await connected(made)
        asker, peer = made[0].host, made[1].peer
        for size in (0, 1000, LARGEST):
            began = time.perf_counter()
            answer = await asker.ask(SendRequest(peer, StreamKind.STATUS, b"%d" % size, LARGEST, 10.0), seconds=15)
            print(f"answer of {size} bytes: {(time.perf_counter() - began) * 1000:.0f} ms")
            assert len(answer) == size
        for request, most, reason in (
            (b"no number", LARGEST, "refused: the request is not a number"),
            (b"5000", 100, "its answer has 5000 bytes; at most 100"),
            (b"%d" % (MAX_ANSWER_BYTES + 1), MAX_ANSWER_BYTES, "refused: the answer would have"),
        ):
            with pytest.raises(PeerUnavailable, match=reason):
                await asker.ask(SendRequest(peer, StreamKind.STATUS, request, most, 10.0), seconds=15)
        nobody = public_text("network", new_secret("network"))
        with pytest.raises(PeerUnavailable, match="not connected"):
            await asker.ask(SendRequest(nobody, StreamKind.STATUS, b"1", 1, 1.0))


async def test_another_chain_exchanges_nothing_but_the_status() -> None:
    """Blocks and approvals of two chains would mix."""
    async with nodes(2, chains=("aaaaaaaa", "bbbbbbbb")) as made:
        await connected(made)
        await made[0].host.send(PublishGossip(Topic.APPROVAL, b"approval of a"))
        for kind in set(StreamKind) - {StreamKind.STATUS}:
            with pytest.raises(PeerWithoutProtocol):
                await made[0].host.ask(SendRequest(made[1].peer, kind, b"1", 1, 5.0), seconds=8)
        assert made[1].heard.messages == {}


async def test_a_killed_process_is_started_and_connected_again() -> None:
    """One crash would cut a member off."""
    async with nodes(3) as made:
        await connected(made)
        os.kill(made[1].process, signal.SIGKILL)
        await made[0].hears({made[2].peer}, 20)
        began = time.perf_counter()
        await connected(made)
        print(f"connected again after {time.perf_counter() - began:.1f} s, of which 2 s are a pause")
        data = os.urandom(100)
        await made[1].host.send(PublishGossip(Topic.APPROVAL, data))
        await made[0].got(data[:16])
        await made[2].got(data[:16])


async def test_a_peer_that_cannot_be_reached_does_not_matter() -> None:
    """One member with a wrong address would keep the others apart."""
    (unused,) = free_ports(1)
    missing = PeerAddress("127.0.0.1", unused, public_text("network", new_secret("network")))
    async with nodes(2, more=(missing,)) as made:
        await connected(made)


async def test_a_disconnected_peer_stays_away_for_its_time() -> None:
    """A peer that sends false blocks would be back at once."""
    async with nodes(2) as made:
        await connected(made)
        await made[0].host.send(DisconnectPeer(made[1].peer, "false range", 6.0))
        await made[0].hears(set())
        await trio.sleep(3)
        assert made[0].heard.peers == set()
        await made[0].hears({made[1].peer}, 30)


async def test_peers_are_added_and_removed_while_the_others_stay() -> None:
    """A federation that replaces a member would restart every node, one connection after the other."""
    async with nodes(3) as made:
        one, two, three = made
        for node, peers in ((one, (two,)), (two, (one,)), (three, ())):
            await node.host.send(ChangePeers(tuple(other.address for other in peers), 0))
        await one.hears({two.peer})
        await two.hears({one.peer})
        await three.hears(set())
        one.heard.lost.clear()
        await one.host.send(ChangePeers((two.address, three.address), 0))
        await trio.sleep(3)
        assert one.heard.peers == {two.peer}, "the other one does not know this node, and takes no strangers"
        await three.host.send(ChangePeers((one.address,), 0))
        await one.hears({two.peer, three.peer})
        await trio.sleep(2)  # gossip finds its peers (a heartbeat of 1 s)
        data = os.urandom(100)
        await three.host.send(PublishGossip(Topic.APPROVAL, data))
        await two.got(data[:16])
        # The third one was lost each time that it refused this node as a stranger.
        assert two.peer not in one.heard.lost, "the connection that both still want was closed"
        moved = attrs.evolve(two.address, host="localhost")
        await one.host.send(ChangePeers((moved, three.address), 0))
        await trio.sleep(3)
        assert two.peer not in one.heard.lost, "another address of a connected peer needs no new connection"
        one.heard.lost.clear()
        await one.host.send(ChangePeers((moved,), 1))
        await one.heard.until(lambda: three.peer in one.heard.lost, 10)
        await one.hears({two.peer, three.peer})  # which dials again, as the only stranger


async def test_a_peer_whose_messages_are_rejected_is_disconnected() -> None:
    """Thousands of false messages would be judged, one after the other."""
    async with nodes(2) as made:
        await connected(made)
        made[1].heard.verdict = lambda _: GossipVerdict.REJECT
        for _ in range(40):
            await made[0].host.send(PublishGossip(Topic.APPROVAL, os.urandom(100)))
        await made[1].hears(set(), 20)


ATTACK_SECONDS = 10.0
"""How long the attacks last: more than the deadline of a handshake, 5 s."""

MEMORY_MIB = 400
"""The bound of a peer host's memory: 90 MiB without an attack."""


async def test_attacks_disturb_nobody_else() -> None:
    """Strangers could cut a member off. `test_hostile_peers` has each of these attacks on a whole node."""
    import_module("alysd.integrations.libp2p.connection")  # by the attackers: it takes seconds on a busy machine
    async with nodes(2) as made:
        await connected(made)
        pid, memory, worst = made[0].process, 0, 0.0
        target = Target("127.0.0.1", made[0].config.port, made[0].peer)
        over = trio.Event()

        async def attacks() -> None:
            with trio.move_on_after(ATTACK_SECONDS):
                async with trio.open_nursery() as attackers:
                    for attack in ATTACKS.values():
                        attackers.start_soon(attack, target)
            over.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attacks)
            while not over.is_set():
                data = os.urandom(1000)
                began = time.perf_counter()
                await made[1].host.send(PublishGossip(Topic.APPROVAL, data))
                worst = max(worst, await made[0].got(data[:16]) - began)
                memory = max(memory, resident(pid))
                await trio.sleep(0.2)
        print(f"gossip took {worst * 1000:.0f} ms at most, memory {memory} MiB at most")
        assert target.record.authenticated
        assert pid in processes(), "the attacks have ended the process"
        await made[0].hears({made[1].peer}, 30)  # the attackers are gone
        assert memory < MEMORY_MIB
