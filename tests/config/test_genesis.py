"""The files of a chain, made from a short description."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.config.bridge import bridge_code
from alysd.config.chain_spec import load_chain_spec
from alysd.config.genesis import (
    BEACON_ROOTS_ADDRESS,
    BEACON_ROOTS_CODE,
    chain_toml,
    execution_genesis,
    parse_btc,
    read_short_genesis,
)
from alysd.errors import ConfigError
from alysd.testing.config_files import CHAIN, CONF
from alysd.types.chain_spec import has_peg
from alysd.types.peg import BRIDGE_ADDRESS

RICH = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
DEV = CONF / "chains" / "short" / "dev.toml"


def described(tmp_path: Path, accounts: str, keys: str = "") -> Path:
    """A description with these accounts."""
    path = tmp_path / "short.toml"
    path.write_text(f"{CHAIN}{keys}[accounts]\n{accounts}\n")
    return path


def test_the_genesis_has_money_contracts_and_every_fork() -> None:
    """Real clients would refuse block 0, or make another one of it."""
    genesis: dict[str, Any] = execution_genesis(read_short_genesis(DEV))
    config, alloc = genesis["config"], genesis["alloc"]
    assert config["chainId"] == 121212
    assert config["shanghaiTime"] == config["cancunTime"] == config["terminalTotalDifficulty"] == 0
    assert config["terminalTotalDifficultyPassed"] is True
    assert config["mergeNetsplitBlock"] == config["londonBlock"] == 0
    assert config["blobSchedule"] == {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}}
    assert alloc[RICH.lower()] == {"balance": hex(1000 * 10**18)}
    assert alloc["0x" + BRIDGE_ADDRESS.hex()] == {"balance": "0x0", "nonce": "0x1", "code": bridge_code()}
    assert alloc["0x" + BEACON_ROOTS_ADDRESS.hex()]["code"] == BEACON_ROOTS_CODE
    assert (genesis["timestamp"], genesis["difficulty"], genesis["baseFeePerGas"]) == ("0x0", "0x0", "0x3b9aca00")


def test_the_specification_that_is_written_reads_back(tmp_path: Path) -> None:
    """`alysd genesis` would make a chain that `alysd run` reads otherwise."""
    short = read_short_genesis(DEV)
    genesis = execution_genesis(short)
    (tmp_path / "g.json").write_text(json.dumps(genesis))
    (tmp_path / "chain.toml").write_text(chain_toml(short.parameters, "g.json"))
    spec = load_chain_spec(tmp_path / "chain.toml")
    assert spec.execution_genesis == genesis
    assert spec.authorities == short.parameters.authorities
    assert spec.authority_proofs == short.parameters.authority_proofs
    assert spec.federation_bitcoin_proofs == short.parameters.federation_bitcoin_proofs
    assert (spec.bits, spec.pow_limit, spec.bitcoin_network) == (0x207FFFFF, 0x207FFFFF, "regtest")


def with_peg(folder: Path, value: str, chain: str = CHAIN) -> Path:
    """A description with this value of the key `peg`."""
    path = folder / "short.toml"
    path.write_text(f"{chain}peg = {value}\n")
    return path


def test_a_chain_with_a_peg_is_made_when_asked_for(tmp_path: Path) -> None:
    """The bridge contract of every other chain refuses requests."""
    genesis = execution_genesis(read_short_genesis(with_peg(tmp_path, "true")))
    assert has_peg(genesis)
    assert not has_peg(execution_genesis(read_short_genesis(with_peg(tmp_path, "false"))))
    assert not has_peg(execution_genesis(read_short_genesis(DEV)))
    with pytest.raises(ConfigError, match="peg.*must be true or false"):
        read_short_genesis(with_peg(tmp_path, '"yes"'))
    with pytest.raises(ConfigError, match="a chain with a peg has no balances at genesis"):
        read_short_genesis(described(tmp_path, f'"{RICH}" = "1 BTC"', "peg = true\n"))


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        (f'"{RICH}" = "1000"', 'an amount such as "1000 BTC"'),
        (f'"{RICH}" = 1000', 'an amount such as "1000 BTC"'),
        ('"0x12" = "1 BTC"', "must be an EVM address"),
        (f'"0x{"bb" * 20}" = "1 BTC"', "the address is reserved for a contract of the protocol"),
        (f'"{RICH}" = "1 BTC"\n"{RICH.lower()}" = "2 BTC"', "the address is listed twice"),
    ],
)
def test_accounts_that_cannot_be_are_refused(tmp_path: Path, accounts: str, words: str) -> None:
    """Money would go nowhere, or a contract be lost."""
    with pytest.raises(ConfigError, match=words):
        read_short_genesis(described(tmp_path, accounts))


def test_a_genesis_file_in_the_description_is_no_key(tmp_path: Path) -> None:
    """Otherwise the user would believe that the named file is used."""
    path = tmp_path / "short.toml"
    path.write_text(CHAIN + 'execution_genesis = "x.json"\n')
    with pytest.raises(ConfigError, match="execution_genesis is not a known key"):
        read_short_genesis(path)


@given(st.integers(0, 21_000_000 * 10**18))
def test_every_amount_is_exact(wei: int) -> None:
    """Money would be rounded away or made of nothing."""
    assert parse_btc(f"{wei // 10**18}.{wei % 10**18:018d} BTC") == wei


@pytest.mark.parametrize(
    "text", ["1 btc", "-1 BTC", "1e3 BTC", "1. BTC", ".5 BTC", "1.0000000000000000001 BTC", "", None]
)
def test_what_is_no_amount_is_refused(text: object) -> None:
    """A typing mistake would become somebody's balance."""
    with pytest.raises(ValueError, match="an amount such as"):
        parse_btc(text)
