"""READY means that the next block can be made; the watchdog is fed by slots that are kept, and by nothing else."""

from pathlib import Path

import attrs
import trio
from trio.testing import MockClock

from alysd.api.readiness import Readiness
from alysd.testing.chain import chain_spec
from alysd.testing.node import SimulatedNode, open_simulated_node
from alysd.types.chain_spec import ChainSpec


@attrs.define
class Systemd:
    """Writes down what it is told, with trio's time."""

    told: list[tuple[str, float]] = attrs.Factory(list[tuple[str, float]])

    def ready(self) -> None:
        self.told.append(("ready", trio.current_time()))

    def watchdog(self) -> None:
        self.told.append(("watchdog", trio.current_time()))

    def names(self) -> list[str]:
        return [name for name, _ in self.told]


async def watched(node: SimulatedNode, nursery: trio.Nursery, firsts: list[float | None]) -> Systemd:
    """Start the readiness task beside a running node."""
    systemd = Systemd()
    readiness = Readiness(
        node.resources.context.spec,
        node.clock,
        node.to.chain,
        node.to.engine,
        node.bus,
        systemd,
        firsts.append,
        node.resources.timing,
        node.resources.role,
    )
    nursery.start_soon(readiness.run)
    return systemd


async def test_ready_comes_once_and_the_watchdog_with_every_block(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node, trio.open_nursery() as nursery:
        firsts: list[float | None] = []
        systemd = await watched(node, nursery, firsts)
        await node.slots(5.5)
        assert systemd.names() == ["ready", *["watchdog"] * 5]
        (first,) = firsts
        assert first is not None
        assert 0 < first <= 2
        nursery.cancel_scope.cancel()


async def test_a_follower_feeds_the_watchdog_while_its_chain_actor_answers(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Without new blocks a follower would be restarted for ever; with a stuck chain actor it would never be."""
    folder = tmp_path / "follower"
    async with open_simulated_node(folder, chain_spec(), authority=None) as node, trio.open_nursery() as nursery:
        firsts: list[float | None] = []
        systemd = await watched(node, nursery, firsts)
        await node.slots(3.5)
        assert systemd.names() == ["ready", *["watchdog"] * 3]
        assert firsts == [None]
        await node.system.stop_child("chain")
        await node.slots(5)
        assert systemd.names() == ["ready", *["watchdog"] * 3]
        nursery.cancel_scope.cancel()


async def test_it_is_not_ready_before_the_execution_client_follows(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node, trio.open_nursery() as nursery:
        node.engine.down = True
        systemd = await watched(node, nursery, [])
        await node.slots(10)
        assert systemd.names() == []
        node.engine.down = False
        await node.slots(10)
        assert systemd.names()[0] == "ready"
        nursery.cancel_scope.cancel()


async def test_missed_slots_starve_the_watchdog(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node, trio.open_nursery() as nursery:
        systemd = await watched(node, nursery, [])
        await node.slots(3.5)
        node.engine.down = True
        before = len(systemd.told)
        await node.slots(20)
        assert len(systemd.told) == before
        nursery.cancel_scope.cancel()


async def test_a_halted_chain_is_no_reason_to_restart_the_node(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    spec: ChainSpec = chain_spec(max_blocks_without_auxpow=2)
    async with open_simulated_node(tmp_path, spec) as node, trio.open_nursery() as nursery:
        systemd = await watched(node, nursery, [])
        await node.slots(20.5)
        last = systemd.told[-1]
        assert last[0] == "watchdog"
        assert trio.current_time() - last[1] <= 2.0
        nursery.cancel_scope.cancel()
