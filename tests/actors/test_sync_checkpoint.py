"""A checkpoint: a node imports only the chain that contains it, and is not synced before it has it."""

from collections.abc import Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.peer_client import PeerClient
from alysd.actors.sync import CHECKPOINT_SECONDS
from alysd.actors.sync_checkpoint import CheckpointPath, Section
from alysd.actors.sync_peers import SyncPeers
from alysd.consensus.violations import PegNotActive
from alysd.errors import WrongChain
from alysd.messages.block_import import ImportRange
from alysd.messages.log.base import LogEvent
from alysd.messages.log.network import CheckpointNotFound, CheckpointReached, CheckpointRefused
from alysd.types.block import SignedBlock
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence
from alysd.types.units import Height
from tests.actors.sync_kit import LONG, SHORT, Bench, Branch, Peer

OTHER = Branch().grow(60, gas_limit=29_000_000)
"""A longer chain from the first block on, which a quorum has approved: made with keys that are no longer used."""


def at(branch: Branch, height: int) -> Checkpoint:
    return Checkpoint(Height(height), branch.states[height].hash)


def imported(bench: Bench) -> set[BlockHash]:
    ranges = [one.verified.blocks for one in bench.imports.received if isinstance(one, ImportRange)]
    return {signed.hash for blocks in ranges for signed in blocks}


async def test_a_node_is_synced_only_once_it_has_the_checkpoint(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.checkpoint = at(LONG, 30)
    async with bench.running():
        before = await bench.progress()
        assert (before.synced, before.checkpoint_missing, before.target) == (False, True, 30)
        bench.report()
        await bench.until(LONG)
        assert (await bench.progress()).synced
    assert bench.blamed() == []
    assert [event for event in logged if isinstance(event, CheckpointReached)] == [
        CheckpointReached(str(bench.checkpoint))
    ]


async def test_a_chain_of_old_keys_is_refused_before_any_of_its_blocks_is_imported(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """Its blocks are approved and valid, and some could become final with little work."""
    bench = Bench.make(Branch(), honest=Peer(LONG), false=Peer(OTHER, seconds=0.01))
    bench.checkpoint = at(LONG, 30)
    async with bench.running():
        bench.report()
        await bench.until(LONG)
        assert imported(bench) <= {state.hash for state in LONG.states}
    assert bench.blamed() == [("false", PeerOffence.FALSE_ANSWER)]
    (refused,) = [event for event in logged if isinstance(event, CheckpointRefused)]
    assert refused.peer == "false"
    assert "not the chain of the checkpoint: the block at height 30 is" in refused.reason


async def test_without_a_peer_that_has_the_checkpoint_nothing_is_imported(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    bench = Bench.make(Branch(), false=Peer(OTHER))
    bench.checkpoint = at(LONG, 30)
    async with bench.running():
        bench.report()
        await trio.sleep(CHECKPOINT_SECONDS - 1)
        await trio.sleep(2 * CHECKPOINT_SECONDS)
        bench.report()
        assert [event for event in logged if isinstance(event, CheckpointNotFound)]
        assert len([event for event in logged if isinstance(event, CheckpointRefused)]) == 1
        assert not imported(bench)
        progress = await bench.progress()
        assert not progress.synced
        assert progress.checkpoint_problem == (
            f"no peer has sent the block of network.checkpoint, {bench.checkpoint}; 1 peer sent another block of "
            "its height: compare height and hash with people who run other nodes"
        )
        assert bench.blamed() == [], "the operator may have mistyped the checkpoint"
        bench.peers["honest"] = Peer(LONG)
        bench.report("honest")
        await bench.until(LONG)
        assert (await bench.progress()).checkpoint_problem is None
    assert bench.blamed() == [("false", PeerOffence.FALSE_ANSWER)]


async def test_a_peer_that_changes_the_chain_after_the_search_is_blamed(
    autojump_clock: MockClock, no_threads: None
) -> None:
    asked: list[int] = []

    def turncoat(blocks: Sequence[SignedBlock]) -> Sequence[SignedBlock]:
        asked.append(len(blocks))
        return blocks if len(asked) == 1 else [OTHER.blocks[one.block.height - 1] for one in blocks]

    bench = Bench.make(Branch(), peer=Peer(LONG, lie=turncoat))
    bench.checkpoint = at(LONG, 30)
    async with bench.running():
        bench.report()
        await trio.sleep(20)
        assert bench.blamed() == [("peer", PeerOffence.FALSE_ANSWER)]
        assert not imported(bench)


async def test_large_blocks_make_short_sections(autojump_clock: MockClock, no_threads: None) -> None:
    """An answer has no room for all of them, and a range that does not end with a known hash proves nothing."""
    bench = Bench.make(SHORT, peer=Peer(LONG, most=10))
    bench.checkpoint = at(LONG, 30)
    async with bench.running():
        bench.report()
        await bench.until(LONG)
    assert bench.blamed() == []


async def test_a_node_that_could_not_import_the_blocks_tries_again(
    autojump_clock: MockClock, no_threads: None
) -> None:
    bench = Bench.make(SHORT, peer=Peer(LONG))
    bench.checkpoint = at(LONG, 30)
    bench.imports.on(ImportRange).fails(PegNotActive("peg_ins", 1))
    async with bench.running():
        bench.report()
        await trio.sleep(5)
        bench.imports.on(ImportRange).computes(bench.take_range)
        await bench.until(LONG)


@attrs.define
class Search:
    """The search for a checkpoint, by a node that knows the blocks of `own` from the final one on."""

    own: Branch
    checkpoint: Checkpoint
    final: int = 0
    bench: Bench = attrs.field(factory=lambda: Bench.make(SHORT, silent=Peer(LONG, silent=True), peer=Peer(LONG)))

    async def run(self) -> Sequence[Section] | None:
        peers, known = SyncPeers(), {state.hash for state in self.own.states[self.final :]}

        async def knows(block: BlockHash) -> bool:
            return block in known

        for name, peer in self.bench.peers.items():
            peers.report(name, peer.branch.status(), trio.current_time())
            found = peers.get(name)
            assert found is not None
            found.proven = found.claim
        path = CheckpointPath(PeerClient(self.bench.host, self.bench.network), peers, self.checkpoint, knows)
        async with self.bench.running():
            return await path.find(self.own.head, self.own.states[self.final].height)


async def test_the_search_ends_at_a_known_block_and_asks_another_peer_if_one_is_silent(
    autojump_clock: MockClock, no_threads: None
) -> None:
    search = Search(LONG.cut(20), at(LONG, 35), final=15)
    assert await search.run() == [Section(Height(16), Height(35), LONG.states[35].hash)]


async def test_a_final_block_off_the_chain_of_the_checkpoint_stops_the_node(
    autojump_clock: MockClock, no_threads: None
) -> None:
    search = Search(OTHER.cut(20), at(LONG, 35), final=15)
    with pytest.raises(WrongChain, match="at height 15, is not on the chain of the checkpoint 35:"):
        await search.run()
