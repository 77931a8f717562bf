"""Methods that add transactions to the pool and show its content."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from alysd.api.hex_values import address, data, to_data, to_quantity
from alysd.api.jsonrpc import Method, Params
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.transaction_pool import Transactions
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.feed import ChainFeed
from alysd.embedded.rpc.views import View, transaction_view
from alysd.types.hashes import EvmAddress
from alysd.wire.evm_address import checksum_address


@attrs.frozen
class TransactionMethods:
    """eth_sendRawTransaction and the txpool namespace."""

    backend: EthBackend
    feed: ChainFeed

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_sendRawTransaction": Method(self.send, 1),
            "txpool_status": Method(self.status),
            "txpool_content": Method(self.content, large=True),
            "txpool_contentFrom": Method(self.content_from, 1, large=True),
            "txpool_inspect": Method(self.inspect, large=True),
        }

    async def send(self, params: Params) -> str:
        """Add a signed transaction to the pool and return its hash."""
        raw, now = params.required(0, data), trio.current_time()
        transaction, executable = await self.backend.admit(lambda: self._admit(raw, now))
        self.feed.publish_pending(executable)
        if executable and self.backend.demand is not None:
            await self.backend.demand.sent(transaction.hash)
        return to_data(transaction.hash)

    def _admit(self, raw: bytes, now: float) -> tuple[SignedTransaction, Transactions]:
        engine, pool = self.backend.engine, self.backend.pool
        pool.check_size(raw)
        transaction = self.backend.read_transaction(raw)
        reader = engine.reader

        def account_of(sender: EvmAddress) -> AccountState:
            return reader.account(reader.head(), sender)

        return transaction, pool.add(transaction, account_of, reader.head().gas_limit, now)

    async def status(self, _params: Params) -> View:
        """The numbers of pending and of queued transactions."""
        pending, queued = self.backend.pool.counts()
        return {"pending": to_quantity(pending), "queued": to_quantity(queued)}

    async def content(self, _params: Params) -> View:
        """The whole pool, by sender and nonce."""
        return await self.backend.read(lambda: self._listed(_shown))

    async def inspect(self, _params: Params) -> View:
        """The whole pool, with one line of text per transaction."""
        return await self.backend.read(lambda: self._listed(_line))

    def _listed(self, show: Callable[[SignedTransaction], Any]) -> View:
        found = self.backend.pool.content()
        return {"pending": _by_sender(found.pending, show), "queued": _by_sender(found.queued, show)}

    async def content_from(self, params: Params) -> View:
        """One sender's transactions in the pool, by nonce."""
        sender = params.required(0, address)
        found = self.backend.pool.content()
        return {
            "pending": _by_nonce(found.pending.get(sender, ()), _shown),
            "queued": _by_nonce(found.queued.get(sender, ()), _shown),
        }


def _by_sender(
    found: Mapping[EvmAddress, Transactions], show: Callable[[SignedTransaction], Any]
) -> dict[str, dict[str, Any]]:
    return {checksum_address(sender): _by_nonce(transactions, show) for sender, transactions in found.items()}


def _by_nonce(transactions: Transactions, show: Callable[[SignedTransaction], Any]) -> dict[str, Any]:
    return {str(transaction.nonce): show(transaction) for transaction in transactions}


def _shown(transaction: SignedTransaction) -> View:
    return transaction_view(transaction)


def _line(transaction: SignedTransaction) -> str:
    to = "contract creation" if transaction.to is None else checksum_address(transaction.to)
    return f"{to}: {transaction.value} wei + {transaction.gas} gas × {transaction.max_fee} wei"
