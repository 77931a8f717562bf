"""Sends events of the chain and of the pool to filters and subscriptions, and lets the pool follow the head.

The engine reports a new head in the event loop and must not wait, so the report goes into a bounded queue. A task
takes it from there, lets the pool follow in a worker thread, finds the logs and calls the listeners.
"""

from collections import deque
from collections.abc import Callable, Sequence

import attrs
import trio
from trio_util import RepeatedEvent

from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import FoundLog, HeadChange
from alysd.embedded.pool.transaction_pool import Transactions
from alysd.embedded.rpc.backend import EthBackend
from alysd.types.execution import ExecutionHeader

MAX_CHANGES = 1024
"""The maximum number of waiting head changes: 10 s of a sync with 100 blocks per second.

If there are more, the oldest are dropped. Only their notifications are lost, because the pool always reads every
sender's account at the newest head.
"""


@attrs.frozen
class ChainNews:
    """A new head: the removed blocks (newest first), the added blocks (oldest first), and their logs."""

    removed: tuple[ExecutionHeader, ...] = ()
    added: tuple[ExecutionHeader, ...] = ()
    removed_logs: tuple[FoundLog, ...] = ()
    added_logs: tuple[FoundLog, ...] = ()


@attrs.frozen
class PendingNews:
    """Transactions that have become executable in the pool."""

    transactions: Transactions


News = ChainNews | PendingNews
Listener = Callable[[News], None]


class ChainFeed:
    """Calls listeners in the event loop with each event. A listener must not block and must not raise."""

    def __init__(self, backend: EthBackend) -> None:
        self._backend = backend
        self._listeners: list[Listener] = []
        self._changes: deque[HeadChange] = deque(maxlen=MAX_CHANGES)
        self._arrived = RepeatedEvent()
        self._behind = 0
        self._told = trio.Event()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event. Returns a function that unregisters the listener."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish_pending(self, transactions: Transactions) -> None:
        """Report transactions that have become executable."""
        if transactions:
            self._publish(PendingNews(transactions))

    async def run(self) -> None:
        """Follow the engine's head until cancelled, beginning with the changes since the last run.

        The server can be restarted while the engine goes on: then the pool has missed blocks.
        """
        unregister = self._backend.engine.on_head(self._note)
        try:
            await self._catch_up()
            while True:
                while self._changes:
                    await self._tell(self._changes.popleft())
                self._behind = 0
                self._told.set()
                self._told = trio.Event()
                await self._arrived.wait()
        finally:
            unregister()

    async def _catch_up(self) -> None:
        reader, pool = self._backend.engine.reader, self._backend.pool
        followed = pool.followed
        if followed is None:
            pool.followed = reader.head().hash
            return
        missed = await self._backend.read(lambda: reader.since(followed, MAX_CHANGES))
        if missed is not None:
            await self._tell(missed)

    async def caught_up(self) -> None:
        """Wait until the pool and the listeners know of all heads that the engine has reported."""
        while self._behind:
            await self._told.wait()

    def _note(self, change: HeadChange) -> None:
        self._changes.append(change)
        self._behind += 1
        self._arrived.set()

    def _publish(self, news: News) -> None:
        for listener in tuple(self._listeners):
            listener(news)

    async def _tell(self, change: HeadChange) -> None:
        if not change.added and not change.removed:
            return  # only the safe or the finalized block changed
        now = trio.current_time()
        news, executable = await self._backend.read(lambda: self._look_into(change, now))
        self._publish(news)
        self.publish_pending(executable)
        await self._backend.read(self._backend.pool.sync_journal)

    def _look_into(self, change: HeadChange, now: float) -> tuple[ChainNews, Transactions]:
        """Let the pool follow the head, and find the logs. For a worker thread."""
        reader = self._backend.engine.reader
        executable = self._backend.pool.follow(
            included=self._transactions(change.added),
            abandoned=self._transactions(change.removed),
            account_of=lambda sender: reader.account(reader.head(), sender),  # may be newer than this change
            gas_limit=change.head.gas_limit,
            now=now,
        )
        self._backend.pool.followed = change.head.hash
        news = ChainNews(change.removed, change.added, self._logs(change.removed), self._logs(change.added))
        return news, executable

    def _transactions(self, headers: Sequence[ExecutionHeader]) -> list[SignedTransaction]:
        blocks = (self._backend.engine.reader.block(header.hash) for header in headers)
        return [transaction for block in blocks if block is not None for transaction in block.transactions]

    def _logs(self, headers: Sequence[ExecutionHeader]) -> tuple[FoundLog, ...]:
        reader = self._backend.engine.reader
        return tuple(log for header in headers for log in reader.logs_of(header, LogFilter()))
