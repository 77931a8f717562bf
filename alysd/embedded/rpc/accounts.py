"""Methods about accounts: balance, nonce, code, storage, at any block."""

import attrs

from alysd.api.hex_values import address, storage_key, to_data, to_quantity
from alysd.api.jsonrpc import Method
from alysd.api.params import Params
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.requests import block_reference


@attrs.frozen
class AccountMethods:
    """eth_getBalance and its kin. The node holds no keys of accounts: eth_accounts is empty."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """List the methods by name."""
        return {
            "eth_accounts": Method(self.accounts),
            "eth_getBalance": Method(self.balance, 2),
            "eth_getTransactionCount": Method(self.transaction_count, 2),
            "eth_getCode": Method(self.code, 2),
            "eth_getStorageAt": Method(self.storage, 3),
        }

    async def accounts(self, _params: Params) -> list[str]:
        """List the accounts that the node could sign for: none."""
        return []

    async def balance(self, params: Params) -> str:
        """Give an account's balance in wei."""
        account = params.required(0, address)
        at = params.optional(1, block_reference, "latest")
        reader = self.backend.engine.reader
        state = await self.backend.read(lambda: reader.account(self.backend.state_at(at), account))
        return to_quantity(state.balance)

    async def transaction_count(self, params: Params) -> str:
        """Give an account's next nonce; for `pending` the one after its transactions in the pool."""
        account = params.required(0, address)
        at = params.optional(1, block_reference, "latest")
        reader = self.backend.engine.reader
        state = await self.backend.read(lambda: reader.account(self.backend.state_at(at), account))
        if at == "pending":
            return to_quantity(self.backend.pool.next_nonce(account, state.nonce))
        return to_quantity(state.nonce)

    async def code(self, params: Params) -> str:
        """Give an account's code, empty for one that is not a contract."""
        account = params.required(0, address)
        at = params.optional(1, block_reference, "latest")
        reader = self.backend.engine.reader
        return to_data(await self.backend.read(lambda: reader.code(self.backend.state_at(at), account)))

    async def storage(self, params: Params) -> str:
        """Give the 32 bytes in a slot of a contract's storage."""
        account, key = params.required(0, address), params.required(1, storage_key)
        at = params.optional(2, block_reference, "latest")
        slot, reader = int.from_bytes(key, "big"), self.backend.engine.reader
        return to_data(await self.backend.read(lambda: reader.storage(self.backend.state_at(at), account, slot)))
