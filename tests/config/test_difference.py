"""The differences between two configurations, and what the live options of one change in the other."""

from pathlib import Path

import attrs

from alysd.config.addresses import HttpUrl
from alysd.config.chain_sections import ChainConfig, StorageConfig
from alysd.config.connection_sections import ApiConfig, BitcoinConfig
from alysd.config.difference import changed_options, with_live_options
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import LoggingConfig
from alysd.testing.config_files import folder_with, load

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))


def url(text: str) -> AlysConfig:
    """A configuration with this Bitcoin node."""
    return attrs.evolve(START, bitcoin=BitcoinConfig(url=HttpUrl(text)))


def test_equal_configurations_have_no_difference(tmp_path: Path) -> None:
    path = folder_with(tmp_path)
    assert changed_options(load(path), load(path)) == ()


def test_each_changed_option_is_named_with_both_values() -> None:
    new = attrs.evolve(
        url("http://127.0.0.1:8332"), logging=LoggingConfig("debug"), storage=StorageConfig(Path("other"))
    )
    assert list(map(str, changed_options(START, new))) == [
        'bitcoin.url = not set → "http://127.0.0.1:8332"',
        'storage.path = "data" → "other"',
        'logging.level = "info" → "debug"',
    ]
    assert [one.live for one in changed_options(START, new)] == [False, False, True]


def test_a_changed_password_is_a_difference_that_is_not_shown() -> None:
    """The log, `alysd config diff` and the status would contain the password."""
    (change,) = changed_options(url("http://u:one@h:1"), url("http://u:two@h:1"))
    assert str(change) == 'bitcoin.url = "http://h:1" → "http://h:1" (with another user or password)'


def test_only_live_options_are_taken() -> None:
    new = AlysConfig(
        chain=ChainConfig(Path("other.toml")),
        api=ApiConfig(operator_address=START.api.address, allowed_hosts=("node",)),  # pyright: ignore[reportArgumentType]
        logging=LoggingConfig("debug", "json"),
    )
    assert with_live_options(START, new) == attrs.evolve(
        START,
        api=ApiConfig(allowed_hosts=("node",)),  # pyright: ignore[reportArgumentType]
        logging=LoggingConfig("debug", "json"),
    )
