"""Sync: a node that is behind finds back, whatever some of its peers do."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.peer_client import PeerClient
from alysd.actors.sync import PAUSE_SECONDS, SyncActor
from alysd.actors.sync_peers import SyncPeers
from alysd.actors.sync_ranges import Piece, RangeDownload
from alysd.consensus.validity import apply_block
from alysd.consensus.violations import BadApprovalSignature, PegNotActive, UnknownParent
from alysd.errors import NotNow, PeerUnavailable
from alysd.messages.approval import ApprovalGathering, BlockImported
from alysd.messages.block_import import BlockImport, ImportBlock
from alysd.messages.chain import Chain, GetForkchoice, GetState
from alysd.messages.log.base import LogEvent
from alysd.messages.log.network import SyncDone, SyncProgressed, SyncStarted
from alysd.messages.network import BlamePeer, Network
from alysd.messages.peer_host import PeerHost, SendRequest
from alysd.messages.sync import BlockMissing, GetSyncProgress, PeerAhead, Sync
from alysd.node import REFUSALS
from alysd.nurseries import Actor, ActorDown, Address, Deferred, MailboxFull, actor, handles
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence, PeerStatus, StreamKind
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Slot, Wei
from alysd.wire.sync import decode_range_request, decode_roots_request, encode_blocks
from tests.actors.federation_kit import BLS, CONTEXT, FIRST, child, genesis, sign

pytestmark = pytest.mark.usefixtures("no_threads")

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
    """A peer with a branch. `lie` changes the blocks that it sends; `most` is the length of its answers."""

    branch: Branch
    seconds: float = 0.1
    lie: Callable[[Sequence[SignedBlock]], Sequence[SignedBlock]] = tuple
    lies_about_head: bool = False
    silent: bool = False
    most: int = 1000
    asked: list[StreamKind] = attrs.field(factory=list[StreamKind])
    open: int = 0

    async def answer(self, message: SendRequest) -> bytes:
        self.asked.append(message.kind)
        self.open += 1
        try:
            await trio.sleep(message.seconds if self.silent else self.seconds)
        finally:
            self.open -= 1
        if self.silent:
            raise PeerUnavailable(message.peer, "no answer")
        if message.kind is StreamKind.BLOCKS_BY_ROOT:
            wanted = decode_roots_request(message.request)
            found = [one for one in self.branch.blocks if one.hash in wanted]
            return encode_blocks(self.lie(found) if self.lies_about_head else found)
        asked = decode_range_request(message.request)
        return encode_blocks(
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
        bench.imports.on(ImportBlock).computes(bench.take)
        return bench

    def take(self, message: ImportBlock) -> Forkchoice:
        signed = message.signed
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
                Timing(CONTEXT.spec.slot_seconds),
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


async def test_a_node_without_peers_is_synced(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT)
    async with bench.running():
        assert await bench.progress() == SyncProgress(SHORT.head.height, SHORT.head.height, 0.0, 0)
        assert (await bench.progress()).synced


async def test_a_node_that_is_behind_finds_back(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    bench = Bench.make(SHORT, a=Peer(LONG), b=Peer(LONG))
    async with bench.running():
        bench.report()
        await trio.sleep(0.15)
        behind = await bench.progress()
        assert (behind.current, behind.target, behind.peers, behind.synced) == (5, 40, 2, False)
        await bench.until(LONG)
        assert (await bench.progress()).synced
        await trio.sleep(1)
    assert BlockImported(LONG.head.hash) in bench.approval.received
    assert bench.blamed() == []
    assert [type(event) for event in logged] == [SyncStarted, SyncDone]


async def test_a_peer_that_is_not_ahead_is_not_asked(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, same=Peer(SHORT), behind=Peer(SHORT.cut(3)))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        assert (await bench.progress()).target == 5
    assert [peer.asked for peer in bench.peers.values()] == [[], []]


async def test_a_claim_counts_for_nothing_until_it_is_proved(autojump_clock: MockClock) -> None:
    """Otherwise one peer could keep all nodes from making and approving blocks."""
    liar = Peer(LONG, silent=True)
    bench = Bench.make(SHORT, liar=liar)
    async with bench.running():
        bench.report()
        for _ in range(40):
            assert (await bench.progress()).synced
            await trio.sleep(1)
        assert bench.blamed()[0] == ("liar", PeerOffence.NO_ANSWER)
        liar.silent, liar.lie = False, lambda _: ()
        bench.report()
        await trio.sleep(5)
        assert (await bench.progress()).synced


def without_quorum(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
    return [*blocks[:-1], sign(blocks[-1].block, 0, 1)] if blocks else ()


def broken(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
    return [*blocks[:3], *blocks[4:]]


def others(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
    return SHORT.blocks[: len(blocks)]


def twice(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
    return [*blocks, *blocks]


@pytest.mark.parametrize("lie", [without_quorum, others, twice])
async def test_a_false_head_is_blamed(
    autojump_clock: MockClock, lie: Callable[[Sequence[SignedBlock]], Sequence[SignedBlock]]
) -> None:
    bench = Bench.make(SHORT, liar=Peer(LONG, lie=lie, lies_about_head=True))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        assert (await bench.progress()).synced
    assert bench.blamed() == [("liar", PeerOffence.FALSE_ANSWER)]
    assert bench.tip.head == SHORT.head


async def test_a_false_height_of_a_real_head_is_blamed(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, liar=Peer(LONG))
    async with bench.running():
        bench.sync.tell(PeerAhead("liar", attrs.evolve(LONG.status(), head_height=10**9)))
        await trio.sleep(5)
        assert (await bench.progress()).synced
    assert bench.blamed() == [("liar", PeerOffence.FALSE_ANSWER)]


@pytest.mark.parametrize("lie", [without_quorum, broken, others, twice])
async def test_a_peer_with_false_ranges_is_blamed_and_the_others_help(
    autojump_clock: MockClock, lie: Callable[[Sequence[SignedBlock]], Sequence[SignedBlock]]
) -> None:
    bench = Bench.make(SHORT, liar=Peer(LONG, lie=lie), honest=Peer(LONG, seconds=0.5))
    async with bench.running():
        bench.report("liar")
        await trio.sleep(0.05)
        bench.report("honest")
        await trio.sleep(11)
        bench.report("honest")
        await bench.until(LONG)
    assert bench.blamed() == [("liar", PeerOffence.FALSE_ANSWER)]


async def test_a_silent_peer_delays_the_others_only_once(autojump_clock: MockClock) -> None:
    silent = Peer(LONG)
    bench = Bench.make(SHORT, silent=silent, honest=Peer(LONG))
    async with bench.running():
        bench.report()
        await trio.sleep(0.15)
        silent.silent = True
        assert await bench.until(LONG) < 20


async def test_several_ranges_are_downloaded_at_once_from_several_peers(autojump_clock: MockClock) -> None:
    long = Branch().grow(5 * 256)
    first, second = Peer(long, seconds=2.0), Peer(long, seconds=2.0)
    bench = Bench.make(Branch(), first=first, second=second)
    async with bench.running():
        bench.report()
        await trio.sleep(3)
        assert first.open >= 1
        assert second.open >= 1
        assert first.open + second.open >= 3
        assert await bench.until(long) < 10


async def test_short_answers_are_continued(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG, most=4))
    async with bench.running():
        bench.report()
        await bench.until(LONG)


async def test_a_node_on_another_branch_goes_back_to_the_fork(autojump_clock: MockClock) -> None:
    other = SHORT.grow(20, gas_limit=1)
    bench = Bench.make(other, peer=Peer(SHORT.grow(21, skip=1)))
    async with bench.running():
        bench.report()
        await bench.until(SHORT.grow(21, skip=1))
    assert bench.blamed() == []


async def test_a_branch_that_does_not_contain_the_final_block_is_left_alone(autojump_clock: MockClock) -> None:
    other = SHORT.grow(20, gas_limit=1)
    peer = Peer(LONG)
    bench = Bench.make(other, 10, peer=peer)
    async with bench.running():
        for _ in range(3):
            bench.report()
            await trio.sleep(10)
    assert bench.tip.head == other.head
    assert bench.blamed() == []
    assert len(peer.asked) < 25


async def test_several_branches_are_offered_and_the_best_one_wins(autojump_clock: MockClock) -> None:
    best, other = SHORT.grow(20, skip=1), SHORT.grow(20, gas_limit=1)
    bench = Bench.make(SHORT, other=Peer(other), best=Peer(best))
    async with bench.running():
        bench.report("other")
        await bench.until(other)
        bench.report("best")
        await bench.until(best)
    assert bench.blamed() == []


async def test_a_helper_on_another_branch_is_no_help_and_no_liar(autojump_clock: MockClock) -> None:
    best, other = SHORT.grow(300, skip=1), SHORT.grow(300, gas_limit=1)
    bench = Bench.make(SHORT, best=Peer(best, seconds=1.0), other=Peer(other))
    peers, taken = SyncPeers(), list[SignedBlock]()

    def check(newest_first: Iterator[SignedBlock], start: Height) -> tuple[SignedBlock, ...]:
        return tuple(reversed(list(newest_first)))

    async def take(piece: Piece) -> bool:
        assert piece.peer == "best"
        taken.extend(piece.blocks)
        return True

    async with bench.running():
        for name, branch in (("best", best), ("other", other)):
            peers.report(name, branch.status(), 0.0)
        client = PeerClient(bench.host, bench.network)
        await RangeDownload(client, peers, check, take, "best", ["best", "other"]).run(Height(6), Height(305))
    assert taken == list(best.blocks[5:])
    assert bench.peers["other"].asked == [StreamKind.BLOCKS_BY_RANGE]
    assert bench.blamed() == []


async def test_a_leader_that_changes_its_branch_in_the_middle_is_followed_later(autojump_clock: MockClock) -> None:
    before, after = SHORT.grow(300), SHORT.grow(299, gas_limit=1).grow(1, skip=2)
    leader = Peer(before, seconds=1.0)
    bench = Bench.make(SHORT, leader=leader)

    def change(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
        leader.branch = after
        return blocks

    leader.lie = change
    async with bench.running():
        bench.report()
        await trio.sleep(10)
        bench.report()
        await bench.until(after)
    assert bench.blamed() == []


async def test_a_block_that_cannot_be_imported_yet_is_tried_again(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportBlock).fails(NotNow("the client catches up"))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        bench.imports.on(ImportBlock).computes(bench.take)
        await bench.until(LONG, PAUSE_SECONDS + 1)


async def test_an_import_that_restarts_is_waited_for(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportBlock).fails(ActorDown("block import", "stopped"))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        bench.imports.on(ImportBlock).computes(bench.take)
        await bench.until(LONG, PAUSE_SECONDS + 1)
        assert bench.harness.child("sync").restarts == 0


async def test_nobody_is_blamed_for_a_block_that_a_quorum_has_approved(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportBlock).fails(PegNotActive("peg_ins", 1))
    async with bench.running():
        bench.report()
        await trio.sleep(15)
        assert bench.blamed() == []
        assert len([one for one in bench.imports.received if isinstance(one, ImportBlock)]) == 1


async def test_the_progress_is_logged_every_ten_seconds(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportBlock).after(1.0)
    async with bench.running():
        bench.report()
        await trio.sleep(12)
        progress = await bench.progress()
        assert 0.8 < progress.blocks_per_second <= 1.0
        bench.report()
        await bench.until(LONG)
        await trio.sleep(0.1)
    shown = [event for event in logged if isinstance(event, SyncProgressed)]
    assert len(shown) == 3
    assert shown[0].target == 40


async def test_the_missing_ancestors_of_a_proposal_are_fetched_from_its_sender(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG.cut(8)))
    async with bench.running():
        bench.sync.tell(BlockMissing(LONG.states[8].hash, "peer"))
        await bench.until(LONG.cut(8))
        await bench.harness.settle()
    assert bench.approval.received == [BlockImported(LONG.states[8].hash)]
    assert bench.peers["peer"].asked == [StreamKind.BLOCKS_BY_ROOT] * 3


async def test_another_peer_is_asked_when_the_sender_does_not_have_the_block(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, empty=Peer(SHORT), other=Peer(LONG.cut(6)))
    bench.approval.on(BlockImported).fails(MailboxFull("approval", 1))
    async with bench.running():
        bench.report("other", "empty")
        bench.imports.on(ImportBlock).fails(NotNow("later"))
        bench.sync.tell(BlockMissing(LONG.states[6].hash, "empty"))
        await trio.sleep(3)
        bench.imports.on(ImportBlock).computes(bench.take)
        bench.sync.tell(BlockMissing(LONG.states[6].hash, ""))
        await bench.until(LONG.cut(6))


async def test_ancestors_that_are_too_many_or_unknown_are_left_to_ranges(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    async with bench.running():
        bench.sync.tell(BlockMissing(BlockHash(bytes(32)), "peer"))
        bench.sync.tell(BlockMissing(LONG.head.hash, "peer"))
        bench.sync.tell(BlockMissing(SHORT.head.hash, "peer"))
        await trio.sleep(10)
    assert bench.tip.head == SHORT.head
    assert len(bench.peers["peer"].asked) == 1 + 32
    assert bench.approval.received == [BlockImported(SHORT.head.hash)]


async def test_a_branch_from_below_the_final_block_is_not_fetched_and_nobody_is_blamed(
    autojump_clock: MockClock,
) -> None:
    """The node fetched it down to the genesis block, and banned every honest peer for its missing approvals."""
    fork = LONG.cut(3).grow(4, gas_limit=29_000_000)
    bench = Bench.make(LONG.cut(10), 5, peer=Peer(fork))
    async with bench.running():
        bench.sync.tell(BlockMissing(fork.head.hash, "peer"))
        await trio.sleep(5)
    assert len(bench.peers["peer"].asked) == 3, "the last block has the height of the final one"
    assert bench.blamed() == []
    assert bench.imports.received == []


async def test_a_flood_of_reports_uses_bounded_memory(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG, silent=True))
    async with bench.running():
        for number in range(300):
            await bench.sync.send(PeerAhead(str(number), LONG.status()))
            await bench.sync.send(BlockMissing(BlockHash(number.to_bytes(32, "big")), "peer"))
        assert (await bench.progress()).peers == 256
        await trio.sleep(61)
        assert (await bench.progress()).peers == 0
        bench.report()
        assert (await bench.progress()).peers == 1


async def test_a_chain_actor_that_restarts_is_waited_for(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    async with bench.running():
        bench.report()
        await trio.sleep(0.15)
        bench.chain.on(GetForkchoice).fails(ActorDown("chain", "stopped"))
        await trio.sleep(2)
        bench.chain.on(GetForkchoice).computes(lambda _: bench.tip)
        bench.report()
        await bench.until(LONG)
        assert bench.harness.child("sync").restarts == 0


async def test_a_proven_head_with_another_height_is_a_lie(autojump_clock: MockClock) -> None:
    """A peer that proved its head once could claim any height for it, and keep this node from making blocks."""
    liar = Peer(LONG)
    bench = Bench.make(SHORT, liar=liar)
    async with bench.running():
        bench.report()
        await bench.until(LONG)
        claim = attrs.evolve(LONG.status(), head_height=Height(10**9), head_slot=Slot(10**12))
        bench.sync.tell(PeerAhead("liar", claim))
        await trio.sleep(1)
        assert bench.blamed() == [("liar", PeerOffence.FALSE_ANSWER)]
        assert (await bench.progress()).synced


async def test_false_approvals_within_a_range_are_blamed_on_the_peer_that_sent_them(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The approvals of all blocks but the last are not covered by the check of the range."""
    target = SHORT.grow(3000)
    plain = Bench.take

    def take(bench: Bench, message: ImportBlock) -> Forkchoice:
        if message.signed.approvals.count < 3:
            raise BadApprovalSignature(2)
        return plain(bench, message)

    def corrupt(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
        return [*(sign(one.block, 0, 1) for one in blocks[:-1]), *blocks[-1:]]

    monkeypatch.setattr(Bench, "take", take)
    liar = Peer(target, lie=corrupt, seconds=0.05)
    bench = Bench.make(SHORT, one=Peer(target), two=Peer(target), liar=liar)
    async with bench.running():
        bench.report()
        await bench.until(target)
    assert set(bench.blamed()) == {("liar", PeerOffence.FALSE_ANSWER)}
