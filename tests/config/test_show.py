"""The merged configuration as text."""

import tomllib
from pathlib import Path

from alysd.config.show import show_config
from alysd.testing.config_files import RIGHT, folder_with, load


def test_what_is_shown_loads_to_the_same_configuration(tmp_path: Path) -> None:
    """An operator who keeps the shown text would run something else."""
    path = folder_with(tmp_path, RIGHT + '[api]\noperator_address = "127.0.0.1:9300"\n')
    config = load(path, "mining.fee_recipient=0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472", "storage.path=/d")
    again = tmp_path / "sub" / "shown.toml"
    again.parent.mkdir()
    again.write_text(show_config(config))
    assert load(again) == config


def test_values_of_every_type_are_shown_as_they_are_written(tmp_path: Path) -> None:
    """`alysd check --show` failed for a node with a governance."""
    for name in ("certificate", "key", "authority"):
        (tmp_path / name).write_text("")
    files = [f"governance.{name}={tmp_path / name}" for name in ("certificate", "key", "authority")]
    more = ("governance.node_id=one", "actors.capacity=sync=8", "storage.path=/d")
    config = load(folder_with(tmp_path), "governance.endpoints=a.b:1,[::1]:2", *more, *files)
    (tmp_path / "shown.toml").write_text(show_config(config))
    assert load(tmp_path / "shown.toml") == config


def test_every_option_that_is_set_is_shown_and_no_other(tmp_path: Path) -> None:
    """The output must not suggest options that do not exist."""
    shown = tomllib.loads(show_config(load(folder_with(tmp_path))))
    assert shown["logging"] == {"level": "info", "format": "auto"}
    assert "url" not in shown["engine"]


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """A configuration pasted into a bug report would give the node away."""
    text = show_config(load(folder_with(tmp_path), "engine.url=http://user:secret@127.0.0.1:1"))
    assert "secret@" not in text
    assert "11" * 32 not in text
    assert tomllib.loads(text)["engine"]["url"] == "http://127.0.0.1:1"
