"""Options of single actors: their names, bounds, and the words for a mistake."""

from pathlib import Path

import pytest

from alysd.config.actor_options import CAPACITIES, RESTARTABLE, ActorCapacity, ActorRestart
from alysd.config.problems import InvalidConfig
from alysd.config.show import show_config
from alysd.testing.config_files import folder_with, load


def problem_of(folder: Path, *settings: str) -> str:
    """The only problem of a configuration with these settings."""
    with pytest.raises(InvalidConfig) as caught:
        load(folder, *settings)
    (found,) = caught.value.problems
    return found


def test_names_with_spaces_are_read_and_shown(tmp_path: Path) -> None:
    config = load(folder_with(tmp_path), "actors.capacity=peer host=512, sync = 8", "actors.restart=metrics=never")
    assert config.actors.capacity == (ActorCapacity("peer host", 512), ActorCapacity("sync", 8))
    assert config.actors.restart == (ActorRestart("metrics", None),)
    shown = show_config(config)
    assert '"peer host=512"' in shown
    assert '"metrics=never"' in shown


@pytest.mark.parametrize("option", ["capacity", "restart"])
def test_a_wrong_name_is_refused_with_all_names_and_the_nearest(option: str, tmp_path: Path) -> None:
    """A typing mistake would leave the option without effect, and nobody would know."""
    found = problem_of(folder_with(tmp_path), f"actors.{option}=metric=60")
    assert found.endswith("; did you mean metrics?")
    assert all(name in found for name in (CAPACITIES if option == "capacity" else RESTARTABLE))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("actors.capacity=sync", "must be NAME=MESSAGES"),
        ("actors.capacity=sync=7", "the number of messages must be from 8 to 65536"),
        ("actors.capacity=sync=65537", "the number of messages must be from 8 to 65536"),
        ("actors.capacity=sync=" + "9" * 5000, "the number of messages must be from 8 to 65536"),
        ("actors.capacity=sync=-8", "the number of messages must be from 8 to 65536"),
        ("actors.capacity=sync=8,sync=9", "actors.capacity names sync twice: keep one of the two"),
        ("actors.restart=bridge", "must be NAME=SECONDS or NAME=never"),
        ("actors.restart=bridge=4", 'the wait must be "never", or from 5 to 86400 seconds'),
        ("actors.restart=bridge=86401", 'the wait must be "never", or from 5 to 86400 seconds'),
        ("actors.restart=bridge=Never", 'the wait must be "never", or from 5 to 86400 seconds'),
        ("actors.restart=chain=never", "blocks, sync or reloads need chain"),
        ("actors.restart=sync=60", "reloads need sync"),
        ("actors.restart=configuration=60", "reloads need configuration"),
        ("actors.restart=bridge=5,bridge=never", "actors.restart names bridge twice"),
    ],
)
def test_a_value_out_of_bounds_is_refused(setting: str, words: str, tmp_path: Path) -> None:
    assert words in problem_of(folder_with(tmp_path), setting)
