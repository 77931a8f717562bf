"""Signs transfers from the account of the development chain, whose key is published."""

from typing import Any, Self

import attrs
from eth_account import Account

from alysd.testing.config_files import CONF

CHAIN_ID = 121212
GWEI = 10**9


@attrs.define
class Sender:
    """Signs transfers of one wei to new accounts, with increasing nonces."""

    key: str
    nonce: int = 0

    @classmethod
    def of_development(cls) -> Self:
        """Return a sender for the account of `conf/dev-account.key`."""
        lines = (CONF / "dev-account.key").read_text().splitlines()
        return cls([line for line in lines if line and not line.startswith("#")][-1])

    def transfers(self, count: int) -> list[bytes]:
        """Return the next `count` raw transactions."""
        return [self._transfer() for _ in range(count)]

    def _transfer(self) -> bytes:
        fields: dict[str, Any] = {
            "chainId": CHAIN_ID,
            "nonce": self.nonce,
            "to": (2**159 + self.nonce).to_bytes(20, "big"),
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": 3 * GWEI,
            "maxPriorityFeePerGas": GWEI,
        }
        self.nonce += 1
        signed: Any = Account.sign_transaction(fields, self.key)
        return bytes(signed.raw_transaction)
