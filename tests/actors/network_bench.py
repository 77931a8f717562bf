"""A network actor between stand-ins, for tests of what it judges and whom it blames."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from alysd.actors.network import NetworkActor, NetworkMemory
from alysd.actors.peer_client import PeerClient
from alysd.errors import PeerUnavailable, PeerWithoutProtocol
from alysd.messages.approval import ApprovalGathering
from alysd.messages.auxpow import MergedMining
from alysd.messages.federation_update import FederationUpdates
from alysd.messages.network import (
    BlamePeer,
    GossipReceived,
    Network,
    PeerConnected,
)
from alysd.messages.peer_host import PeerHost, SendRequest
from alysd.messages.peg_signatures import PegSigning
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import Sync
from alysd.node import REFUSALS
from alysd.nurseries import Immediate, actor
from alysd.testing.blocks import MINER, mine
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import Forkchoice
from alysd.types.configured_peers import ConfiguredPeers
from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.peers import GossipVerdict, PeerOffence, PeerStatus, StreamKind, Topic
from alysd.types.proposal import Proposal
from alysd.types.units import Height, Slot
from alysd.wire.gossip import (
    encode_proposal,
)
from alysd.wire.sync import encode_proposals, encode_status
from tests.actors.federation_kit import (
    BLS,
    CONTEXT,
    PARENT,
    START,
)

ACCEPT, IGNORE, REJECT, UNJUDGED = GossipVerdict
PROOF = AuxPowHeader(
    BlockHash(bytes(32)), BlockHash(bytes(32)), CONTEXT.spec.bits, CONTEXT.spec.chain_id, MINER,
    mine(AuxHash(bytes(32)), 2**256 - 1),
)  # fmt: skip
TIMING = Timing(CONTEXT.spec.slot_seconds)


def status_of(genesis: BlockHash = CONTEXT.genesis, ahead: float = 0.0) -> PeerStatus:
    """The status of a peer whose clock is `ahead`."""
    block, height = BlockHash(bytes(32)), Height(3)
    return PeerStatus(
        genesis, block, height, Slot(9), block, height, block, height, time=START + trio.current_time() + ahead
    )


@attrs.define
class Bench:
    """A network actor between stand-ins. A peer answers if `ahead` has it: the difference of its clock.

    The peers in `foreign` refuse the protocol of every request.
    """

    harness: ActorTestHarness
    network: RecordedAddress[Network]
    host: StandIn[PeerHost]
    approval: StandIn[ApprovalGathering]
    sync: StandIn[Sync]
    memory: NetworkMemory
    reader: StandIn[Reads]
    auxpow: StandIn[MergedMining]
    federation: StandIn[PegSigning]
    ahead: dict[str, float] = attrs.field(factory=dict[str, float])
    genesis: BlockHash = CONTEXT.genesis
    foreign: set[str] = attrs.field(factory=set[str])
    known: list[Proposal] = attrs.field(factory=list[Proposal])
    configured: ConfiguredPeers = attrs.field(factory=lambda: ConfiguredPeers({"member"}))
    updates: StandIn[FederationUpdates] | None = None

    @classmethod
    def make(cls) -> "Bench":
        harness = ActorTestHarness(refusals=REFUSALS)
        book = harness.transcript
        bench = cls(
            harness, RecordedAddress("network", book), StandIn("peer host", book), StandIn("approval", book),
            StandIn("sync", book), NetworkMemory.of(TIMING), StandIn("reader", book),
            StandIn("auxpow", book), StandIn("federation", book),
        )  # fmt: skip
        bench.host.on(SendRequest).computes(bench.answer)
        bench.reader.on(ReadForkchoice).answers(Forkchoice(PARENT, PARENT, PARENT))
        return bench

    def answer(self, message: SendRequest) -> bytes:
        if message.peer in self.foreign:
            raise PeerWithoutProtocol(message.peer, "not this protocol")
        if message.kind is StreamKind.PROPOSALS_SINCE:
            return encode_proposals(self.known)
        if message.peer not in self.ahead:
            raise PeerUnavailable(message.peer, "no answer")
        return encode_status(status_of(self.genesis, self.ahead[message.peer]))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        child = actor(
            self.network,
            lambda: NetworkActor(
                CONTEXT, self.harness.clock, BLS, self.memory, PeerClient(self.host, self.network), self.reader,
                self.approval, self.sync, self.auxpow, self.federation, TIMING, self.configured, self.updates,
            ),
            restart=Immediate(),
        )  # fmt: skip
        async with self.harness.running(child):
            yield

    async def judge(self, topic: Topic, data: bytes, peer: str = "peer") -> GossipVerdict:
        return await self.network.ask(GossipReceived(peer, topic, data))

    async def propose(self, proposed: Proposal, peer: str = "peer") -> GossipVerdict:
        return await self.judge(Topic.PROPOSAL, encode_proposal(proposed), peer)

    async def connect(self, *peers: str) -> None:
        for peer in peers:
            self.network.tell(PeerConnected(peer, f"/ip4/127.0.0.1/tcp/{len(peer)}", inbound=False))
        await self.harness.settle()

    def blamed(self) -> list[tuple[str, PeerOffence]]:
        sent = [getattr(entry, "message", None) for entry in self.harness.transcript.entries]
        return [(one.peer, one.offence) for one in sent if isinstance(one, BlamePeer)]

    def told(self, stand_in: StandIn[Any], kind: type[Any]) -> list[Any]:
        return [message for message in stand_in.received if isinstance(message, kind)]


def slow_thread(check_proposal_seconds: float) -> Callable[..., Awaitable[Any]]:
    """A stand-in for `trio.to_thread.run_sync`, in which the check of an encoded proposal takes its time."""

    async def run_sync(work: Callable[..., Any], *arguments: Any) -> Any:
        if arguments and isinstance(arguments[0], bytes):
            await trio.sleep(check_proposal_seconds)
        return work(*arguments)

    return run_sync
