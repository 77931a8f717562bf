"""eth_subscribe and eth_unsubscribe on one WebSocket connection."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

import attrs

from alysd.api.hex_values import boolean, text
from alysd.api.jsonrpc import METHOD_NOT_FOUND, Method, Params, RpcError
from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.rpc.log_methods import LIMIT_EXCEEDED, check_new_logs, new_id, new_logs, new_pending_hashes
from alysd.embedded.rpc.news import ChainNews, News, Shown
from alysd.embedded.rpc.requests import LogQuery, log_query
from alysd.embedded.rpc.views import View, header_view, transaction_view
from alysd.types.execution import ExecutionHeader

EVERYTHING = LogQuery(LogFilter())

_LATER_FORKS: View = dict.fromkeys(("requestsHash", "blockAccessListHash", "slotNumber"))
"""The fields of a head for which this fork has no value. geth shows them in `newHeads`, and only there."""

_Show = Callable[[News], Iterable[Shown | None]]


@attrs.define
class Subscriptions:
    """The subscriptions of one client, at most `most`."""

    most: int
    _running: dict[str, _Show] = attrs.field(factory=dict[str, _Show])
    _starting: dict[str, _Show] = attrs.field(factory=dict[str, _Show])

    @contextmanager
    def opening(self) -> Generator["Opening"]:
        """The subscriptions that one message opens. Those that have not begun at the end are forgotten."""
        opening = Opening(self)
        try:
            yield opening
        finally:
            for name in opening.names:
                self._starting.pop(name, None)

    def open(self, show: _Show) -> str:
        """Add a subscription that has no notifications until `begin`. Returns its id."""
        if len(self._running) + len(self._starting) >= self.most:
            words = f"too many subscriptions: at most {self.most} per connection"
            raise RpcError(LIMIT_EXCEEDED, words)
        name = new_id()
        self._starting[name] = show
        return name

    def begin(self, names: Iterable[str]) -> None:
        """Begin to notify."""
        for name in names:
            if name in self._starting:
                self._running[name] = self._starting.pop(name)

    def end(self, name: str) -> bool:
        """End a subscription; false if it does not exist."""
        return (self._running.pop(name, None) or self._starting.pop(name, None)) is not None

    def notifications(self, news: News) -> "Iterator[Notification | None] | None":
        """The notifications for `news`, each made when it is needed: there can be millions.

        Without a subscription to such news, the result is None. None in it stands for a step without a
        notification. Each step takes some microseconds.
        """
        items = [(name, shown) for name, show in self._running.items() if (shown := show(news)) != ()]
        return self._each(items) if items else None

    def _each(self, items: "list[tuple[str, Iterable[Shown | None]]]") -> "Iterator[Notification | None]":
        for name, several in items:
            yield None
            for shown in several:
                if name not in self._running:
                    break  # it has ended between two steps
                yield None if shown is None else Notification(name, shown)


@attrs.frozen
class Notification:
    """A message to one subscription. Only the id differs between subscriptions to the same item."""

    subscription: str
    shown: Shown

    @property
    def json(self) -> bytes:
        """The encoded message."""
        head = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"'
        return b'%b%b","result":%b}}' % (head, self.subscription.encode(), self.shown.encode())


@attrs.define
class Opening:
    """The subscriptions that one message opens: a request, or the requests of a batch.

    They get no notifications until `begin`, which must be called after the answer with their ids has been queued.
    """

    _all: Subscriptions
    names: list[str] = attrs.field(factory=list[str])

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_subscribe": Method(self.subscribe, 2),
            "eth_unsubscribe": Method(self.unsubscribe, 1),
        }

    async def subscribe(self, params: Params) -> str:
        """Subscribe to `newHeads`, `logs`, `newPendingTransactions` or `syncing`; returns the id."""
        self.names.append(self._all.open(await params.decoded(_show)))
        return self.names[-1]

    async def unsubscribe(self, params: Params) -> bool:
        """End a subscription; false if it does not exist."""
        return self._all.end(params.required(0, text))

    def begin(self) -> None:
        """Start the new subscriptions, now that their ids are queued for the client."""
        self._all.begin(self.names)


def _show(params: Params) -> _Show:
    """Return the function that selects a subscription's items from `News`.

    Raises `RpcError` for an unknown name.
    """
    wanted = params.required(0, text)
    if wanted == "newHeads":
        return _new_heads
    if wanted == "logs":
        query = params.optional(1, log_query, EVERYTHING)
        check_new_logs(query)
        return lambda news: new_logs(query, news)
    if wanted == "syncing":
        return _nothing
    if wanted == "newPendingTransactions":
        whole = params.optional(1, boolean, default=False)
        return _new_pending if whole else new_pending_hashes
    raise RpcError(METHOD_NOT_FOUND, f'no "{wanted[:64]}" subscription in eth namespace')


def _new_heads(news: News) -> Iterable[Shown]:
    return news.heads("view", _head_view) if isinstance(news, ChainNews) else ()


def _head_view(header: ExecutionHeader) -> View:
    return header_view(header) | _LATER_FORKS


def _nothing(_news: News) -> Iterable[Shown]:
    """The engine does not sync by itself, and geth reports only the beginning and the end of a sync."""
    return ()


def _new_pending(news: News) -> Iterable[Shown]:
    return () if isinstance(news, ChainNews) else news.shown("view", transaction_view)
