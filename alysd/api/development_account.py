"""The account with money that a development chain's genesis gives, as the greeting shows it."""

from decimal import Decimal
from pathlib import Path
from typing import cast

from alysd.config.key_file import read_key_file
from alysd.errors import ConfigError
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.wire.evm_address import address_of_secret, checksum_address


def account_line(key_file: Path, spec: ChainSpec) -> str:
    """Address, money and key of the account; raises `ConfigError` for a file that holds no secp256k1 key."""
    secret = read_key_file(key_file, known_to_all=True).secret
    try:
        address = address_of_secret(secret)
    except ValueError:
        raise ConfigError(f"{key_file}: not a secp256k1 key") from None
    return (
        f"{checksum_address(address)}   {btc_text(genesis_balance(spec, address))} to play with, key in {key_file}"
    )


def genesis_balance(spec: ChainSpec, address: EvmAddress) -> Wei:
    """What the execution genesis gives an account; nothing for one it does not name."""
    accounts = cast("dict[str, dict[str, str | int]]", spec.execution_genesis["alloc"])
    for key, account in accounts.items():
        if key.lower().removeprefix("0x") == address.hex():
            balance = account.get("balance", 0)
            return Wei(balance if isinstance(balance, int) else int(balance, 0))
    return Wei(0)


def btc_text(amount: Wei) -> str:
    """An amount in BTC, exact, with commas: `1,000 BTC`, `0.5 BTC`."""
    return f"{Decimal(amount).scaleb(-18).normalize():,f} BTC"
