"""Feature flags: for which blocks and nodes they are on, and what is refused."""

from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from alysd.config.chain_sections import ChainConfig
from alysd.config.flags import Flag, Flags, names_needed, share_of
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import FlagsConfig, NodeConfig
from alysd.config.problems import InvalidConfig
from alysd.testing.config_files import folder_with, load
from alysd.types.flags import Rollout

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))


def config(compare: Rollout, prefer: Rollout = Rollout(), name: str | None = None) -> AlysConfig:  # noqa: B008
    return attrs.evolve(START, flags=FlagsConfig(compare, prefer), node=NodeConfig(name=name))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("percent", [0, 1, 10, 25, 50, 99, 100])
def test_a_share_is_one_of_the_heights(percent: int) -> None:
    flag = Flag(12345)
    flag.use(percent)
    found = [height for height in range(10_000) if flag.on(height)]
    assert abs(len(found) - 100 * percent) <= 60
    assert flag.used == (percent > 0)
    wider = Flag(12345)
    wider.use(min(100, percent + 5))
    assert all(wider.on(height) for height in found), "a larger share contains a smaller one"


def test_consecutive_blocks_are_spread() -> None:
    """A share of 10 % would be one minute in ten, in which nothing happens."""
    flag = Flag(7)
    flag.use(10)
    found = [height for height in range(10_000) if flag.on(height)]
    assert max(b - a for a, b in pairwise(found)) < 60


def test_two_nodes_choose_the_same_blocks_and_two_flags_others() -> None:
    one, other = Flags(config(Rollout(20))), Flags(config(Rollout(20), name="other"))
    heights = range(1000)
    chosen = [one["engine_compare"].on(height) for height in heights]
    assert chosen == [other["engine_compare"].on(height) for height in heights]
    assert not any(one["engine_prefer_second"].on(height) for height in heights)
    assert not Flags()["engine_compare"].used


def test_nodes_are_named_or_chosen_by_their_names() -> None:
    named = Rollout(nodes=("a", "b"))
    shares = [share_of(config(named, name=name), "engine_compare") for name in ("a", "b", "c", None)]
    assert shares == [100, 100, 0, 0]
    half = [share_of(config(Rollout(), Rollout(50), f"node{n}"), "engine_prefer_second") for n in range(400)]
    assert set(half) == {0, 100}
    assert 140 < half.count(100) < 260
    assert names_needed(config(Rollout(50), Rollout(50))) == ["engine_prefer_second"]
    assert names_needed(config(named)) == ["engine_compare"]
    assert names_needed(config(Rollout(100), Rollout(100))) == []


@pytest.mark.parametrize("text", ["on", "off", "25%", "nodes:one,two"])
def test_a_rollout_reads_as_it_is_written(tmp_path: Path, text: str) -> None:
    second = ("engine.second_url=http://127.0.0.1:3", "engine.second_engine_url=http://127.0.0.1:4")
    first = ("engine.mode=engine-api", "engine.url=http://127.0.0.1:1", "engine.engine_url=http://127.0.0.1:2")
    path = folder_with(tmp_path)
    secrets = [f"engine.{name}_file={tmp_path / 'jwt.hex'}" for name in ("jwt_secret", "second_jwt_secret")]
    more = (*first, *second, *secrets, "node.name=one")
    assert str(load(path, *more, f"flags.engine_compare={text}").flags.engine_compare) == text


def test_a_flag_without_what_it_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as refused:
        load(folder_with(tmp_path), "flags.engine_compare=nodes:one")
    name, client = refused.value.problems
    assert name.startswith('--set flags.engine_compare: flags.engine_compare = "nodes:one" needs node.name')
    assert client.endswith("needs a second client: set engine.second_engine_url")
    with pytest.raises(InvalidConfig, match='must be "on", "off", a share such as "25%"'):
        load(folder_with(tmp_path), "flags.engine_compare=100%")
