"""Methods that read the chain: blocks, transactions, receipts, and accounts at any block."""

from typing import Any

import attrs

from alysd.api.hex_values import address, bare_storage_key, boolean, hash32, to_data, to_quantity, uint64
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.values import ExecutionBlock, IncludedTransaction
from alysd.embedded.rpc.backend import EthBackend, StateAt
from alysd.embedded.rpc.requests import BlockAtHash, BlockReference, block_number, block_reference
from alysd.embedded.rpc.views import View, block_view, header_view, receipt_view, receipts_views, transaction_view

_UNKNOWN: View = dict.fromkeys(("hash", "nonce", "miner"))
"""The fields of the pending block that only its author will know, as geth shows them."""


def _at_hash(value: Any) -> BlockAtHash:
    return BlockAtHash(hash32(value))


@attrs.frozen
class BlockMethods:
    """Methods about blocks, transactions and receipts. The result is null if the requested item does not exist."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_blockNumber": Method(self.number),
            "eth_getBlockByNumber": Method(self.by_number, 2, large=True),
            "eth_getBlockByHash": Method(self.by_hash, 2, large=True),
            "eth_getBlockTransactionCountByNumber": Method(self.count_by_number, 1),
            "eth_getBlockTransactionCountByHash": Method(self.count_by_hash, 1),
            "eth_getUncleCountByBlockNumber": Method(self.uncles_by_number, 1),
            "eth_getUncleCountByBlockHash": Method(self.uncles_by_hash, 1),
            "eth_getUncleByBlockNumberAndIndex": Method(self.uncle_by_number, 2),
            "eth_getUncleByBlockHashAndIndex": Method(self.uncle_by_hash, 2),
            "eth_getHeaderByNumber": Method(self.header_by_number, 1),
            "eth_getHeaderByHash": Method(self.header_by_hash, 1),
            "eth_getRawTransactionByHash": Method(self.raw_transaction, 1),
            "eth_getRawTransactionByBlockNumberAndIndex": Method(self.raw_by_number, 2),
            "eth_getRawTransactionByBlockHashAndIndex": Method(self.raw_by_hash, 2),
            "eth_getTransactionByHash": Method(self.transaction, 1),
            "eth_getTransactionByBlockNumberAndIndex": Method(self.indexed_by_number, 2),
            "eth_getTransactionByBlockHashAndIndex": Method(self.indexed_by_hash, 2),
            "eth_getTransactionReceipt": Method(self.receipt, 1),
            "eth_getBlockReceipts": Method(self.receipts, 1, large=True),
        }

    async def number(self, _params: Params) -> str:
        """The number of the latest block."""
        return to_quantity(self.backend.engine.reader.head().number)

    async def by_number(self, params: Params) -> View | None:
        """The canonical block with a number or tag."""
        return await self._shown(params.required(0, block_number), full=params.required(1, boolean))

    async def by_hash(self, params: Params) -> View | None:
        """The block with a hash, on any branch."""
        return await self._shown(params.required(0, _at_hash), full=params.required(1, boolean))

    async def count_by_number(self, params: Params) -> str | None:
        """The number of transactions in the block with a number or tag."""
        return await self._counted(params.required(0, block_number))

    async def count_by_hash(self, params: Params) -> str | None:
        """The number of transactions in the block with a hash."""
        return await self._counted(params.required(0, _at_hash))

    async def uncles_by_number(self, params: Params) -> str | None:
        """The number of uncles, always 0, of the block with a number or tag."""
        at = params.required(0, block_number)
        return None if await self.backend.read(lambda: self.backend.find(at)) is None else to_quantity(0)

    async def uncles_by_hash(self, params: Params) -> str | None:
        """The number of uncles, always 0, of the block with a hash."""
        at = params.required(0, _at_hash)
        return None if await self.backend.read(lambda: self.backend.find(at)) is None else to_quantity(0)

    async def uncle_by_number(self, params: Params) -> None:
        """Always null: no block here has uncles."""
        params.required(0, block_number)
        params.required(1, uint64)

    async def uncle_by_hash(self, params: Params) -> None:
        """Always null: no block here has uncles."""
        params.required(0, _at_hash)
        params.required(1, uint64)

    async def header_by_number(self, params: Params) -> View | None:
        """The header of the canonical block with a number or tag."""
        return await self._header(params.required(0, block_number))

    async def header_by_hash(self, params: Params) -> View | None:
        """The header of the block with a hash, on any branch."""
        return await self._header(params.required(0, _at_hash))

    async def raw_transaction(self, params: Params) -> str:
        """The encoding of the transaction with a hash, from the chain or else from the pool; empty if unknown."""
        wanted = params.required(0, hash32)
        included = await self._included(wanted)
        found = self.backend.pool.get(wanted) if included is None else included.transaction
        return to_data(b"" if found is None else found.raw)

    async def raw_by_number(self, params: Params) -> str:
        """The encoding of the transaction at an index in the block with a number or tag; empty if unknown."""
        return await self._raw(params.required(0, block_number), params.required(1, uint64))

    async def raw_by_hash(self, params: Params) -> str:
        """The encoding of the transaction at an index in the block with a hash; empty if unknown."""
        return await self._raw(params.required(0, _at_hash), params.required(1, uint64))

    async def transaction(self, params: Params) -> View | None:
        """The transaction with a hash, from the chain or else from the pool."""
        wanted = params.required(0, hash32)
        found = await self._included(wanted)
        if found is not None:
            return transaction_view(found.transaction, found.header, found.index)
        waiting = self.backend.pool.get(wanted)
        if waiting is None:
            self._explain_drop(wanted)
            return None
        return transaction_view(waiting)

    async def indexed_by_number(self, params: Params) -> View | None:
        """The transaction at an index in the block with a number or tag."""
        return await self._indexed(params.required(0, block_number), params.required(1, uint64))

    async def indexed_by_hash(self, params: Params) -> View | None:
        """The transaction at an index in the block with a hash."""
        return await self._indexed(params.required(0, _at_hash), params.required(1, uint64))

    async def receipt(self, params: Params) -> View | None:
        """The receipt of an included transaction."""
        wanted = params.required(0, hash32)
        found = await self._included(wanted)
        if found is None:
            self._explain_drop(wanted)
            return None
        return receipt_view(found)

    def _explain_drop(self, wanted: bytes) -> None:
        """Raise `RpcError` for a transaction that will never be included: its sender must not wait for it."""
        reason = self.backend.pool.drop_reason(wanted)
        if reason is not None:
            raise RpcError(SERVER_ERROR, f"transaction dropped: {reason}")

    async def receipts(self, params: Params) -> list[View] | None:
        """The receipts of all transactions of a block."""
        at = params.required(0, block_reference)
        if at == "pending":
            pending = await self.backend.pending()
            return await self.backend.read(lambda: receipts_views(pending.block, pending.receipts))
        return await self.backend.read(lambda: self._receipts(at))

    def _receipts(self, at: BlockReference) -> list[View] | None:
        block = self._block(at)
        receipts = None if block is None else self.backend.engine.reader.receipts(block.header.hash)
        return None if block is None or receipts is None else receipts_views(block, receipts)

    async def _found(self, at: BlockReference) -> ExecutionBlock | None:
        if at == "pending":
            return (await self.backend.pending()).block
        return await self.backend.read(lambda: self._block(at))

    def _block(self, at: BlockReference) -> ExecutionBlock | None:
        header = self.backend.find(at)
        return None if header is None else self.backend.engine.reader.block(header.hash)

    async def _shown(self, at: BlockReference, *, full: bool) -> View | None:
        block = await self._found(at)
        view = None if block is None else block_view(block, full=full)
        return view if view is None or at != "pending" else view | _UNKNOWN

    async def _header(self, at: BlockReference) -> View | None:
        if at == "pending":
            return header_view((await self.backend.pending()).block.header) | _UNKNOWN
        header = await self.backend.read(lambda: self.backend.find(at))
        return None if header is None else header_view(header)

    async def _raw(self, at: BlockReference, index: int) -> str:
        block = await self._found(at)
        return to_data(b"" if block is None or index >= len(block.transactions) else block.transactions[index].raw)

    async def _counted(self, at: BlockReference) -> str | None:
        block = await self._found(at)
        return None if block is None else to_quantity(len(block.transactions))

    async def _indexed(self, at: BlockReference, index: int) -> View | None:
        block = await self._found(at)
        if block is None or index >= len(block.transactions):
            return None
        return transaction_view(block.transactions[index], block.header, index)

    async def _included(self, wanted: bytes) -> IncludedTransaction | None:
        return await self.backend.read(lambda: self.backend.engine.reader.transaction(wanted))


@attrs.frozen
class AccountMethods:
    """Methods about accounts: balance, nonce, code and storage at any block."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_getBalance": Method(self.balance, 2),
            "eth_getTransactionCount": Method(self.transaction_count, 2),
            "eth_getCode": Method(self.code, 2),
            "eth_getStorageAt": Method(self.storage, 3),
        }

    async def balance(self, params: Params) -> str:
        """An account's balance in wei."""
        account = params.required(0, address)
        state = await self.backend.account(account, params.optional(1, block_reference, "latest"))
        return to_quantity(state.balance)

    async def transaction_count(self, params: Params) -> str:
        """An account's next nonce; for `pending` the one after its transactions in the pool."""
        account = params.required(0, address)
        at = params.optional(1, block_reference, "latest")
        if at == "pending":
            state = await self.backend.account(account, "latest")
            return to_quantity(self.backend.pool.next_nonce(account, state.nonce))
        state = await self.backend.account(account, at)
        return to_quantity(state.nonce)

    async def code(self, params: Params) -> str:
        """An account's code, empty for an account that is not a contract."""
        account = params.required(0, address)
        state = await self.backend.state(params.optional(1, block_reference, "latest"))

        def read(at: StateAt) -> bytes:
            return at.reader.code(at.header, account)

        return to_data(await self.backend.read(lambda: read(state())))

    async def storage(self, params: Params) -> str:
        """The 32 bytes in a slot of a contract's storage."""
        account, key = params.required(0, address), params.required(1, bare_storage_key)
        state = await self.backend.state(params.optional(2, block_reference, "latest"))

        def read(at: StateAt) -> bytes:
            return at.reader.storage(at.header, account, int.from_bytes(key, "big"))

        return to_data(await self.backend.read(lambda: read(state())))
