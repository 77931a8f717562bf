"""The event of the node's start, made from its configuration."""

from typing import Any

import attrs
import pytest

from alysd import __version__
from alysd.api.banner import accounts_open, genesis_balance, node_starting
from alysd.config.chain_spec import load_chain_spec
from alysd.testing.config_files import CONF, load
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash, EvmAddress
from alysd.wire.evm_address import parse_address

SPEC = load_chain_spec(CONF / "chains" / "dev.toml")
GENESIS = BlockHash(bytes(range(32)))
SOMEBODY = EvmAddress(b"\xab" * 20)
DEVELOPER = parse_address("0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472")


@pytest.mark.parametrize(("balance", "wei"), [("0x10", 16), (16, 16), ("16", 16), (None, 0)])
def test_the_genesis_gives_what_it_says(balance: Any, wei: int) -> None:
    """Genesis files write balances in several ways."""
    account = {} if balance is None else {"balance": balance}
    spec = attrs.evolve(SPEC, execution_genesis={"alloc": {"0x" + "AB" * 20: account}})
    assert genesis_balance(spec, SOMEBODY) == wei


def test_an_account_that_is_not_there_has_nothing() -> None:
    assert genesis_balance(SPEC, SOMEBODY) == 0


def test_a_development_node_with_the_embedded_engine() -> None:
    config = load(CONF / "dev.toml")
    event = node_starting(config, ChainContext(SPEC, GENESIS), DEVELOPER)
    assert event.fields() == {
        "version": __version__,
        "chain": "alys-dev",
        "chain_id": 121212,
        "genesis": GENESIS[::-1].hex(),
        "data": str(config.storage.path),
        "alys_url": "http://127.0.0.1:3000",
        "operator_url": None,
        "role": "authority",
        "engine": "embedded",
        "engine_url": None,
        "ethereum_url": "http://127.0.0.1:8545",
        "account": "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472",
        "account_wei": 1000 * 10**18,
        "account_key_file": str(CONF / "dev-account.key"),
        "dev_clock": False,
    }


def test_a_node_beside_a_client_with_an_operators_port() -> None:
    config = load(CONF / "regtest.toml", "api.operator_address=127.0.0.1:9300")
    event = node_starting(config, ChainContext(load_chain_spec(config.chain.spec), GENESIS), None)
    assert (event.engine, event.engine_url) == ("engine-api", "http://127.0.0.1:8551")
    assert event.operator_url == "http://127.0.0.1:9300"
    assert (event.account, event.account_wei, event.account_key_file) == (None, None, None)


def test_the_open_accounts_are_shown_with_their_keys_and_only_if_configured() -> None:
    config = load(CONF / "dev.toml")
    first, *accounts = accounts_open(config)
    assert first.fields() == {"count": 10, "mnemonic": "test " * 11 + "junk"}
    assert accounts[0].fields()["account"] == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert len(accounts) == 10
    closed = attrs.evolve(config, development=attrs.evolve(config.development, accounts=False))
    assert accounts_open(closed) == []
    for account in accounts:
        assert genesis_balance(SPEC, parse_address(str(account.fields()["account"]))) == 1000 * 10**18
