"""The shipped configurations: each is valid, and common values are equal."""

import json
from pathlib import Path

import pytest

from alysd.api.banner import genesis_balance
from alysd.config.chain_spec import load_chain_spec
from alysd.config.checks import check_with_chain
from alysd.config.genesis import chain_toml, execution_genesis, read_short_genesis
from alysd.config.key_file import read_key_file
from alysd.errors import ConfigError
from alysd.integrations.bls import public_key
from alysd.testing.config_files import CONF, load, problems_of
from alysd.types.units import Wei
from alysd.wire.evm_address import address_of_secret


@pytest.mark.parametrize("name", ["dev.toml", "regtest.toml"])
def test_the_configurations_of_a_clone_are_right(name: str) -> None:
    """The README's command would end in an error."""
    config = load(CONF / name)
    spec = load_chain_spec(config.chain.spec)
    check_with_chain(config, spec)
    assert config.chain.authority_key_file is not None
    key = read_key_file(config.chain.authority_key_file, kind="bls", known_to_all=True)
    assert public_key(key.secret) in spec.authorities
    assert config.development.keys_known_to_all


def test_the_production_configuration_misses_only_what_an_operator_brings() -> None:
    """An operator would copy a mistake of ours."""
    with pytest.raises(ConfigError) as caught:
        load(CONF / "production.toml")
    found = problems_of(caught.value)
    assert len(found) == 3
    assert all(text.endswith("there is no such file") and '"/etc/alysd/' in text for text in found)


def test_the_development_account_has_its_money() -> None:
    """A contract developer could do nothing."""
    config = load(CONF / "dev.toml")
    assert config.development.account_key_file is not None
    secret = read_key_file(config.development.account_key_file, known_to_all=True).secret
    spec = load_chain_spec(config.chain.spec)
    assert genesis_balance(spec, address_of_secret(secret)) == Wei(1000 * 10**18)


def test_the_development_chain_is_what_its_description_makes() -> None:
    """Otherwise a change could be made to one of the two files only."""
    short = read_short_genesis(CONF / "chains" / "short" / "dev.toml")
    chains = CONF / "chains"
    assert json.loads((chains / "dev.genesis.json").read_text()) == execution_genesis(short)
    assert (chains / "dev.toml").read_text() == chain_toml(short.parameters, "dev.genesis.json")


@pytest.mark.parametrize("name", ["dev-authority.key", "dev-account.key", "dev-bitcoin.key"])
def test_published_keys_say_so(name: str) -> None:
    """A published key must not be used for real money, so its file must say that it is published."""
    assert "Known to everybody" in (Path(CONF) / name).read_text()
