"""debug_getRaw…: blocks, headers, receipts and transactions as encoded for their hashes, as geth gives them."""

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from alysd.api.hex_values import to_data
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.block_rlp import encode_block
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.requests import BlockAtHash, BlockReference, block_reference
from alysd.types.execution import ExecutionHeader
from alysd.wire.execution_header import encode_header

T = TypeVar("T")


@attrs.frozen
class RawMethods:
    """Methods that give encodings. `transaction` is that of eth_getRawTransactionByHash, which has two names."""

    backend: EthBackend
    transaction: Callable[[Params], Any]

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "debug_getRawBlock": Method(self.block, 1, large=True),
            "debug_getRawHeader": Method(self.header, 1),
            "debug_getRawReceipts": Method(self.receipts, 1, large=True),
            "debug_getRawTransaction": Method(self.transaction, 1),
        }

    async def block(self, params: Params) -> str:
        """The RLP of a block; empty for the number of no block."""
        return await self._of(params, self._block, "0x")

    async def header(self, params: Params) -> str:
        """The RLP of a header, whose Keccak-256 is the block's hash; empty as for `block`."""
        return await self._of(params, lambda header: to_data(encode_header(header)), "0x")

    async def receipts(self, params: Params) -> list[str] | None:
        """The receipts of a block, each as in the receipts' trie; null for the number of no block."""
        return await self._of(params, self._receipts, None)

    async def _of(self, params: Params, make: Callable[[ExecutionHeader], T], nothing: T) -> T:
        at = params.required(0, block_reference)

        def found() -> T:
            header = self._header(at)
            return nothing if header is None else make(header)

        return await self.backend.read(found)

    def _header(self, at: BlockReference) -> ExecutionHeader | None:
        """The header; None for an unknown number. Raises `RpcError` for an unknown hash and the pending block."""
        if at == "pending":
            raise RpcError(SERVER_ERROR, "pending block is not available")
        header = self.backend.find(at)
        if header is None and isinstance(at, BlockAtHash):
            raise RpcError(SERVER_ERROR, f"block {to_data(at.hash)} not found")
        return header

    def _block(self, header: ExecutionHeader) -> str:
        block = self.backend.engine.reader.block(header.hash)
        return "0x" if block is None else to_data(encode_block(block))

    def _receipts(self, header: ExecutionHeader) -> list[str]:
        return [to_data(one) for one in self.backend.engine.reader.trie_receipts(header.hash) or ()]
