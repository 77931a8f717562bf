"""The name of a chain."""

import attrs
import pytest

from alysd.config.chain_spec import load_chain_spec
from alysd.config.genesis_hash import genesis_hash
from alysd.errors import ConfigError
from alysd.testing.config_files import CONF
from alysd.types.hashes import displayed

SPEC = load_chain_spec(CONF / "chains" / "dev.toml")


def test_the_development_chain_keeps_its_name() -> None:
    """Every data folder of the development chain would be refused as another chain's."""
    assert displayed(genesis_hash(SPEC)) == "3832bb285580c204cf4f1f0b5e01cdbe621e71b9038052978cba7181fe7b2009"


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(SPEC, bits=0x207FFFFE),
        attrs.evolve(SPEC, chain_id=121213),
        attrs.evolve(SPEC, execution_genesis={**SPEC.execution_genesis, "gasLimit": "0x1c9c381"}),
    ],
)
def test_another_beginning_is_another_chain(other: object) -> None:
    """Two chains would share a data folder, and approvals of one count on the other."""
    assert isinstance(other, type(SPEC))
    assert genesis_hash(other) != genesis_hash(SPEC)


def test_a_genesis_that_is_none_is_a_configuration_error() -> None:
    """A person would see a stack trace."""
    with pytest.raises(ConfigError):
        genesis_hash(attrs.evolve(SPEC, execution_genesis={**SPEC.execution_genesis, "gasLimit": "much"}))
