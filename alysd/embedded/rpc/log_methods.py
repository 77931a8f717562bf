"""eth_getLogs, and filters that a client polls (eth_newFilter, eth_getFilterChanges and others).

A filter is dropped when it is not polled for five minutes or collects too much. Its client then gets "filter not
found" and can create a new one and read the missed logs with eth_getLogs. So no log is lost silently.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import attrs
import trio

from alysd.api.hex_values import text, to_data, to_quantity
from alysd.api.jsonrpc import INVALID_PARAMS, SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.log_filter import LogFilter, TooManyLogs
from alysd.embedded.engine.values import FoundLog
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.feed import Listener
from alysd.embedded.rpc.news import ChainNews, News, Shown
from alysd.embedded.rpc.requests import LogQuery, log_query
from alysd.embedded.rpc.views import View, log_view
from alysd.types.hashes import PayloadHash

LIMIT_EXCEEDED = -32005
"""Error code of a query that exceeds a limit (EIP-1474)."""

_SHOWN_IN_PLACE = 100
"""The number of items that are shown in the event loop, which takes half a millisecond. A thread shows more."""


@attrs.frozen
class LogMethods:
    """eth_getLogs, limited in blocks and in results."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {"eth_getLogs": Method(self.logs, 1, large=True)}

    async def logs(self, params: Params) -> list[View]:
        """The logs of a block, or of a range of canonical blocks."""
        return await self.find(await params.decoded(_query))

    async def find(self, query: LogQuery) -> list[View]:
        """The logs that match a query. Raises `RpcError` for unknown blocks, too many blocks or too many logs.

        Tools poll, and usually there is nothing new. If that is certain from the bloom filters in memory, it is
        answered in the event loop, which costs a tenth of the time of a search in a thread.
        """
        at = query.at
        if at is not None:
            return await self.backend.search(lambda: [log_view(log) for log in self._of_block(at, query.wanted)])
        first, last = self._range(query)
        if self.backend.engine.reader.has_no_logs(first, last, query.wanted):
            return []
        return await self.backend.search(
            lambda: [log_view(log) for log in self._of_range(first, last, query.wanted)]
        )

    def _of_block(self, at: PayloadHash, wanted: LogFilter) -> list[FoundLog]:
        reader = self.backend.engine.reader
        header = reader.header(at)
        if header is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return self._limited(reader.logs_of(header, wanted))

    def _of_range(self, first: int, last: int, wanted: LogFilter) -> list[FoundLog]:
        try:
            return self.backend.engine.reader.logs(first, last, wanted, self.backend.limits.logs)
        except TooManyLogs as error:
            raise RpcError(LIMIT_EXCEEDED, str(error)) from error

    def _limited(self, found: list[FoundLog]) -> list[FoundLog]:
        """The logs of one block. Raises `RpcError` if they are too many."""
        most = self.backend.limits.logs
        if len(found) > most:
            raise RpcError(LIMIT_EXCEEDED, str(TooManyLogs(most)))
        return found

    def _range(self, query: LogQuery) -> tuple[int, int]:
        """Return the numbers of the first and the last block. Raises `RpcError` if the range is not allowed."""
        if "pending" in (query.first, query.last):
            raise RpcError(INVALID_PARAMS, "pending logs are not supported")
        head = self.backend.engine.reader.head().number
        first, last = self._number(query.first), self._number(query.last)
        if first > last:
            raise RpcError(INVALID_PARAMS, "invalid block range params")
        if last > head:
            raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
        most = self.backend.limits.log_blocks
        if last - first >= most:
            raise RpcError(INVALID_PARAMS, f"exceed maximum block range {most}")
        return first, last

    def _number(self, reference: str | int) -> int:
        """The number of a block. It needs no read of the database, so the event loop may call this."""
        if reference == "earliest":
            return 0
        return reference if isinstance(reference, int) else self.backend.state_at(reference).number


def check_new_logs(query: LogQuery) -> None:
    """Raise `RpcError` for a query of new logs, a filter or a subscription, whose range ends before it begins."""
    if "pending" in (query.first, query.last):
        raise RpcError(INVALID_PARAMS, "pending logs are not supported")
    first, last = (0 if at == "earliest" else at for at in (query.first, query.last))
    ended = isinstance(last, int) and (first == "latest" or (isinstance(first, int) and first > last))
    if ended:
        raise RpcError(INVALID_PARAMS, "invalid block range params")


@attrs.define
class _Filter:
    """A filter, with the items that it has collected in `found`. `query` is None unless it collects logs."""

    collect: Callable[[News], Iterable[Shown | None]]
    query: LogQuery | None
    asked: float
    found: list[Shown] = attrs.field(factory=list[Shown])


