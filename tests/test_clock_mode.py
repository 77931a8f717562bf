"""The mode `--dev-clock`: where it is refused, and its health pages."""

import json
from pathlib import Path

import attrs
import pytest

from alysd.clock_mode import HealthPages, check_alone, genesis_at
from alysd.config.chain_spec import load_chain_spec
from alysd.errors import DevClockForbidden
from alysd.testing.chain import chain_spec
from alysd.testing.config_files import CONF, load
from alysd.validation import ValidNode, validate_node
from tests.embedded.on_demand.chain import on_demand

SPEC = load_chain_spec(CONF / "chains" / "dev.toml")


def valid(folder: Path, *settings: str) -> ValidNode:
    return validate_node(load(CONF / "dev.toml", f"storage.path={folder / 'data'}", *settings), SPEC)


def test_a_development_chain_may_have_the_mode(tmp_path: Path) -> None:
    check_alone(valid(tmp_path))


def test_a_chain_with_other_members_may_not(tmp_path: Path) -> None:
    """The blocks of this mode would be a fork that the others could never follow."""
    alone = valid(tmp_path)
    context = attrs.evolve(alone.genesis.context, spec=chain_spec(4))
    others = attrs.evolve(alone, genesis=attrs.evolve(alone.genesis, context=context), authority_secret=None)
    with pytest.raises(DevClockForbidden, match="4 authorities .* and the node is a follower .* leave it out"):
        check_alone(others)


def test_a_node_with_peers_may_not(tmp_path: Path) -> None:
    networked = load(CONF / "dev.toml", "network.address=127.0.0.1:9333")
    with pytest.raises(DevClockForbidden, match=r"the node has peers \(network.address = 127"):
        check_alone(attrs.evolve(valid(tmp_path), config=networked))


def test_a_chain_with_keys_of_its_own_or_another_client_may_not(tmp_path: Path) -> None:
    alone = valid(tmp_path)
    config = attrs.evolve(
        alone.config,
        development=attrs.evolve(alone.config.development, keys_known_to_all=False),
        engine=attrs.evolve(alone.config.engine, mode="engine-api"),
    )
    with pytest.raises(DevClockForbidden, match=r"whose keys everybody knows .* is not the embedded one"):
        check_alone(attrs.evolve(alone, config=config))


def test_the_genesis_has_the_time_of_the_start_and_slots_of_a_second(tmp_path: Path) -> None:
    """Tests compute times from that of the newest block, also before the first one is made."""
    genesis = genesis_at(valid(tmp_path), 2_000_000_000)
    assert genesis.state.timestamp == 2_000_000_000
    assert genesis.context.spec.slot_seconds == 1
    assert genesis.context.spec.chain_id == SPEC.chain_id


async def test_the_health_page_names_the_mode() -> None:
    async with on_demand() as chain:
        await chain.rpc("evm_mine")
        routes = HealthPages(chain.execution).routes()
        request = None  # the pages read nothing from it
        status = json.loads((await routes["/health/status"].call(request)).body)  # pyright: ignore[reportArgumentType]
        assert (status["status"], status["mode"], status["height"]) == ("healthy", "dev-clock", 1)
        ready = json.loads((await routes["/health/ready"].call(request)).body)  # pyright: ignore[reportArgumentType]
        assert ready == {"ready": True, "reasons": []}
