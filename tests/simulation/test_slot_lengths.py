"""A node on chains of other slot lengths than the usual 2 s."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.messages.chain import GetForkchoice
from alysd.nurseries import AskTimeout
from alysd.testing.chain import chain_spec
from alysd.testing.interception import HandlerStalls
from alysd.testing.node import MINING, open_simulated_node


@pytest.mark.parametrize("slot_seconds", [1, 12])
async def test_a_node_makes_final_blocks_and_restarts_a_stuck_actor(
    slot_seconds: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    stalls, spec = HandlerStalls(), chain_spec(slot_seconds=slot_seconds)
    async with open_simulated_node(tmp_path, spec, mining=MINING, adapt=stalls.intercept) as node:
        await node.slots(40.5)
        slots = [event.signed.block.slot for event in node.produced]
        assert len(slots) >= 40
        assert slots == list(range(slots[0], slots[0] + len(slots))), "a block in every slot"
        assert (await node.forkchoice()).finalized.height >= 25
        hung_at, timing = trio.current_time(), node.resources.timing
        with stalls.stalling(["chain"]):
            with pytest.raises(AskTimeout):
                await node.to.chain.ask(GetForkchoice(), seconds=1.0)
            await node.until(lambda: "chain" in node.found_stuck())
        assert trio.current_time() - hung_at <= timing.stuck + timing.health_answer + 1.0
        await node.slots(3)
        before = await node.forkchoice()
        await node.slots(30)
        after = await node.forkchoice()
        assert after.head.height == before.head.height + 30
        assert after.finalized.height > before.finalized.height
        assert node.crashed() == {"chain"}
