"""Faults of external systems and of actors: only the children that the tree defines restart, and slots resume."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.errors import StoreError
from alysd.testing.chain import chain_spec
from alysd.testing.engine import FakeEngine, transfer_receipts
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.verdict import Verdict
from alysd.wire.execution_header import block_hash_of
from alysd.wire.receipts import encode_receipt
from alysd.wire.trie import indexed_root

CHILDREN = (
    "storage",
    "reader",
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


@attrs.define
class SlowEngine(FakeEngine):
    """Takes `seconds` longer to execute a payload."""

    seconds: float = 0.0

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Execute the payload, late."""
        await trio.sleep(self.seconds)
        return await FakeEngine.new_payload(self, payload, parent_beacon_block_root)


async def test_a_block_that_is_imported_after_its_slot_is_not_abandoned(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The next block was built beside it, so that each slow import cost a block that a client had seen."""
    spec = chain_spec()
    engine = SlowEngine.of(spec.execution_genesis)
    async with open_simulated_node(tmp_path, spec, engine=engine) as node:
        for seconds in (2.2, 0.0, 3.1, 0.0, 2.2, 2.2, 0.0):
            engine.seconds = seconds
            await node.slots(4.1)
        await node.slots(5)
        assert [move.removed for move in node.moved if move.removed] == []
        heights = [event.signed.block.height for event in node.produced]
        assert heights == list(range(1, len(heights) + 1))
        assert len(heights) >= 15


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
        real: Callable[..., Any] = node.resources.store.commit_blocks

        def full(*_args: object) -> None:
            raise StoreError("the database in chain cannot be used: the disk is full (ENOSPC)")

        monkeypatch.setattr(node.resources.store, "commit_blocks", full)
        await node.slots(10)
        monkeypatch.setattr(node.resources.store, "commit_blocks", real)
        # The chain actor is not asked for its head: its wait before the next restart may be longer than an ask.
        assert [event.signed.block.height for event in node.produced] == [1, 2, 3, 4, 5]
        assert any("the disk is full" in miss.reason for miss in node.missed)
        await node.slots(20)
        assert node.system.failure is None
        assert (await node.forkchoice()).head.height >= 15


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


LEGACY_TRANSFER = bytes.fromhex(
    # nonce 0, gas price 50 gwei, gas 21000, to 0x22…22, value 1, no data; nobody checks the signature here.
    "f86480850ba43b740082520894" + "22" * 20 + "018025a0" + "11" * 32 + "a0" + "11" * 32
)


@attrs.define
class TransferringEngine(FakeEngine):
    """Puts a transfer into each block. While it `lies`, its receipts name 21 billion gas instead of 21,000."""

    lies: bool = False

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Build a payload of one transfer."""
        empty = await FakeEngine.build_payload(self, head, safe, finalized, attributes)
        root = indexed_root(transfer_receipts(1))
        full = attrs.evolve(empty, transactions=(LEGACY_TRANSFER,), gas_used=21_000, receipts_root=root)
        return attrs.evolve(full, block_hash=block_hash_of(full, attributes.parent_beacon_block_root))

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        """One receipt."""
        true = await FakeEngine.receipts(self, payload)
        return (encode_receipt(0, 1, 21 * 10**9, bytes(256), []),) if self.lies else true


async def test_lying_receipts_mint_nothing_and_cost_only_their_slots(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """One such receipt was 21 BTC of fees."""
    spec = chain_spec()
    engine = TransferringEngine.of(spec.execution_genesis)
    async with open_simulated_node(tmp_path, spec, engine=engine) as node:
        await node.slots(3.5)
        before = (await node.forkchoice()).head
        assert before.unpaid_fees == sum(
            21_000 * (50 * 10**9 - event.signed.block.payload.base_fee_per_gas) for event in node.produced
        )
        engine.lies = True
        await node.slots(10)
        assert (await node.forkchoice()).head == before
        assert any("the receipts are not those of block" in miss.reason for miss in node.missed)
        engine.lies = False
        await node.slots(30)
        assert (await node.forkchoice()).head.height >= before.height + 15
        assert node.system.failure is None
