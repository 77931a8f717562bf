"""The JSON of blocks, offers and proofs."""

import attrs

from alysd.api.alys_json import block_json, offer_json, queued_json
from alysd.consensus.auxpow import proof_value
from alysd.messages.auxpow import CreateWork, MiningOffer, QueuedWork
from alysd.testing.blocks import (
    CHAIN_ID,
    FIRST_SLOT,
    MINER,
    approve,
    genesis,
    make_block,
    make_payload,
    make_spec,
)
from alysd.testing.mining import MiningWorld, solved
from alysd.types.block import Withdrawal
from alysd.types.chain import PlacedBlock
from alysd.types.units import Gwei
from alysd.wire.mining_json import aux_offer_from_json


async def offered_and_queued(world: MiningWorld) -> tuple[MiningOffer, QueuedWork]:
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        return offer, await world.auxpow.ask(solved(offer))


async def test_a_miner_reads_what_the_node_writes(autojump_clock: object) -> None:
    """Either side could change byte order or a field's name on its own."""
    world = MiningWorld()
    world.block(1, fees=10**15)
    world.block(2)
    offer, _ = await offered_and_queued(world)
    shown = offer_json(offer, CHAIN_ID)
    read = aux_offer_from_json(shown)
    assert (read.aux_hash, read.target, read.chain_id) == (offer.work.aux_hash, offer.target, CHAIN_ID)
    assert (read.height, read.reward) == (1, 80_000)
    assert int(shown["bits"], 16) == offer.work.bits
    assert shown["previousblockhash"] == offer.previous[::-1].hex()


async def test_a_queued_proof_says_what_it_covers(autojump_clock: object) -> None:
    world = MiningWorld()
    first, last, _ = world.blocks_in(1, 2, 3)
    _, queued = await offered_and_queued(world)
    shown = queued_json(queued)
    assert shown["blocks"] == 2
    assert shown["hash"] == queued.aux_hash[::-1].hex()
    assert (shown["rangestart"], shown["rangeend"]) == (first.hash[::-1].hex(), last.hash[::-1].hex())
    assert shown["feerecipient"] == "0x" + "11" * 20
    assert queued.header.auxpow is not None
    assert int(shown["parentblockhash"], 16) == proof_value(queued.header.auxpow)


def test_a_block_stands_as_it_does_on_the_chain() -> None:
    """A wallet would take an abandoned block for a final one."""
    world = MiningWorld()
    first, second = world.blocks_in(1, 2)
    signed = world.blocks[first.hash]
    shown = block_json(PlacedBlock(signed, world.tree.tip, True, None, None))
    assert (shown["height"], shown["confirmations"], shown["final"]) == (1, 2, False)
    assert shown["hash"] == first.hash[::-1].hex()
    assert shown["previousblockhash"] == genesis(world.spec).hash[::-1].hex()
    assert (shown["slot"], shown["time"]) == (FIRST_SLOT + 1, 2 * (FIRST_SLOT + 1))
    assert shown["executionhash"] == "0x" + signed.block.payload.block_hash.hex()
    assert (shown["approvals"], shown["auxpow"], shown["withdrawals"]) == (3, None, [])
    abandoned = block_json(PlacedBlock(world.blocks[second.hash], world.tree.tip, False, None, None))
    assert (abandoned["confirmations"], abandoned["final"]) == (-1, False)


def test_withdrawals_are_shown_in_gwei_and_transactions_counted() -> None:
    spec, minted = make_spec(), Withdrawal(0, 0, MINER, Gwei(80))
    block = make_block(genesis(spec), FIRST_SLOT, spec)
    payload = make_payload(withdrawals=(minted,), transactions=(b"a", b"b"), gas_used=42_000)
    signed = approve(attrs.evolve(block, payload=payload), spec)
    shown = block_json(PlacedBlock(signed, MiningWorld(spec).tree.tip, True, None, None))
    assert shown["withdrawals"] == [{"address": "0x" + "11" * 20, "gwei": 80}]
    assert (shown["transactions"], shown["gasused"]) == (2, 42_000)
