"""A simulated node: what it records, and how a test takes part in its tree."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.node import EdgeChildren
from alysd.nurseries import Immediate, task
from alysd.testing.chain import chain_spec
from alysd.testing.node import open_simulated_node


@pytest.fixture(autouse=True)
def _simulated(autojump_clock: MockClock, no_threads: None) -> None:
    """Applies to every test in this module."""


async def test_all_that_concerns_blocks_is_recorded(tmp_path: Path) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.until(lambda: len(node.produced) == 2)
        node.engine.down = True
        await node.until(lambda: bool(node.missed))
        assert [moved.new.head.height for moved in node.moved] == [1, 2]
        node.system.inject("chain", RuntimeError("a panic for the test"))
        await node.slots(1)
        assert node.crashed() >= {"chain"}


async def test_what_does_not_happen_in_time_fails_the_test(tmp_path: Path) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        with pytest.raises(AssertionError, match="the condition did not become true within 3 slots"):
            await node.until(lambda: False, slots=3)


async def test_a_test_adds_children_at_the_edges(tmp_path: Path) -> None:
    edges = EdgeChildren(
        before=[task("first", trio.sleep_forever, restart=Immediate())],
        after=[task("last", trio.sleep_forever, restart=Immediate())],
    )
    async with open_simulated_node(tmp_path, chain_spec(), edges=edges) as node:
        names = [child.name for child in node.system.snapshot().walk()]
    assert names[1] == "first"
    assert names[-1] == "last"
