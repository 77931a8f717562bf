"""The options of the configuration, which several commands share."""

import argparse

import pytest

from alysd.commands.configuration import add_configuration_arguments, load_configuration
from alysd.testing.config_files import CONF


def parsed(*arguments: str) -> argparse.Namespace:
    """The arguments as the command line gives them."""
    parser = argparse.ArgumentParser()
    add_configuration_arguments(parser)
    return parser.parse_args(arguments)


def test_file_environment_and_options_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer would be lost between the command line and the loader."""
    monkeypatch.setenv("ALYS_LOGGING__LEVEL", "error")
    monkeypatch.setenv("ALYS_LOGGING__FORMAT", "text")
    valid = load_configuration(parsed("--config", str(CONF / "dev.toml"), "--set", "logging.level=debug"))
    config, spec = valid.config, valid.genesis.context.spec
    assert (config.logging.level, config.logging.format, spec.name) == ("debug", "text", "alys-dev")
