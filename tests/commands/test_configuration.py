"""What `run` and `check` share."""

import argparse
from pathlib import Path

import pytest

from alysd.commands.configuration import add_configuration_arguments, load_configuration
from alysd.config.problems import InvalidConfig
from alysd.testing.config_files import folder_with


def parsed(*arguments: str) -> argparse.Namespace:
    """The arguments as the command line gives them."""
    parser = argparse.ArgumentParser()
    add_configuration_arguments(parser)
    return parser.parse_args(arguments)


def test_file_environment_and_options_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer would be lost between the command line and the loader."""
    monkeypatch.setenv("ALYS_LOGGING__LEVEL", "error")
    monkeypatch.setenv("ALYS_LOGGING__FORMAT", "text")
    path = folder_with(tmp_path)
    config, spec = load_configuration(parsed("--config", str(path), "--set", "logging.level=debug"))
    assert (config.logging.level, config.logging.format, spec.name) == ("debug", "text", "test-chain")


def test_the_chain_is_checked_with_the_configuration(tmp_path: Path) -> None:
    """An internal miner would run hot on a real target."""
    path = folder_with(tmp_path)
    chain = tmp_path / "chain.toml"
    chain.write_text(chain.read_text().replace("0x207fffff", "0x1d00ffff"))
    options = ("--set", "mining.internal=true", "--set", f"mining.fee_recipient=0x{'11' * 20}")
    with pytest.raises(InvalidConfig, match="out of its reach"):
        load_configuration(parsed("--config", str(path), *options))