class FilterMethods:
    """The filters of all clients. Ids are random, so a client cannot read another's filter."""

    def __init__(
        self,
        listen: Callable[[Listener], object],
        find_logs: Callable[[LogQuery], Awaitable[list[View]]],
        limits: RpcLimits,
        caught_up: Callable[[], Awaitable[None]],
        search: Callable[[Callable[[], list[Any]]], Awaitable[list[Any]]],
    ) -> None:
        """`caught_up` waits until the filters have collected everything that has been reported.

        `search` runs a function that shows many logs in a worker thread, as `EthBackend.search`.
        """
        self._search = search
        self._limits = limits
        self._caught_up = caught_up
        self._find_logs = find_logs
        self._filters: dict[str, _Filter] = {}
        listen(self._collect)

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_newFilter": Method(self.new_log_filter, 1),
            "eth_newBlockFilter": Method(self.new_block_filter),
            "eth_newPendingTransactionFilter": Method(self.new_pending_filter, 1),
            "eth_getFilterChanges": Method(self.changes, 1, large=True),
            "eth_getFilterLogs": Method(self.all_logs, 1, large=True),
            "eth_uninstallFilter": Method(self.uninstall, 1),
        }

    async def new_log_filter(self, params: Params) -> str:
        """Collect the logs of new blocks from now on. The query's range applies only to eth_getFilterLogs."""
        query = await params.decoded(_query)
        check_new_logs(query)
        return self._add(lambda news: new_logs(query, news), query)

    async def new_block_filter(self, _params: Params) -> str:
        """Collect the hashes of new blocks from now on."""
        return self._add(new_block_hashes)

    async def new_pending_filter(self, _params: Params) -> str:
        """Collect the hashes of transactions that become executable from now on."""
        return self._add(new_pending_hashes)

    async def changes(self, params: Params) -> list[Any]:
        """The items collected since the last poll."""
        name = params.required(0, text)
        self._get(name)
        await self._caught_up()
        filter_ = self._get(name)
        found, filter_.found = filter_.found, []
        if len(found) <= _SHOWN_IN_PLACE:
            return [one.value for one in found]
        return await self._search(lambda: [one.value for one in found])

    async def all_logs(self, params: Params) -> list[View]:
        """All logs that match a log filter's query, as in eth_getLogs."""
        query = self._get(params.required(0, text)).query
        if query is None:
            raise RpcError(SERVER_ERROR, "filter not found")
        return await self._find_logs(query)

    async def uninstall(self, params: Params) -> bool:
        """Drop a filter; false if it does not exist."""
        return self._filters.pop(params.required(0, text), None) is not None

    def _add(self, collect: Callable[[News], Iterable[Shown | None]], query: LogQuery | None = None) -> str:
        self._expire()
        if len(self._filters) >= self._limits.filters:
            raise RpcError(LIMIT_EXCEEDED, f"too many filters: at most {self._limits.filters} at a time")
        name = new_id()
        self._filters[name] = _Filter(collect, query, trio.current_time())
        return name

    def _get(self, name: str) -> _Filter:
        self._expire()
        filter_ = self._filters.get(name)
        if filter_ is None:
            raise RpcError(SERVER_ERROR, "filter not found")
        filter_.asked = trio.current_time()
        return filter_

    def _expire(self) -> None:
        oldest = trio.current_time() - self._limits.filter_seconds
        for name in [name for name, filter_ in self._filters.items() if filter_.asked < oldest]:
            del self._filters[name]

    def _collect(self, news: News) -> Iterator[None]:
        self._expire()
        for name, filter_ in tuple(self._filters.items()):
            for shown in filter_.collect(news):
                if shown is not None:
                    filter_.found.append(shown)
                    if len(filter_.found) > self._limits.filter_changes:
                        self._filters.pop(name, None)
                        break
                yield


def _query(params: Params) -> LogQuery:
    return params.required(0, log_query)


def new_id() -> str:
    """A random id for a filter or a subscription: a quantity, so without leading zeros, as in geth."""
    return to_quantity(secrets.randbits(128))


def new_logs(query: LogQuery, news: News) -> Iterable[Shown | None]:
    """The logs in `news` that match a query, first removed ones, and None for others that had to be compared."""
    return news.logs.matching(query.wanted) if isinstance(news, ChainNews) else ()


def new_block_hashes(news: News) -> Iterable[Shown]:
    """The hashes of new blocks in `news`."""
    return news.heads("hash", lambda header: to_data(header.hash)) if isinstance(news, ChainNews) else ()


def new_pending_hashes(news: News) -> Iterable[Shown]:
    """The hashes of transactions in `news` that have become executable."""
    return () if isinstance(news, ChainNews) else news.shown("hash", lambda one: to_data(one.hash))
