"""The tree that node.py draws: its shape is what the documents promise and operators see."""

from pathlib import Path

from trio.testing import MockClock

from alysd.node import FATAL, REFUSALS
from alysd.testing.chain import chain_spec
from alysd.testing.node import MINING, NO_MINING, open_simulated_node

ROOT = Path(__file__).parents[1]

CHAIN_CHILDREN = (
    ("engine", "CircuitBreaker"),
    ("chain", "ExponentialBackoff"),
    ("auxpow", "Immediate"),
    ("block import", "Immediate"),
    ("evidence", "Aligned"),
    ("clock watch", "Immediate"),
    ("block production", "Immediate"),
    ("finality", "Aligned"),
)


async def test_the_tree_is_the_one_that_is_promised(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=NO_MINING) as node:
        root = node.system.snapshot()
        shape = {
            child.name: (child.strategy, tuple((each.name, each.restart) for each in child.children))
            for child in root.walk()
            if child.kind == "supervisor"
        }
    assert root.strategy == "OneForAll"
    assert shape["StorageSupervisor"] == (
        "OneForOne",
        (
            ("storage", "Immediate"),
            ("reader", "ExponentialBackoff"),
            ("metrics", "Never"),
        ),
    )
    assert shape["ChainSupervisor"] == ("OneForOne", CHAIN_CHILDREN)
    assert [child.name for child in root.children] == ["StorageSupervisor", "ChainSupervisor", "ApiSupervisor"]


async def test_only_a_development_node_mines_by_itself(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        names = [child.name for child in node.system.snapshot().walk()]
    assert "internal miner" in names


async def test_the_architecture_page_draws_every_child(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        missing = [child.name for child in node.system.snapshot().walk() if f"─ {child.name} " not in page]
    assert missing == ["AlysSystem"], "the root stands at the top, without a branch"


def test_no_error_is_both_refused_and_fatal() -> None:
    for refusal in REFUSALS:
        assert not issubclass(refusal, FATAL)
        assert not any(issubclass(fatal, refusal) for fatal in FATAL)
