"""A node with two execution clients: the second takes over when the first dies, hangs or lies, and gives back."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.integrations.signing import GuardedSigner
from alysd.messages.log.base import LogEvent
from alysd.messages.log.execution import (
    ExecutionClientOverruled,
    ExecutionClientTakesOver,
    ExecutionGivenBack,
)
from alysd.testing.chain import chain_spec
from alysd.testing.engine import FakeEngine
from alysd.testing.node import SimulatedNode, open_simulated_node
from alysd.types.block import Approval, Block, ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Slot

SPEC = chain_spec()

SLOTS_TO_PROVE = 11
"""Slots of two seconds after which a client that is level again is used again: ten, and the one of the switch."""


@attrs.define
class Pair:
    """Two fake clients. `built` counts the payloads of each."""

    first: FakeEngine
    second: FakeEngine

    @classmethod
    def new(cls) -> "Pair":
        return cls(FakeEngine.of(SPEC.execution_genesis), FakeEngine.of(SPEC.execution_genesis))


def slots_made(node: SimulatedNode) -> list[int]:
    return [event.signed.block.slot for event in node.produced]


def transitions(logged: list[LogEvent]) -> list[str]:
    kinds = (ExecutionClientTakesOver, ExecutionGivenBack, ExecutionClientOverruled)
    return [f"{event.client} {event.name}" for event in logged if isinstance(event, kinds)]


async def test_both_clients_follow_and_only_the_first_is_used(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    pair = Pair.new()
    async with open_simulated_node(tmp_path, SPEC, engine=pair.first, second=pair.second) as node:
        await node.slots(10.5)
        head = (await node.forkchoice()).head
        assert head.height == 10
        assert pair.first.head == pair.second.head == head.payload_hash
        assert len(pair.second.blocks) == 11
    assert not transitions(logged)


@pytest.mark.parametrize("failure", ["down", "hang"])
async def test_no_slot_is_missed_when_the_first_fails_and_it_is_used_again(
    failure: str, tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    pair = Pair.new()
    async with open_simulated_node(tmp_path, SPEC, engine=pair.first, second=pair.second) as node:
        await node.slots(5.5)
        setattr(pair.first, failure, True)
        await node.slots(10)
        assert not node.missed
        assert transitions(logged) == ["second execution_takes_over"]
        setattr(pair.first, failure, False)
        await node.slots(SLOTS_TO_PROVE - 4)
        assert transitions(logged) == ["second execution_takes_over"], "not proved yet"
        await node.slots(12)
        assert transitions(logged) == ["second execution_takes_over", "first execution_given_back"]
        made = slots_made(node)
        assert made == list(range(made[0], made[0] + len(made))), "one block in each slot"
        pair.second.down = True
        await node.slots(5)
        assert not node.missed
        assert transitions(logged)[2:] == []


async def test_a_first_client_that_fails_again_must_prove_itself_for_longer(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    pair = Pair.new()
    async with open_simulated_node(tmp_path, SPEC, engine=pair.first, second=pair.second) as node:
        await node.slots(5.5)
        for _ in range(10):
            pair.first.down = True
            await node.slots(4)
            pair.first.down = False
            await node.slots(26)
        assert not node.missed
    # Without the longer hold, each of the ten failures would cost two switches.
    assert 4 <= len(transitions(logged)) < 12


async def test_a_second_client_that_hangs_delays_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    pair = Pair.new()
    pair.second.hang = True
    async with open_simulated_node(tmp_path, SPEC, engine=pair.first, second=pair.second) as node:
        await node.slots(20.5)
        assert not node.missed
        assert max(event.seconds for event in node.produced) < 0.1
        pair.second.hang = False
        await node.slots(20)
        assert pair.second.head == pair.first.head, "it gets what it lacks from the database"


async def test_a_second_client_that_lacks_blocks_takes_over_once_it_has_them(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    pair = Pair.new()
    pair.second.down = True
    async with open_simulated_node(tmp_path, SPEC, engine=pair.first, second=pair.second) as node:
        await node.slots(10.5)
        pair.first.down, pair.second.down = True, False
        await node.until(lambda: transitions(logged) == ["second execution_takes_over"])
        head = (await node.forkchoice()).head.height
        await node.slots(5)
        assert (await node.forkchoice()).head.height >= head + 4
        assert len(pair.second.blocks) == (await node.forkchoice()).head.height + 1


async def test_a_client_that_refuses_every_block_is_overruled_and_not_used_until_it_agrees(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The second client and a quorum agree against the first; it cannot get level while it refuses a block."""
    pair = Pair.new()
    async with open_simulated_node(tmp_path, SPEC, engine=pair.first, second=pair.second) as node:
        await node.slots(5.5)
        await lie_about_next(node, pair.first)
        assert transitions(logged) == ["first execution_client_overruled", "second execution_takes_over"]
        await node.slots(40)
        assert len(transitions(logged)) == 2
        pair.first.refuse = set()
        await node.slots(20)
        assert transitions(logged)[2:] == ["first execution_given_back"]
        assert not node.missed
        made = slots_made(node)
        assert made == list(range(made[0], made[0] + len(made)))


@attrs.define
class Dying(FakeEngine):
    """Goes down as soon as it has built a payload, while `dies` is true; then `other` goes down for two slots."""

    dies: bool = False
    other: FakeEngine | None = None

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        built = await super().build_payload(head, safe, finalized, attributes)
        if self.dies:
            self.down = True
            if self.other is not None:
                self.other.down = True
        return built


@pytest.mark.parametrize("both", [False, True], ids=["the first", "both"])
async def test_a_client_that_dies_after_its_block_was_signed_causes_no_second_signature(
    both: bool, tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second client would build another block for the same slot: a double signature, with evidence."""
    signed: list[tuple[int, BlockHash]] = []
    approve = GuardedSigner.approve

    async def recorded(
        self: GuardedSigner, block: Block, parent_slot: Slot, *, supported: bool = False
    ) -> Approval:
        approval = await approve(self, block, parent_slot, supported=supported)
        signed.append((block.slot, approval.block))
        return approval

    monkeypatch.setattr(GuardedSigner, "approve", recorded)
    pair = Pair.new()
    first = Dying.of(SPEC.execution_genesis)
    if both:
        first.other = pair.second
    async with open_simulated_node(tmp_path, SPEC, engine=first, second=pair.second) as node:
        await node.slots(5.5)
        first.dies = True
        await node.slots(3)
        pair.second.down = False
        await node.slots(15)
        assert len(node.missed) == 0 if not both else len(node.missed) <= 4
        assert (await node.forkchoice()).head.height >= 18
    assert len(dict(signed)) == len(signed), "one block in each slot"


class AnyPayload(set[PayloadHash]):
    """All payloads, until the first was asked about."""

    def __contains__(self, payload: object) -> bool:
        if not len(self) and isinstance(payload, bytes):
            self.add(PayloadHash(payload))
        return super().__contains__(payload)


async def lie_about_next(node: SimulatedNode, client: FakeEngine) -> None:
    """Let the client find the next payload invalid that it is asked about."""
    client.refuse = AnyPayload()
    await node.until(lambda: bool(len(client.refuse)))
    await node.slots(1)
