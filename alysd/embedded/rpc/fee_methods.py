"""Methods about the price of gas: suggestions for wallets, and the history of fees."""

from typing import Any, cast

import attrs

from alysd.api.hex_values import kind, to_quantity, uint64
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.pending_block import PendingBlock
from alysd.embedded.engine.reader import rewards_at
from alysd.embedded.engine.values import FeeHistory
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.requests import BlockReference, block_number
from alysd.embedded.rpc.views import View
from alysd.errors import Malformed
from alysd.types.units import Wei

MAX_HISTORY = 1024
"""The maximum number of blocks of a fee history, as in geth."""

MAX_PERCENTILES = 100
"""The maximum number of percentiles of a fee history, as in geth."""

SAMPLE_BLOCKS = 20
"""The suggested tip is the `SAMPLE_PERCENTILE` of the tips paid in this many newest blocks, as in geth."""

SAMPLE_PERCENTILE = 60.0


@attrs.frozen
class FeeMethods:
    """Methods about fees. Suggested tips are at least the pool's `minimum_tip`, in wei per gas."""

    backend: EthBackend
    minimum_tip: int

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_gasPrice": Method(self.gas_price),
            "eth_maxPriorityFeePerGas": Method(self.tip),
            "eth_baseFee": Method(self.base_fee),
            "eth_blobBaseFee": Method(self.blob_base_fee),
            "eth_feeHistory": Method(self.history, 3, large=True),
        }

    async def gas_price(self, _params: Params) -> str:
        """The suggested price of a transaction of type 0: the next block's base fee plus the suggested tip."""
        return to_quantity(await self.backend.read(self._gas_price))

    async def tip(self, _params: Params) -> str:
        """The suggested priority fee: from the newest transactions, but at least the pool's minimum."""
        return to_quantity(await self.backend.read(self._tip))

    async def base_fee(self, _params: Params) -> str:
        """The base fee of the next block."""
        reader = self.backend.engine.reader
        return to_quantity(reader.next_base_fee(await self.backend.read(reader.head)))

    async def blob_base_fee(self, _params: Params) -> str:
        """The price of blob gas: always the minimum of 1 wei, since no block here has blobs (EIP-4844)."""
        return to_quantity(1)

    async def history(self, params: Params) -> View:
        """For each block of a range: the base fee, the used fraction of the gas limit, percentiles of the tips.

        The tips of a block without transactions are the pool's minimum; geth's are zero. Foundry suggests the
        median of the tips that are not zero, or else 1 wei, which the pool refuses.
        """
        count = min(params.required(0, _count), MAX_HISTORY)
        newest = params.required(1, block_number)
        percentiles = params.optional(2, _percentiles, ())
        if newest == "pending" and count:
            pending = await self.backend.pending()
            found = await self.backend.read(lambda: self._with_pending(count, pending, percentiles))
        else:
            found = await self.backend.read(lambda: self._history(count, newest, percentiles))
        if found is None:
            return {"oldestBlock": to_quantity(0), "gasUsedRatio": None}
        return _history_view(found)

    def _gas_price(self) -> int:
        reader = self.backend.engine.reader
        return reader.next_base_fee(reader.head()) + self._tip()

    def _tip(self) -> int:
        reader = self.backend.engine.reader
        head = reader.head()
        found = reader.fee_history(min(SAMPLE_BLOCKS, head.number + 1), head.number, (SAMPLE_PERCENTILE,))
        paid = sorted(tips[0] for tips in found.rewards if tips[0] > 0)
        return max(self.minimum_tip, paid[len(paid) // 2] if paid else 0)

    def _history(self, count: int, at: BlockReference, percentiles: tuple[float, ...]) -> FeeHistory | None:
        reader = self.backend.engine.reader
        newest, head = self.backend.find(at), reader.head()
        if newest is None:
            raise RpcError(SERVER_ERROR, f"request beyond head block: requested {at}, head {head.number}")
        count = min(count, newest.number + 1)
        if not count:
            return None
        return self._with_least_tips(reader.fee_history(count, newest.number, percentiles), percentiles)

    def _with_pending(self, count: int, pending: PendingBlock, percentiles: tuple[float, ...]) -> FeeHistory:
        """The fees of the pending block, and of up to `count` - 1 blocks before it."""
        reader, block, header = self.backend.engine.reader, pending.block, pending.block.header
        first = max(0, header.number - count + 1)
        before = reader.fee_history(header.number - first, header.number - 1, percentiles)
        gas_used = [receipt.gas_used for receipt in pending.receipts]
        tips = rewards_at(block.transactions, gas_used, header.base_fee, percentiles)
        found = FeeHistory(
            oldest=first,
            base_fees=(*before.base_fees[:-1], header.base_fee, reader.next_base_fee(header)),
            gas_used_ratios=(*before.gas_used_ratios, header.gas_used / header.gas_limit),
            rewards=(*before.rewards, tips) if percentiles else (),
        )
        return self._with_least_tips(found, percentiles)

    def _with_least_tips(self, found: FeeHistory, percentiles: tuple[float, ...]) -> FeeHistory:
        """The same fees, with the pool's minimum as the tips of blocks without transactions."""
        least = tuple(Wei(self.minimum_tip) for _ in percentiles)
        paid = zip(found.rewards, found.gas_used_ratios, strict=False)
        return attrs.evolve(found, rewards=tuple(tips if used else least for tips, used in paid))


def _history_view(found: FeeHistory) -> View:
    view: View = {
        "oldestBlock": to_quantity(found.oldest),
        "baseFeePerGas": [to_quantity(fee) for fee in found.base_fees],
        "gasUsedRatio": list(found.gas_used_ratios),
        "baseFeePerBlobGas": [to_quantity(1)] * len(found.base_fees),
        "blobGasUsedRatio": [0] * len(found.gas_used_ratios),
    }
    if found.rewards:
        view["reward"] = [[to_quantity(tip) for tip in tips] for tips in found.rewards]
    return view


def _count(value: Any) -> int:
    """Decode a number of blocks, which tools write in hex or in decimal."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return uint64(value)


def _percentiles(value: Any) -> tuple[float, ...]:
    """Decode percentiles: from 0 to 100, each above the previous one. The errors are geth's."""
    if not isinstance(value, list):
        raise Malformed(f"must be an array, got {kind(value)}")
    given = cast("list[Any]", value)
    if len(given) > MAX_PERCENTILES:
        raise _wrong_percentile(f"over the query limit {MAX_PERCENTILES}")
    found: list[float] = []
    for at, one in enumerate(given):
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise Malformed(f"each percentile must be a number, got {kind(one)}")
        if not 0 <= one <= 100:
            raise _wrong_percentile(f"{one:f}"[:40])
        if found and one <= found[-1]:
            raise _wrong_percentile(f"#{at - 1}:{found[-1]:f} >= #{at}:{one:f}")
        found.append(float(one))
    return tuple(found)


def _wrong_percentile(what: str) -> RpcError:
    return RpcError(SERVER_ERROR, f"invalid reward percentile: {what}")
