"""Several Bitcoin nodes as one: the first that answers is used. A node that fails gets no calls for a while."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import attrs
import trio

from alysd.bitcoin_ports import BitcoinNode
from alysd.errors import BitcoinUnavailable
from alysd.types.bitcoin import BitcoinChainInfo
from alysd.types.hashes import BitcoinHash

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""The first and the longest time without calls to a failed node. The time doubles with each failure in a row."""


@attrs.define
class _Breaker:
    """The circuit breaker of one node: open until `closed_at`, in trio's time, because of `reason`."""

    node: BitcoinNode
    closed_at: float = 0.0
    pause: float = 0.0
    reason: BitcoinUnavailable | None = None

    def failed(self, error: BitcoinUnavailable) -> None:
        self.reason = error
        self.pause = min(max(FIRST_PAUSE_SECONDS, 2 * self.pause), LONGEST_PAUSE_SECONDS)
        self.closed_at = trio.current_time() + self.pause

    def worked(self) -> None:
        self.reason, self.pause = None, 0.0


class BitcoinNodes:
    """Implements `bitcoin_ports.BitcoinNode` with nodes in the order of preference.

    A call goes to the first node whose breaker is closed, and to the next one if it does not answer. While all
    breakers are open, a call fails at once with the last reasons.
    """

    def __init__(self, nodes: Sequence[BitcoinNode]) -> None:
        self._breakers = tuple(_Breaker(node) for node in nodes)

    async def chain_info(self) -> BitcoinChainInfo:
        """The network and the tip of the first node that answers."""
        return await self._first(lambda node: node.chain_info())

    async def block_hash(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height`; None above the tip."""
        return await self._first(lambda node: node.block_hash(height))

    async def block(self, block: BitcoinHash) -> bytes:
        """The serialized block."""
        return await self._first(lambda node: node.block(block))

    async def median_time(self, block: BitcoinHash) -> int:
        """The median time past of a block."""
        return await self._first(lambda node: node.median_time(block))

    async def wait_for_height(self, height: int, seconds: float) -> None:
        """Wait until the newest block has at least this height, but at most `seconds`."""
        await self._first(lambda node: node.wait_for_height(height, seconds))

    async def fee_rate(self, blocks: int) -> int | None:
        """The estimated fee rate in sat per 1,000 virtual bytes, None without an estimate."""
        return await self._first(lambda node: node.fee_rate(blocks))

    async def mempool(self, most: int) -> frozenset[BitcoinHash] | None:
        """The txids of the mempool. A node that fails to answer still gets calls of the other methods."""
        return await self._first(lambda node: node.mempool(most), counts=False)

    async def transactions(self, txids: Sequence[BitcoinHash]) -> tuple[bytes | None, ...]:
        """Transactions of the mempool. A node that fails to answer still gets calls of the other methods."""
        return await self._first(lambda node: node.transactions(txids), counts=False)

    async def broadcast(self, transaction: bytes) -> None:
        """Send a transaction to the network. Raises `NotBroadcast` with the reason of the node that answers."""
        await self._first(lambda node: node.broadcast(transaction))

    async def _first(self, call: Callable[[BitcoinNode], Awaitable[T]], *, counts: bool = True) -> T:
        """The answer of the first node that gives one. With `counts`, a failure opens the breaker of its node."""
        reasons: list[BitcoinUnavailable] = []
        for breaker in self._breakers:
            if breaker.closed_at > trio.current_time():
                if breaker.reason is not None:
                    reasons.append(breaker.reason)
                continue
            try:
                answer = await call(breaker.node)
            except BitcoinUnavailable as error:
                reasons.append(error)
                if counts:
                    breaker.failed(error)
            else:
                if counts:
                    breaker.worked()
                return answer
        if len(reasons) == 1:
            raise reasons[0]
        raise BitcoinUnavailable(
            ", ".join(reason.url for reason in reasons), "; ".join(reason.reason for reason in reasons)
        )
