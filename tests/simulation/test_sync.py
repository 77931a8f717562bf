"""A follower gets the chain from its peer: at its first start, after it was away, and while it is connected."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.violations import BelowCheckpoint
from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import GetForkchoice
from alysd.messages.storage import GetBlockByHeight
from alysd.messages.sync import GetSyncProgress
from alysd.testing.chain import chain_spec
from alysd.testing.federation.links import LinkQuality
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node, peer_host_over
from alysd.testing.virtual_time import seeded
from alysd.types.checkpoint import Checkpoint
from alysd.types.units import Height

SPEC = chain_spec()


@asynccontextmanager
async def author(folder: Path, network: SimulatedNetwork) -> AsyncGenerator[SimulatedNode]:
    """The only authority of the chain, and its connection to a follower."""
    endpoint = network.add("author")
    network.add("follower")
    network.link("author", "follower", LinkQuality())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.run)
        async with open_simulated_node(
            folder / "author", SPEC, mining=MINING, peer_host=peer_host_over(endpoint)
        ) as node:
            yield node
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def follower(
    folder: Path, network: SimulatedNetwork, checkpoint: Checkpoint | None = None
) -> AsyncGenerator[SimulatedNode]:
    """A node without a key."""
    endpoint = network.add("follower")
    async with open_simulated_node(
        folder / "follower", SPEC, authority=None, peer_host=peer_host_over(endpoint), checkpoint=checkpoint
    ) as node:
        yield node


async def test_a_follower_finds_back_after_more_than_a_final_block(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    for name in ("author", "follower"):
        (tmp_path / name).mkdir()
    network = SimulatedNetwork(seeded(1))
    async with author(tmp_path, network) as made:
        await made.slots(40.5)
        async with follower(tmp_path, network) as new:
            await new.slots(8)
            first = (await new.forkchoice()).head.height
            assert first >= (await made.forkchoice()).head.height - 1 >= 40
        away = (await made.forkchoice()).finalized.height
        await made.slots(40)
        async with follower(tmp_path, network) as back:
            begun = (await back.to.chain.ask(GetForkchoice())).head.height
            assert first <= begun < (await made.forkchoice()).finalized.height
            assert (await made.forkchoice()).finalized.height > away
            await back.slots(8)
            ours, theirs = await back.forkchoice(), await made.forkchoice()
            assert ours.head.height >= theirs.head.height - 1
            assert ours.finalized == theirs.finalized
            assert (await back.to.sync.ask(GetSyncProgress())).synced
            # From now on it follows by gossip, block by block.
            await back.slots(20)
            assert (await back.forkchoice()).head.height >= (await made.forkchoice()).head.height - 1
        assert made.missed == []


async def test_a_follower_with_a_checkpoint_takes_no_other_chain(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    for name in ("author", "follower"):
        (tmp_path / name).mkdir()
    network = SimulatedNetwork(seeded(1))
    async with author(tmp_path, network) as made:
        await made.slots(40.5)
        final = (await made.forkchoice()).finalized
        async with follower(tmp_path, network, Checkpoint(final.height, final.hash)) as new:
            await new.slots(8)
            assert (await new.forkchoice()).head.height >= (await made.forkchoice()).head.height - 1
            assert (await new.to.sync.ask(GetSyncProgress())).synced
        (tmp_path / "wrong" / "follower").mkdir(parents=True)
        wrong = Checkpoint(final.height, final.parent_hash)
        async with follower(tmp_path / "wrong", network, wrong) as new:
            await new.slots(8)
            assert (await new.forkchoice()).head.height == 0
            assert not (await new.to.sync.ask(GetSyncProgress())).synced
            first = await made.to.storage.ask(GetBlockByHeight(Height(1)))
            assert first is not None
            with pytest.raises(BelowCheckpoint):
                await new.to.block_import.ask(ImportBlock(first))
