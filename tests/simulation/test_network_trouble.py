"""The network never delays a slot: an authority alone in its quorum misses none, whatever its peers do."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.errors import AlysError, PeerUnavailable
from alysd.nurseries import NotAnswered, WrongState
from alysd.ports import GossipSink
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node, peer_host_over
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerAddress, PeerStatus, StreamKind, Topic
from alysd.types.units import Height, Slot
from alysd.wire.sync import encode_status

SLOTS = 12

PEERS = 64
"""As many strangers as a node accepts."""

BURST = 4
"""The messages and the requests that a peer of the flood sends at once, twice a second."""

KILLED = ("peer host", "network", "peer requests", "sync")
"""The actors of the network."""

Run = Callable[["Trouble", GossipSink], Awaitable[None]]


@attrs.define(eq=False)
class Trouble:
    """Implements `alysd.ports.Gossip` badly. `run_as` is what its network does, `asks` counts the node's requests.

    Without `answers`, a request and a message that the node publishes wait for ever.
    """

    run_as: Run
    genesis: BlockHash
    answers: bool = False
    asks: int = 0
    runs: int = 0

    async def run(self, sink: GossipSink) -> None:
        """Run the network."""
        self.runs += 1
        await self.run_as(self, sink)

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Publish nothing, or wait for ever."""
        await trio.lowlevel.checkpoint()
        if not self.answers:
            await trio.sleep_forever()

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        """Claim a far better head in each status, and send nothing of it, or answer nothing."""
        self.asks += 1
        if not self.answers:
            await trio.sleep(seconds)
            raise PeerUnavailable(peer, "no answer")
        await trio.lowlevel.checkpoint()
        if kind is not StreamKind.STATUS:
            return os.urandom(min(max_bytes, 1000))
        best = BlockHash(os.urandom(32))
        return encode_status(
            PeerStatus(
                self.genesis, best, Height(10**6), Slot(10**9), best, Height(10**6), best, Height(10**6), 0.0
            )
        )

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Keep the connection."""
        await trio.lowlevel.checkpoint()

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        """Keep the peers."""
        await trio.lowlevel.checkpoint()


async def dead(_: Trouble, sink: GossipSink) -> None:
    """Peers connect and say nothing."""
    for number in range(PEERS):
        await sink.connected(f"peer {number}", "/dead", inbound=True)
    await trio.sleep_forever()


async def failing(_: Trouble, sink: GossipSink) -> None:
    """The network fails again and again, a moment after the first peer has connected."""
    await sink.connected("peer", "/failing", inbound=True)
    await trio.sleep(0.3)
    raise OSError("the network is gone")


async def flooding(_: Trouble, sink: GossipSink) -> None:
    """Peers send more messages and requests than they may, and come and go."""

    async def flood(peer: str) -> None:
        while True:
            await sink.connected(peer, "/flooding", inbound=True)
            for number in range(BURST):
                with suppress(AlysError, NotAnswered):
                    await sink.judge(peer, list(Topic)[number % len(Topic)], os.urandom(200))
                with suppress(AlysError, NotAnswered):
                    await sink.answer(peer, list(StreamKind)[number % len(StreamKind)], os.urandom(40))
            await sink.lost(peer)
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        for number in range(PEERS):
            nursery.start_soon(flood, f"peer {number}")


TROUBLES: Mapping[str, tuple[Run, bool]] = {
    "dead": (dead, False),
    "failing": (failing, False),
    "lying": (dead, True),
    "flooding": (flooding, True),
}


@asynccontextmanager
async def troubled_node(
    folder: Path, run_as: Run, *, answers: bool
) -> AsyncGenerator[tuple[SimulatedNode, Trouble]]:
    """A node that is the only authority of its chain, with such a network."""
    spec = chain_spec()
    trouble = Trouble(run_as, ChainHand.of(spec).genesis.hash, answers)
    async with open_simulated_node(folder, spec, mining=MINING, peer_host=peer_host_over(trouble)) as node:
        yield node, trouble


@pytest.mark.parametrize("name", TROUBLES)
async def test_an_authority_alone_in_its_quorum_misses_no_slot(
    name: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Strangers could stop a chain by what they send to its author, or by not answering it."""
    run_as, answers = TROUBLES[name]
    async with troubled_node(tmp_path, run_as, answers=answers) as (node, trouble):
        await node.slots(SLOTS + 0.5)
        assert node.missed == []
        assert len(node.produced) >= SLOTS
        assert trouble.runs > 1 if name == "failing" else trouble.asks > 0


@pytest.mark.parametrize("name", KILLED)
async def test_an_actor_of_the_network_that_is_killed_again_and_again_costs_no_slot(
    name: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A bug in the code that strangers reach would stop the chain."""
    kills = 0
    async with troubled_node(tmp_path, dead, answers=True) as (node, _):
        for _ in range(4 * SLOTS):
            await node.slots(0.25)
            with suppress(WrongState):  # it is about to start again
                node.system.inject(name, RuntimeError("killed by the test"))
                kills += 1
        assert node.missed == []
        assert len(node.produced) >= SLOTS - 1
        assert kills > 1
        assert node.crashed() == {name}
