"""What breaks beside the node or inside it: only what the tree says restarts, and slots resume by themselves."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from alysd.errors import StoreError
from alysd.testing.chain import chain_spec
from alysd.testing.engine import FakeEngine
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node

CHILDREN = (
    "storage",
    "engine",
    "chain",
    "auxpow",
    "block import",
    "block production",
    "finality",
    "internal miner",
)


def longest_gap(node: SimulatedNode) -> int:
    """The most slots from one block to the next."""
    slots = [event.signed.block.slot for event in node.produced]
    return max(after - before for before, after in pairwise(slots))


@pytest.mark.parametrize("name", CHILDREN)
@pytest.mark.parametrize("moment", [0.0, 0.001, 0.4], ids=["at a slot's start", "within it", "between slots"])
async def test_a_panic_restarts_one_child_and_costs_two_slots_at_most(
    name: str, moment: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(3)
        await node.slots(moment)
        node.system.inject(name, RuntimeError("a panic for the test"))
        await node.slots(12.5)
        assert node.crashed() == {name}
        assert longest_gap(node) <= 3, "the next block came more than two slots late"
        assert node.system.failure is None


@pytest.mark.parametrize("name", CHILDREN)
async def test_panics_again_and_again_are_survived_while_within_the_budget(
    name: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(2)
        for _ in range(10):
            await node.slots(3)
            if name in {child.name for child in node.system.snapshot().walk() if child.uptime > 0}:
                node.system.inject(name, RuntimeError("a panic for the test"))
        await node.slots(30)
        assert node.crashed() == {name}
        assert (await node.forkchoice()).head.height > 20


async def test_a_client_that_is_gone_for_a_minute_costs_its_slots_and_no_more(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        node.engine.down = True
        await node.slots(30)
        node.engine.down = False
        missed = len(node.missed)
        before = (await node.forkchoice()).head.height
        await node.slots(10)
        assert missed >= 29
        assert all("engine" in miss.reason for miss in node.missed), "the reason names who did not answer"
        assert node.crashed() == {"engine"}
        assert (await node.forkchoice()).head.height - before >= 7, (
            "blocks resume within the breaker's four seconds"
        )


async def test_a_client_that_hangs_costs_its_slots_and_no_more(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        node.engine.hang = True
        await node.slots(10)
        node.engine.hang = False
        # The fake waits for ever inside its call: a real client's deadline is what ends that (engine_api).
        node.system.inject("engine", TimeoutError("the call's own deadline"))
        await node.slots(10)
        assert len(node.missed) >= 9
        heights = [event.signed.block.height for event in node.produced]
        assert heights == list(range(1, len(heights) + 1))
        assert len(heights) >= 10


async def test_a_client_that_lost_its_data_is_fed_from_the_nodes_own_blocks(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    spec = chain_spec()
    async with open_simulated_node(tmp_path, spec) as node:
        await node.slots(30.5)
    wiped = FakeEngine.of(spec.execution_genesis)
    async with open_simulated_node(tmp_path, spec, engine=wiped) as node:
        await node.slots(5.5)
        head = (await node.forkchoice()).head
        assert head.height >= 33
        assert wiped.head == head.payload_hash
        assert len(wiped.blocks) == head.height + 1


async def test_a_full_disk_costs_slots_and_damages_nothing(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        real: Callable[..., Any] = node.resources.store.commit_block

        def full(*_args: object) -> None:
            raise StoreError("the database cannot be used: No space left on device")

        monkeypatch.setattr(node.resources.store, "commit_block", full)
        await node.slots(10)
        monkeypatch.setattr(node.resources.store, "commit_block", real)
        before = (await node.forkchoice()).head.height
        assert before == 5
        assert any("No space left on device" in miss.reason for miss in node.missed)
        await node.slots(20)
        assert node.system.failure is None
        assert (await node.forkchoice()).head.height >= before + 10


async def test_a_client_that_starts_later_is_waited_for_by_those_only_who_need_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    spec = chain_spec()
    engine = FakeEngine.of(spec.execution_genesis)
    engine.down = True
    async with open_simulated_node(tmp_path, spec, engine=engine) as node:
        assert (await node.forkchoice()).head.height == 0, "the node answers for itself meanwhile"
        await node.slots(20.5)
        assert len(node.missed) >= 19
        engine.down = False
        await node.slots(10)
        assert (await node.forkchoice()).head.height >= 7
