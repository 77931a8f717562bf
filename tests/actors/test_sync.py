"""Sync: a node that is behind finds back, whatever some of its peers do."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.sync import PAUSE_SECONDS
from alysd.actors.sync_ranges import AT_ONCE
from alysd.consensus.violations import PegNotActive
from alysd.errors import NotNow
from alysd.messages.approval import BlockImported
from alysd.messages.block_import import ImportBlock, ImportRange
from alysd.messages.chain import GetForkchoice
from alysd.messages.log.base import LogEvent
from alysd.messages.log.network import SyncDone, SyncProgressed, SyncStarted
from alysd.messages.sync import BlockMissing, PeerAhead
from alysd.nurseries import ActorDown, MailboxFull
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence, StreamKind
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Slot
from tests.actors.federation_kit import sign
from tests.actors.sync_kit import LONG, SHORT, Bench, Branch, Peer

pytestmark = pytest.mark.usefixtures("no_threads")


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


def offence_of(lie: Callable[[Sequence[SignedBlock]], Sequence[SignedBlock]]) -> PeerOffence:
    return PeerOffence.MALFORMED if lie is twice else PeerOffence.FALSE_ANSWER


@pytest.mark.parametrize("lie", [without_quorum, others, twice])
async def test_a_false_head_is_blamed(
    autojump_clock: MockClock, lie: Callable[[Sequence[SignedBlock]], Sequence[SignedBlock]]
) -> None:
    bench = Bench.make(SHORT, liar=Peer(LONG, lie=lie, lies_about_head=True))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        assert (await bench.progress()).synced
    assert bench.blamed() == [("liar", offence_of(lie))]
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
    assert bench.blamed() == [("liar", offence_of(lie))]


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


def imports_begun(bench: Bench, count: int) -> bool:
    """Whether the import of so many ranges has begun."""
    return sum(isinstance(one, ImportRange) for one in bench.imports.received) == count


async def test_a_slow_import_holds_back_the_requests(autojump_clock: MockClock) -> None:
    """A newcomer whose disk or execution client is slower than its peers would keep the whole chain in memory."""
    long = Branch().grow(8 * 256)
    peer = Peer(long)
    bench = Bench.make(Branch(), peer=peer)
    bench.together = 256
    bench.imports.on(ImportRange).computes(bench.take_range).after(5)
    async with bench.running():
        bench.report()
        for imports in (1, 2, 3):
            await bench.harness.until(partial(imports_begun, bench, imports), seconds=20, what="an import")
            await trio.sleep(4)
            assert peer.asked.count(StreamKind.BLOCKS_BY_RANGE) == imports + AT_ONCE - 1, "the others wait"


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


async def test_peers_on_two_branches_are_no_liars_and_the_best_one_wins(autojump_clock: MockClock) -> None:
    best, other = SHORT.grow(600, skip=1), SHORT.grow(600, gas_limit=1)
    bench = Bench.make(SHORT, best=Peer(best, seconds=1.0), other=Peer(other))
    async with bench.running():
        for _ in range(12):
            bench.report()
            await trio.sleep(10)
            if bench.tip.head == best.head:
                break
    assert bench.tip.head == best.head
    assert bench.blamed() == []


async def test_a_peer_that_changes_its_branch_in_the_middle_is_followed_later(autojump_clock: MockClock) -> None:
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
    bench.imports.on(ImportRange).fails(NotNow("the client catches up"))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        bench.imports.on(ImportRange).computes(bench.take_range)
        await bench.until(LONG, PAUSE_SECONDS + 1)


async def test_an_import_that_restarts_is_waited_for(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportRange).fails(ActorDown("block import", "stopped"))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        bench.imports.on(ImportRange).computes(bench.take_range)
        await bench.until(LONG, PAUSE_SECONDS + 1)
        assert bench.harness.child("sync").restarts == 0


async def test_nobody_is_blamed_for_a_block_that_a_quorum_has_approved(autojump_clock: MockClock) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportRange).fails(PegNotActive("peg_ins", 1))
    async with bench.running():
        bench.report()
        await trio.sleep(15)
        assert bench.blamed() == []
        assert len([one for one in bench.imports.received if isinstance(one, ImportRange)]) == 1


async def test_the_progress_is_logged_every_ten_seconds(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.imports.on(ImportRange).after(1.0)
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


async def test_blocks_that_become_final_while_ancestors_are_fetched_end_the_fetching(
    autojump_clock: MockClock,
) -> None:
    """It went on down to the genesis block, and banned every honest peer for its missing approvals."""
    bench = Bench.make(SHORT, peer=Peer(LONG.cut(12), seconds=0.5))
    async with bench.running():
        bench.sync.tell(BlockMissing(LONG.states[12].hash, "peer"))
        await trio.sleep(1.8)
        bench.states = {LONG.states[10].hash: LONG.states[10]}
        bench.tip = Forkchoice(LONG.states[10], LONG.states[10], LONG.states[10])
        await trio.sleep(10)
    assert bench.blamed() == []
    assert len(bench.peers["peer"].asked) <= 5
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
    autojump_clock: MockClock,
) -> None:
    """The hashes of the blocks do not cover the approvals. Those of all blocks but the last were not checked."""
    target = SHORT.grow(600)

    def corrupt(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
        other = attrs.evolve(blocks[0].approvals, signature=blocks[-1].approvals.signature)
        return [attrs.evolve(blocks[0], approvals=other), *blocks[1:]]

    liar = Peer(target, lie=corrupt, seconds=0.05)
    bench = Bench.make(SHORT, one=Peer(target), two=Peer(target), liar=liar)
    async with bench.running():
        bench.report()
        await bench.until(target)
    assert set(bench.blamed()) == {("liar", PeerOffence.FALSE_ANSWER)}
    ranges = [one.verified.blocks for one in bench.imports.received if isinstance(one, ImportRange)]
    imported = [signed for blocks in ranges for signed in blocks]
    assert {one.approvals for one in imported} <= {one.approvals for one in target.blocks}


def nothing(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
    return ()


async def test_peers_that_answer_ranges_late_and_without_blocks_stop_nobody(autojump_clock: MockClock) -> None:
    """The best head led, so its owner held the node back for 15 s per status, and three such peers for ever."""
    ahead = SHORT.grow(100)
    hostile = {f"hostile {number}": Peer(ahead.grow(1), range_seconds=14.9, lie=nothing) for number in range(8)}
    bench = Bench.make(SHORT, 0, **hostile, honest=Peer(ahead))
    async with bench.running():
        bench.report()
        assert await bench.until(ahead, 40) < 30
        for _ in range(60):
            bench.report()
            await trio.sleep(10)
    assert {name for name, _ in bench.blamed()} == set(hostile)


async def test_a_peer_that_sends_nothing_of_what_it_claims_holds_nobody_back_from_making_blocks(
    autojump_clock: MockClock,
) -> None:
    """The node made and approved no blocks while a peer with the head of the chain sent no ranges."""
    best = SHORT.grow(3)
    bench = Bench.make(SHORT, hostile=Peer(best, range_seconds=14.9, lie=nothing))
    async with bench.running():
        for _ in range(300):
            bench.report()
            await trio.sleep(1)
            assert (await bench.progress()).synced
    assert Counter(bench.blamed())["hostile", PeerOffence.WITHHELD] >= 5


async def test_a_peer_without_the_block_of_its_head_is_blamed_and_asked_more_and_more_seldom(
    autojump_clock: MockClock,
) -> None:
    hostile = Peer(LONG, lie=nothing, lies_about_head=True)
    bench = Bench.make(SHORT, hostile=hostile)
    async with bench.running():
        for _ in range(60):
            bench.report()
            await trio.sleep(5)
        assert set(bench.blamed()) == {("hostile", PeerOffence.WITHHELD)}
        assert 5 <= len(hostile.asked) <= 10


async def test_a_busy_peer_is_not_blamed_and_another_one_is_asked_at_once(autojump_clock: MockClock) -> None:
    busy, other = Peer(LONG), Peer(LONG, range_seconds=0.5)
    bench = Bench.make(SHORT, busy=busy, other=other)
    async with bench.running():
        bench.report()
        await trio.sleep(0.15)
        busy.busy = True
        assert await bench.until(LONG) < 3
    assert bench.blamed() == []


async def test_busy_peers_are_asked_again(autojump_clock: MockClock) -> None:
    peer = Peer(LONG)
    bench = Bench.make(SHORT, peer=peer)
    async with bench.running():
        bench.report()
        await trio.sleep(0.15)
        peer.busy = True
        await trio.sleep(8)
        peer.busy = False
        assert await bench.until(LONG) < 12
    assert bench.blamed() == []


async def test_the_faster_peer_gets_more_ranges(autojump_clock: MockClock) -> None:
    long = Branch().grow(16 * 256)
    fast, slow = Peer(long, range_seconds=0.2), Peer(long, range_seconds=6.0)
    bench = Bench.make(Branch(), fast=fast, slow=slow)
    async with bench.running():
        bench.report()
        assert await bench.until(long) < 12
    assert len(fast.asked) >= 4 * len(slow.asked)


async def test_hostile_peers_with_new_heads_do_not_keep_an_honest_one_from_being_asked(
    autojump_clock: MockClock,
) -> None:
    """16 of them held all places for requests, and an honest peer waited for half a minute."""
    hostile = {f"hostile {number}": Peer(SHORT, seconds=14.9) for number in range(16)}
    bench = Bench.make(SHORT, 0, **hostile, honest=Peer(LONG, seconds=0.05))
    async with bench.running():

        async def claim_new_heads() -> None:
            for round_ in range(12):
                for number, name in enumerate(hostile):
                    head = BlockHash(bytes([round_, number]) * 16)
                    bench.sync.tell(PeerAhead(name, attrs.evolve(LONG.status(), head=head)))
                await trio.sleep(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim_new_heads)
            await trio.sleep(35)
            bench.report("honest")
            assert await bench.until(LONG) < 20
            nursery.cancel_scope.cancel()


async def test_a_peer_that_sends_ancestors_slowly_holds_up_no_other_proposal(autojump_clock: MockClock) -> None:
    """One task got the ancestors of all proposals, so one peer held it for 15 s per block."""
    slow = Peer(LONG, seconds=4.9)
    bench = Bench.make(SHORT, slow=slow, quick=Peer(LONG.cut(7)))
    async with bench.running():
        bench.sync.tell(BlockMissing(LONG.head.hash, "slow"))
        await trio.sleep(1)
        bench.sync.tell(BlockMissing(LONG.states[7].hash, "quick"))
        bench.sync.tell(BlockMissing(LONG.states[7].hash, "slow"))
        assert await bench.until(LONG.cut(7)) < 2
        await trio.sleep(60)
    assert len(slow.asked) <= 6
