"""A federation of daemons on loopback, connected by libp2p: they make one chain, and lose and regain members."""

from pathlib import Path

import trio

from alysd.integrations.alys_node import AlysNodeRpc
from alysd.testing.blocks import MINER, mine
from alysd.testing.daemon import Daemon
from alysd.types.hashes import AuxHash, displayed
from tests.integration.federation_daemons import federation, height, same_chain, until_at
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


async def test_four_make_one_chain_and_three_go_on_without_the_fourth_which_finds_back(tmp_path: Path) -> None:
    """Blocks reach no quorum over a real network, or a killed member stops the chain or never finds back."""
    async with federation(tmp_path, 4) as running:
        await until_at(running, 4, 120)
        await same_chain(running, 4)
        await running[3].kill()
        before = await height(running[0])
        await until_at(running[:3], before + 5, 120)
        await running[3].start()
        await until_at(running, before + 12, 180)
        await same_chain(running, before + 8)


async def test_the_work_of_a_followers_miner_makes_blocks_final_everywhere(tmp_path: Path) -> None:
    """The members do not know the follower, which makes no block: its miner's work would be lost."""
    async with federation(tmp_path, 3, followers=1) as running:
        await until_at(running, 4, 120)
        async with AlysNodeRpc(running[3].url) as follower:
            offer = await follower.create_work(MINER)
            await follower.submit_work(offer.aux_hash, mine(offer.aux_hash, offer.target))
        with trio.fail_after(60):
            while not all([await included(each, offer.aux_hash) for each in running]):  # noqa: ASYNC110  other processes have no event
                await trio.sleep(0.5)


async def included(node: Daemon, work: AuxHash) -> bool:
    """Whether a block of the node's chain includes the proof for this work."""
    finalized_by = (await node.call("getblockbyheight", 1))["finalizedby"]
    return finalized_by is not None and finalized_by["auxhash"] == displayed(work)
