"""The sending of a transaction that waits for the block with it."""

from typing import Any

import trio

from alysd.api.hex_values import data, kind
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.chain_methods import BlockMethods
from alysd.embedded.rpc.feed import ChainFeed
from alysd.embedded.rpc.news import ChainNews, News
from alysd.embedded.rpc.pool_methods import TransactionMethods
from alysd.embedded.rpc.views import View
from alysd.errors import Malformed

SYNC_SECONDS = 20.0
"""The time for which eth_sendRawTransactionSync waits if the caller says nothing, as in geth."""

MAX_SYNC_SECONDS = 25.0
"""The longest time that a caller can ask for: shorter than the deadline of a request."""

WAITING = 32
"""The maximum number of callers that wait at a time: each holds one of the server's requests."""

_NOT_INCLUDED = 4
"""The error code of EIP-7966 for a transaction that is in the pool, but not yet in a block."""


class SyncMethods:
    """eth_sendRawTransactionSync (EIP-7966)."""

    def __init__(self, backend: EthBackend, feed: ChainFeed, sending: TransactionMethods) -> None:
        self._feed = feed
        self._sending = sending
        self._blocks = BlockMethods(backend)
        self._waiting = trio.CapacityLimiter(WAITING)

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {"eth_sendRawTransactionSync": Method(self.send, 2, large=True)}

    async def send(self, params: Params) -> View:
        """Add a signed transaction to the pool, wait until it is in a block, and return its receipt."""
        params.required(0, data)
        seconds = min(params.optional(1, _milliseconds, 0.0) or SYNC_SECONDS, MAX_SYNC_SECONDS)
        place = object()  # not `params`, which equal those of another request for the same transaction
        try:
            self._waiting.acquire_on_behalf_of_nowait(place)
        except trio.WouldBlock:
            words = f"too many callers wait for their transactions: at most {WAITING} at a time"
            raise RpcError(SERVER_ERROR, words) from None
        try:
            return await self._send(params, seconds)
        finally:
            self._waiting.release_on_behalf_of(place)

    async def _send(self, params: Params, seconds: float) -> View:
        news = trio.Event()

        def note(found: News) -> None:
            nonlocal news
            if isinstance(found, ChainNews):
                news.set()
                news = trio.Event()

        stop = self._feed.listen(note)
        try:
            digest = await self._sending.send(Params(params.values[:1]))
            with trio.move_on_after(seconds):
                while True:
                    following = news
                    receipt = await self._blocks.receipt(Params((digest,)))
                    if receipt is not None:
                        return receipt
                    await following.wait()
        finally:
            stop()
        words = "The transaction was added to the transaction pool but wasn't processed in"
        raise RpcError(_NOT_INCLUDED, f"{words} {seconds:g}s", digest)


def _milliseconds(value: Any) -> float:
    """Decode a number of milliseconds, as seconds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(f"must be a number of milliseconds, got {kind(value)}")
    return value / 1000
