"""Two nodes with real peer hosts, whose genesis blocks differ: the members have made them with other files."""

import pytest
import trio

from alysd.actors.network import NetworkActor, NetworkMemory
from alysd.actors.peer_client import PeerClient
from alysd.actors.peer_scores import CONFIGURED_SECONDS
from alysd.integrations.clock import SystemClock
from alysd.integrations.key_kinds import new_secret, public_text
from alysd.messages.approval import ApprovalGathering
from alysd.messages.auxpow import MergedMining
from alysd.messages.log.network import PeerOfOtherChain
from alysd.messages.network import (
    GetOtherChainPeers,
    GetPeers,
    Network,
    OtherChainPeer,
    PeerRequests,
    RequestReceived,
)
from alysd.messages.peer_host import PeerHost
from alysd.messages.peg_signatures import PegSigning
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import Sync
from alysd.node import REFUSALS
from alysd.nurseries import Actor, Address, Intensity, OneForOne, actor, handles, open_system, supervisor
from alysd.peer_host_process import peer_host_process
from alysd.testing.blocks import genesis, make_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.processes import free_ports
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash, displayed
from alysd.types.latest import Latest
from alysd.types.peers import PeerAddress, PeerHostConfig, PeerStatus
from alysd.types.units import Height, Slot
from alysd.wire.sync import encode_status
from tests.actors.federation_kit import BLS
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

SECONDS = 60.0
"""The time to start two processes on a busy machine, and to find the other chain."""


class Statuses(Actor[PeerRequests]):
    """Answers with the status of a chain that has its genesis block only."""

    def __init__(self, context: ChainContext) -> None:
        self._genesis = context.genesis

    @handles(RequestReceived)
    async def answer(self, message: RequestReceived) -> bytes:
        own, zero = self._genesis, Height(0)
        return encode_status(PeerStatus(own, own, zero, Slot(0), own, zero, own, zero, SystemClock().time()))


class Node:
    """A node with a real peer host and network actor, and stand-ins for the rest."""

    def __init__(self, own: BlockHash, config: PeerHostConfig, other: str) -> None:
        spec = make_spec(4)
        self.context = ChainContext(spec, own)
        book = ActorTestHarness(refusals=REFUSALS).transcript
        self.network = Address[Network]("network")
        host, requests = Address[PeerHost]("peer host", capacity=256), Address[PeerRequests]("peer requests")
        reader = StandIn[Reads]("reader", book)
        tip = genesis(spec)
        reader.on(ReadForkchoice).answers(Forkchoice(tip, tip, tip))
        timing = Timing(spec.slot_seconds)
        memory = NetworkMemory.of(timing)
        self.children = [
            actor(
                self.network,
                lambda: NetworkActor(
                    self.context, SystemClock(), BLS, memory, PeerClient(host, self.network), reader,
                    StandIn[ApprovalGathering]("approval", book), StandIn[Sync]("sync", book),
                    StandIn[MergedMining]("auxpow", book), StandIn[PegSigning]("federation", book),
                    timing, frozenset({other}),
                ),
            ),
            actor(requests, lambda: Statuses(self.context)),
            peer_host_process(Latest(config), host, self.network, requests),
        ]  # fmt: skip


async def test_both_nodes_part_and_name_the_genesis_of_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """They stayed connected for ever, and only the quorum was missing: no line named a genesis."""
    ports, secrets = free_ports(2), [new_secret("network") for _ in range(2)]
    addresses = [
        PeerAddress("127.0.0.1", port, public_text("network", secret))
        for port, secret in zip(ports, secrets, strict=True)
    ]
    nodes: list[Node] = []
    for number, own in enumerate((BlockHash(b"\x01" * 32), BlockHash(b"\x02" * 32))):
        other = addresses[1 - number]
        # Only the first one dials, so that each side has to learn the reason from the one connection.
        peers = (other,) if number == 0 else ()
        config = PeerHostConfig("127.0.0.1", ports[number], peers, secrets[number], displayed(own)[:8], 32)
        nodes.append(Node(own, config, other.peer))

    def lines() -> dict[str, PeerOfOtherChain]:
        found = [record.msg for record in caplog.records if isinstance(record.msg, PeerOfOtherChain)]
        return {line.peer: line for line in found}

    async def run(node: Node) -> None:
        tree = supervisor("Root", OneForOne(), node.children, intensity=Intensity(restarts=1000, seconds=60.0))
        async with open_system(tree, refusals=REFUSALS):
            await trio.sleep_forever()

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(run, node)
            while len(lines()) < 2:  # noqa: ASYNC110  a log line is no event
                await trio.sleep(0.1)
            for node, other in zip(nodes, reversed(nodes), strict=True):
                (found,) = await node.network.ask(GetOtherChainPeers(), seconds=10)
                line = lines()[found.peer]
                assert found == OtherChainPeer(line.peer, other.context.genesis)
                assert (line.genesis, line.own) == (other.context.genesis, node.context.genesis)
                assert line.seconds == CONFIGURED_SECONDS
                while await node.network.ask(GetPeers(), seconds=10):  # noqa: ASYNC110  a loss is no event here
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
