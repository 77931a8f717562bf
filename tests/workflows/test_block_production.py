"""Block production: whose slots are taken, and what is given up at a slot's end."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.integrations.bls import public_key
from alysd.messages.events import ProductionHalted
from alysd.testing.chain import authority_secret, chain_spec
from alysd.testing.node import MINING, open_simulated_node
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.workflows import block_production


@pytest.mark.parametrize("authority", [0, 1, 2])
async def test_only_the_slots_of_this_authority_are_taken(
    authority: int, tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(authorities=3), authority=authority) as node:
        await node.slots(9.5)
        # With three authorities one approval is below quorum: the block is made, and its import refused.
        assert len(node.missed) in (3, 4)
        assert {miss.slot % 3 for miss in node.missed} == {authority}
        assert all("approv" in miss.reason for miss in node.missed)


async def test_turns_follow_the_federation_of_the_newest_head(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that goes by the federation of its start makes blocks that nobody accepts, or none at all."""
    alone = Federation((public_key(authority_secret(0)),), (), ())
    second = Federation((public_key(authority_secret(1)), *alone.authorities), (), ())
    others = Federation((public_key(authority_secret(1)),), (), ())
    present = [alone]

    def changing(_state: ChainState, _context: ChainContext) -> Federation:
        return present[0]

    monkeypatch.setattr(block_production, "federation_at", changing)
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.until(lambda: len(node.produced) == 2)
        present[0] = second
        made = len(node.produced)
        await node.slots(6)
        # One approval of two is below quorum, so that every slot of its own is one missed.
        assert len(node.produced) - made <= 1
        assert {miss.slot % 2 for miss in node.missed} == {1}
        assert len(node.missed) >= 2
        present[0] = others
        await node.slots(2)
        missed = len(node.missed)
        node.clock.offset += 20.0
        await node.slots(4)
        assert len(node.missed) == missed, "no slot is this node's"
        node.system.suspend("chain")
        await node.slots(2)
        node.system.resume("chain")
        present[0] = alone
        await node.slots(3)
        assert len(node.produced) > made


async def test_slots_that_passed_while_the_machine_slept_are_counted_not_made_up(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(3.5)
        node.clock.offset += 20.0
        await node.slots(3)
        assert [miss.count for miss in node.missed] == [10]
        assert "held up" in node.missed[0].reason
        slots = [event.signed.block.slot for event in node.produced]
        assert len(slots) == len(set(slots)) >= 5


async def test_a_clock_that_is_set_back_makes_no_second_block_for_a_slot(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        node.clock.offset -= 8.0
        await node.slots(10)
        slots = [event.signed.block.slot for event in node.produced]
        assert slots == sorted(set(slots))
        assert len(slots) >= 10


async def test_work_that_is_not_found_in_time_does_not_cost_the_slot(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(2.5)
        node.system.suspend("auxpow")
        await node.slots(5)
        assert not node.missed
        assert (await node.forkchoice()).head.height == 7


async def test_an_import_that_does_not_end_is_given_up_before_the_next_slot(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(2.5)
        node.system.suspend("block import")
        await node.slots(2)
        node.system.resume("block import")
        await node.slots(4)
        assert 1 <= len(node.missed) <= 3
        assert any("importing took more than" in miss.reason for miss in node.missed)
        assert (await node.forkchoice()).head.height >= 4


async def test_a_halted_chain_says_so_in_every_slot(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(max_blocks_without_auxpow=3)) as node:
        with node.bus.subscribe(ProductionHalted) as halts:
            await node.until(lambda: len(node.produced) == 4)
            before = len(halts.queue)
            await node.slots(3)
            assert len(halts.queue) - before == 3
        assert (await node.forkchoice()).head.height == 4
