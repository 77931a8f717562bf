"""A whole node whose clock is set while it runs: no block of a wrong time, and nobody is left in the dark."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.api.node_health import NodeHealth, NodeReport
from alysd.integrations.bls import public_key
from alysd.integrations.signing_guard import read_guard
from alysd.messages.log.base import LogEvent
from alysd.testing.chain import authority_secret, chain_spec
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node
from alysd.testing.virtual_time import VirtualClock

YEAR = 365 * 86_400.0
HOUR = 3600.0


async def health(node: SimulatedNode) -> NodeHealth:
    """The health that the operator's page shows."""
    tip, watch = await node.forkchoice(), node.resources.watch
    report = NodeReport(
        node.resources.context, node.clock.time(), watch.doubt(), node.system.snapshot(), tip, None, "authority"
    )
    return report.health()


async def test_a_clock_a_year_ahead_for_six_seconds_makes_no_block_of_that_year(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Three blocks were made, one became final, and the chain stood still for a year, healthy and silent."""
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(20.5)
        node.clock.offset += YEAR
        await node.slots(3)
        assert (await health(node)).status == "unhealthy"
        assert "was set forward by 31536000 s" in (await health(node)).reasons[0]
        node.clock.offset -= YEAR
        await node.slots(20)
        assert (await health(node)).status == "healthy"
        made = [event.signed.block.payload.timestamp for event in node.produced]
        assert max(made) <= node.clock.time()
        assert len(made) >= 36
        assert (await node.forkchoice()).finalized.timestamp <= node.clock.time()
    guard = read_guard(tmp_path / "signing-guard", public_key(authority_secret(0)))
    assert guard is not None
    assert 2 * guard.slot <= node.clock.start + 200
    clock = [event.name for event in logged if event.name.startswith("clock")]
    assert clock == ["clock_stepped", "clock_believed"]


async def test_a_clock_an_hour_behind_is_said_and_unhealthy(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """No block, no word, healthy."""
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(20.5)
        node.clock.offset -= HOUR
        await node.slots(1)
        assert [event.name for event in logged if event.name.startswith("clock")] == ["clock_stepped"]
        assert (await health(node)).status == "unhealthy"
        missed = len(node.missed)
        await node.slots(400)
        shown = await health(node)
        assert shown.status == "unhealthy", "the new time is believed now, and the head is ahead of it"
        assert "s ahead of the clock of this machine" in shown.reasons[0]
        assert len(node.missed) > missed + 390


async def test_a_head_of_the_future_is_unhealthy_at_start_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), clock=VirtualClock(offset=HOUR)) as node:
        await node.slots(5.5)
        assert (await health(node)).status == "healthy"
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(1.5)
        shown = await health(node)
        assert shown.status == "unhealthy"
        assert "ahead of the clock of this machine: the clock is behind, or was ahead" in shown.reasons[0]
        assert node.missed
        assert all("the head already has slot" in miss.reason for miss in node.missed)


@pytest.mark.parametrize("seconds", [7 * 86_400.0, 29 * 86_400.0])
async def test_a_chain_that_was_stopped_goes_on_without_a_question(
    tmp_path: Path, autojump_clock: MockClock, seconds: float
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
    async with open_simulated_node(tmp_path, chain_spec(), clock=VirtualClock(offset=seconds)) as node:
        await node.slots(5.5)
        assert len(node.produced) == 5
        assert (await health(node)).status == "healthy"


async def test_a_machine_that_slept_goes_on_without_a_question(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        node.clock.slept += 8 * HOUR
        await node.slots(5)
        assert len(node.produced) >= 9
    assert not [event for event in logged if event.name.startswith("clock")]


async def test_a_restart_does_not_make_a_wrong_clock_right(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A restart believed the wrong year: its blocks were final within 2 s, and the chain was dead for a year."""
    clock = VirtualClock()
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING, clock=clock) as node:
        await node.slots(20.5)
        clock.offset += HOUR
        await node.slots(3)
    for boot, step in (("the same start of the machine", HOUR), ("another", YEAR)):
        clock.offset = step
        for _ in range(2):
            async with open_simulated_node(tmp_path, chain_spec(), mining=MINING, clock=clock, boot=boot) as node:
                await node.slots(20.5)
                assert not node.produced
                assert 19 <= len(node.missed) <= 21
                shown = await health(node)
                assert shown.status == "unhealthy"
                assert "no block is made until" in shown.reasons[0]
    clock.offset = 0
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING, clock=clock, boot="another") as node:
        await node.slots(20.5)
        assert len(node.produced) >= 19
        assert (await health(node)).status == "healthy"
    assert [event.name for event in logged if event.name.startswith("clock")] == [
        "clock_stepped", "clock_stepped", "clock_stepped", "clock_far_ahead", "clock_far_ahead",
    ]  # fmt: skip


async def test_a_chain_of_last_year_goes_on_when_a_person_accepts_the_clock(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
    async with open_simulated_node(tmp_path, chain_spec(), clock=VirtualClock(offset=YEAR)) as node:
        await node.slots(5.5)
        assert not node.produced
        assert node.resources.watch.accept() == pytest.approx(YEAR, abs=20)
        await node.slots(10)
        assert len(node.produced) >= 8
        assert (await health(node)).status == "healthy"


async def test_a_follower_of_an_old_chain_is_asked_nothing(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
    old = VirtualClock(offset=YEAR)
    async with open_simulated_node(tmp_path, chain_spec(), clock=old, authority=None) as node:
        await node.slots(5.5)
        assert not node.resources.watch.doubt()
    assert not [event for event in logged if event.name.startswith("clock")]
