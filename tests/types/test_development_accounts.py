"""The accounts of development chains are those that developers know from hardhat and anvil."""

from typing import Any

from eth_account import Account

from alysd.types.development_accounts import DEVELOPMENT_KEYS, MNEMONIC


def test_the_accounts_follow_from_the_words() -> None:
    Account.enable_unaudited_hdwallet_features()
    for number, (address, key) in enumerate(DEVELOPMENT_KEYS.items()):
        made: Any = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{number}")
        assert made.address.lower() == f"0x{address.hex()}"
        assert bytes(made.key) == key
    assert len(DEVELOPMENT_KEYS) == 10
