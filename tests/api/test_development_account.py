"""The account that a development chain's greeting shows."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.api.development_account import account_line, btc_text, genesis_balance
from alysd.config.chain_spec import load_chain_spec
from alysd.errors import ConfigError
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from tests.config.kit import CONF

SPEC = load_chain_spec(CONF / "chains" / "dev.toml")
SOMEBODY = EvmAddress(b"\xab" * 20)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 BTC"),
        (1, "0.000000000000000001 BTC"),
        (5 * 10**17, "0.5 BTC"),
        (1000 * 10**18, "1,000 BTC"),
        (20_999_999 * 10**18 + 10**10, "20,999,999.00000001 BTC"),
    ],
)
def test_amounts_are_exact(amount: int, text: str) -> None:
    """A person would believe in money that is not there."""
    assert btc_text(Wei(amount)) == text


@pytest.mark.parametrize(("balance", "wei"), [("0x10", 16), (16, 16), ("16", 16), (None, 0)])
def test_the_genesis_gives_what_it_says(balance: Any, wei: int) -> None:
    """Genesis files write balances in several ways."""
    account = {} if balance is None else {"balance": balance}
    spec = attrs.evolve(SPEC, execution_genesis={"alloc": {"0x" + "AB" * 20: account}})
    assert genesis_balance(spec, SOMEBODY) == wei


def test_an_account_that_is_not_there_has_nothing() -> None:
    """Any key would be shown as rich."""
    assert genesis_balance(SPEC, SOMEBODY) == 0


def test_the_line_has_all_that_a_wallet_needs() -> None:
    """A contract developer would have to read the genesis."""
    file = CONF / "dev-account.key"
    address = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
    assert account_line(file, SPEC) == f"{address}   1,000 BTC to play with, key in {file}"


def test_a_key_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    """A stack trace for a wrong file."""
    (tmp_path / "k").write_text("00" * 32)
    with pytest.raises(ConfigError, match="not a secp256k1 key"):
        account_line(tmp_path / "k", SPEC)
