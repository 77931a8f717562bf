"""Sends events of the chain and of the pool to filters and subscriptions, and lets the pool follow the head.

The engine reports a new head in the event loop and must not wait, so the report goes into a bounded queue. A task
takes it from there, lets the pool follow in a worker thread, finds the logs and calls the listeners. The pool's
reports go the same way.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import trio
from trio_util import RepeatedEvent

from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import FoundLog, HeadChange
from alysd.embedded.pool.transaction_pool import Transactions
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.news import ChainNews, News, PendingNews
from alysd.types.execution import ExecutionHeader

MAX_CHANGES = 1024
"""The maximum number of waiting head changes: 10 s of a sync with 100 blocks per second.

If there are more, the oldest are dropped. Only their notifications are lost, because the pool always reads every
sender's account at the newest head.
"""


MAX_PENDING = 10_240
"""The maximum number of waiting transactions that have become executable: two full pools.

If there are more, only the notifications of the oldest are lost.
"""

TURN_SECONDS = 0.0005
"""The time for which listeners are told before other tasks get a turn."""

Listener = Callable[[News], Iterator[None] | None]
"""Is called with each event. It may return an iterator, each step of which does a part of its work."""


class ChainFeed:
    """Calls listeners in the event loop with each event. A listener must not block and must not raise.

    With a full block and thousands of subscriptions, telling all of them takes seconds. So listeners do their work
    in steps of some microseconds, and other tasks get turns between them.
    """

    def __init__(self, backend: EthBackend) -> None:
        self._backend = backend
        self._listeners: dict[object, Listener] = {}
        self._changes: deque[HeadChange] = deque(maxlen=MAX_CHANGES)
        self._pending: deque[SignedTransaction] = deque(maxlen=MAX_PENDING)
        self._arrived = RepeatedEvent()
        self._reported = 0
        self._done = 0
        self._told = trio.Event()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event. Returns a function that unregisters the listener."""
        key = object()
        self._listeners[key] = listener

        def leave() -> None:
            del self._listeners[key]

        return leave

    def publish_pending(self, transactions: Transactions) -> None:
        """Report transactions that have become executable."""
        if transactions:
            self._pending.extend(transactions)
            self._report()

    async def run(self) -> None:
        """Follow the engine's head until cancelled, beginning with the changes since the last run.

        The server can be restarted while the engine goes on: then the pool has missed blocks.
        """
        unregister = self._backend.engine.on_head(self._note)
        try:
            await self._catch_up()
            while True:
                reported = self._reported
                await self._tell_pending()
                for _ in range(len(self._changes)):
                    await self._tell(self._changes.popleft())
                self._done = reported
                self._told.set()
                self._told = trio.Event()
                if self._reported == reported:
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
        """Wait until the pool and the listeners know of everything that has been reported by now."""
        wanted = self._reported
        while self._done < wanted:
            await self._told.wait()

    def _note(self, change: HeadChange) -> None:
        self._changes.append(change)
        self._report()

    def _report(self) -> None:
        self._reported += 1
        self._arrived.set()

    async def _publish(self, news: News) -> None:
        end = time.monotonic() + TURN_SECONDS
        for key, listener in tuple(self._listeners.items()):
            if key not in self._listeners:
                continue  # it has left while others were told
            for _ in listener(news) or ():
                if time.monotonic() >= end:
                    await trio.lowlevel.checkpoint()
                    end = time.monotonic() + TURN_SECONDS
                    if key not in self._listeners:
                        break

    async def _tell_pending(self) -> None:
        if self._pending:
            transactions = tuple(self._pending)
            self._pending.clear()
            await self._publish(PendingNews(transactions))

    async def _tell(self, change: HeadChange) -> None:
        if not change.added and not change.removed:
            return  # only the safe or the finalized block changed
        now = trio.current_time()
        news, executable = await self._backend.read(lambda: self._look_into(change, now))
        await self._publish(news)
        if executable:
            await self._publish(PendingNews(executable))
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
