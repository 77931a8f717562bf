"""Peers with branches, and a sync actor between stand-ins, for tests of sync and of requests to peers."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from alysd.actors.peer_client import PeerClient
from alysd.actors.sync import SyncActor
from alysd.consensus.validity import apply_block
from alysd.consensus.violations import BelowQuorum, UnknownParent
from alysd.errors import PeerBusy, PeerUnavailable
from alysd.messages.approval import ApprovalGathering
from alysd.messages.block_import import BlockImport, ImportBlock, ImportRange, RangeImported
from alysd.messages.chain import Chain, GetAncestry, GetForkchoice, GetState
from alysd.messages.network import BlamePeer, Network
from alysd.messages.peer_host import PeerHost, SendRequest
from alysd.messages.sync import GetSyncProgress, PeerAhead, Sync
from alysd.node import REFUSALS
from alysd.nurseries import Actor, Address, Deferred, actor, handles
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence, PeerStatus, StreamKind
from alysd.types.sync import SyncProgress
from alysd.types.units import Slot, Wei
from alysd.wire.block_ssz import encode_block
from alysd.wire.sync import decode_range_request, decode_roots_request, encode_blocks, encode_proposals
from tests.actors.federation_kit import BLS, CONTEXT, FIRST, child, genesis, sign

ROOT = attrs.evolve(genesis(CONTEXT.spec), slot=Slot(FIRST - 1))
QUORUM = (0, 1, 2, 3)


@attrs.frozen
class Branch:
    """Blocks of the heights from 1 on, and the states after them; `states[0]` is that of the genesis block."""

    blocks: tuple[SignedBlock, ...] = ()
    states: tuple[ChainState, ...] = (ROOT,)

    def grow(self, count: int, gas_limit: int = 30_000_000, skip: int = 0) -> "Branch":
        """The branch with `count` more blocks, after `skip` empty slots."""
        blocks, states = list(self.blocks), list(self.states)
        for _ in range(count):
            block = child(states[-1], states[-1].slot + 1 + skip, gas_limit)
            skip = 0
            signed = sign(block, *QUORUM)
            blocks.append(signed)
            states.append(apply_block(states[-1], signed, Wei(0), ()).state)
        return Branch(tuple(blocks), tuple(states))

    def cut(self, height: int) -> "Branch":
        return Branch(self.blocks[:height], self.states[: height + 1])

    @property
    def head(self) -> ChainState:
        return self.states[-1]

    def status(self) -> PeerStatus:
        head = self.head
        return PeerStatus(
            CONTEXT.genesis, head.hash, head.height, head.slot, head.hash, head.height, ROOT.hash, ROOT.height, 0.0
        )


@attrs.define
class Peer:
    """A peer with a branch. `lie` changes the blocks that it sends; `most` is the length of its answers.

    It answers after `seconds`, or after `range_seconds` if it is asked for a range.
    """

    branch: Branch
    seconds: float = 0.1
    lie: Callable[[Sequence[SignedBlock]], Sequence[SignedBlock]] = tuple
    lies_about_head: bool = False
    silent: bool = False
    busy: bool = False
    range_seconds: float | None = None
    most: int = 1000
    asked: list[StreamKind] = attrs.field(factory=list[StreamKind])
    open: int = 0

    async def answer(self, message: SendRequest) -> bytes:
        self.asked.append(message.kind)
        self.open += 1
        try:
            seconds = message.seconds if self.silent else self.seconds
            if message.kind is StreamKind.BLOCKS_BY_RANGE and self.range_seconds is not None:
                seconds = self.range_seconds
            await trio.sleep(min(seconds, message.seconds))
        finally:
            self.open -= 1
        if self.silent or seconds > message.seconds:
            raise PeerUnavailable(message.peer, "no answer")
        if self.busy:
            raise PeerBusy(message.peer, "busy: ask another one")
        if message.kind is StreamKind.PROPOSALS_SINCE:
            return encode_proposals(())
        if message.kind is StreamKind.BLOCKS_BY_ROOT:
            wanted = decode_roots_request(message.request)
            found = [one for one in self.branch.blocks if one.hash in wanted]
            return answer_of(self.lie(found) if self.lies_about_head else found)
        asked = decode_range_request(message.request)
        return answer_of(
            self.lie(self.branch.blocks[asked.start - 1 : asked.start - 1 + min(asked.count, self.most)])
        )


class PeersHost(Actor[PeerHost], partial=True):
    """A peer host whose peers answer by themselves, each in its own time."""

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers
        self._send_job, self._jobs = trio.open_memory_channel[tuple[SendRequest, Deferred[bytes]]](64)

    async def background(self) -> None:
        async with trio.open_nursery() as nursery:
            async for message, answer in self._jobs:
                nursery.start_soon(self._answer, message, answer)

    async def _answer(self, message: SendRequest, answer: Deferred[bytes]) -> None:
        try:
            answer.reply(await self._peers[message.peer].answer(message))
        except PeerUnavailable as error:
            answer.fail(error)

    @handles(SendRequest)
    async def send_request(self, message: SendRequest) -> Deferred[bytes]:
        if message.peer not in self._peers:
            raise PeerUnavailable(message.peer, "not connected")
        answer = Deferred[bytes]()
        self._send_job.send_nowait((message, answer))
        return answer


@attrs.define
class Bench:
    """A sync actor between stand-ins, with this node's chain in `states` and `tip`."""

    harness: ActorTestHarness
    host: Address[PeerHost]
    peers: dict[str, Peer]
    network: StandIn[Network]
    chain: StandIn[Chain]
    imports: StandIn[BlockImport]
    approval: StandIn[ApprovalGathering]
    sync: Address[Sync]
    states: dict[BlockHash, ChainState]
    tip: Forkchoice
    together: int = 1
    checkpoint: Checkpoint | None = None
    true: Branch | None = None
    """If set, only blocks of this branch have right approvals."""

    @classmethod
    def make(cls, own: Branch, final: int = 0, **peers: Peer) -> "Bench":
        harness = ActorTestHarness(refusals=REFUSALS)
        book = harness.transcript
        bench = cls(
            harness, Address("peer host"), peers, StandIn("network", book), StandIn("chain", book),
            StandIn("block import", book), StandIn("approval", book), Address("sync"),
            {state.hash: state for state in own.states[final:]},
            Forkchoice(own.head, own.states[final], own.states[final]),
        )  # fmt: skip
        bench.chain.on(GetForkchoice).computes(lambda _: bench.tip)
        bench.chain.on(GetState).computes(lambda message: bench.states.get(message.hash))
        bench.chain.on(GetAncestry).computes(lambda message: bench.ancestry(message.tip))
        bench.imports.on(ImportBlock).computes(bench.take)
        bench.imports.on(ImportRange).computes(bench.take_range)
        return bench

    def ancestry(self, tip: BlockHash) -> tuple[ChainState, ...]:
        """The states above the final block up to `tip`."""
        found: list[ChainState] = []
        while (state := self.states[tip]).height > self.tip.finalized.height:
            found.append(state)
            tip = state.parent_hash
        return tuple(reversed(found))

    def take_range(self, message: ImportRange) -> RangeImported:
        """Import at most `together` blocks."""
        blocks = message.verified.blocks[message.first : message.first + self.together]
        for signed in blocks:
            self.take(ImportBlock(signed))
        return RangeImported(len(blocks), self.tip)

    def take(self, message: ImportBlock) -> Forkchoice:
        signed = message.signed
        if self.true is not None and signed not in self.true.blocks:
            raise BelowQuorum(3, 2)
        if signed.hash not in self.states:
            parent = self.states.get(signed.block.parent_hash)
            if parent is None:
                raise UnknownParent(signed.block.parent_hash)
            state = apply_block(parent, signed, Wei(0), ()).state
            self.states[signed.hash] = state
            if state.slot > self.tip.head.slot:
                self.tip = attrs.evolve(self.tip, head=state)
        return self.tip

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        actor_child = actor(
            self.sync,
            lambda: SyncActor(
                CONTEXT, BLS, PeerClient(self.host, self.network), self.chain, self.imports, self.approval,
                Timing(CONTEXT.spec.slot_seconds), (), self.checkpoint,
            ),
        )  # fmt: skip
        async with self.harness.running(actor(self.host, lambda: PeersHost(self.peers)), actor_child):
            yield

    def report(self, *names: str) -> None:
        for name in names or self.peers:
            self.sync.tell(PeerAhead(name, self.peers[name].branch.status()))

    async def progress(self) -> SyncProgress:
        return await self.sync.ask(GetSyncProgress())

    async def until(self, branch: Branch, seconds: float = 60.0) -> float:
        return await self.harness.until(
            lambda: self.tip.head.hash == branch.head.hash, seconds=seconds, what="the head"
        )

    def blamed(self) -> list[tuple[str, PeerOffence]]:
        return [(one.peer, one.offence) for one in self.network.received if isinstance(one, BlamePeer)]


SHORT = Branch().grow(5)
LONG = SHORT.grow(35)


def answer_of(blocks: Sequence[SignedBlock]) -> bytes:
    """The answer of a peer with these blocks."""
    return encode_blocks([encode_block(one) for one in blocks])
