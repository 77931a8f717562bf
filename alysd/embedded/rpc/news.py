"""Events of the chain and of the pool, as the feed tells them to filters and subscriptions.

Thousands of subscriptions can get the same event, so what they are shown is made once, and the logs of a block are
found by address and topic instead of compared with each subscription.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import attrs

from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.engine.values import FoundLog
from alysd.embedded.pool.transaction_pool import Transactions
from alysd.embedded.rpc.views import log_view
from alysd.types.execution import ExecutionHeader

SLOW = 64 * 1024
"""The number of bytes of a value from which a thread encodes it."""

_HEADER, _LOG, _TOPIC, _TRANSACTION = 4_096, 1_300, 350, 1_300
"""About the number of bytes that each of these keeps besides its data: as values, in the index, and as JSON.

The data of a log is kept three times, because its JSON is hexadecimal, and the bytes of a transaction four times.
"""

_ADDRESS = -1
"""Stands for the address where otherwise the position of a topic stands."""


@attrs.define(eq=False)
class Shown:
    """Something that clients are shown: a JSON value, which `make` returns."""

    _make: Callable[[], Any]
    _size: int = 0
    """About the number of bytes in the value."""

    _json: bytes | None = None

    @property
    def value(self) -> Any:
        """The JSON value, made anew."""
        return self._make()

    @property
    def slow(self) -> bool:
        """Whether `encode` would take more than a millisecond: then call it in a thread first."""
        return self._json is None and self._size > SLOW

    def encode(self) -> bytes:
        """The encoded value, made once for all clients."""
        if self._json is None:
            self._json = json.dumps(self._make(), separators=(",", ":")).encode()
        return self._json


class NewLogs:
    """The logs of a change of the head: those of removed blocks first, then those of added ones."""

    def __init__(self, removed: Sequence[FoundLog], added: Sequence[FoundLog]) -> None:
        self._logs = [*removed, *added]
        self._removed = len(removed)
        self.size = sum(_LOG + _TOPIC * len(found.log.topics) + 3 * len(found.log.data) for found in self._logs)
        self._shown: dict[int, Shown] = {}
        self._places: dict[tuple[int, bytes], list[int]] = {}
        for place, found in enumerate(self._logs):
            self._places.setdefault((_ADDRESS, found.log.address), []).append(place)
            for position, topic in enumerate(found.log.topics):
                self._places.setdefault((position, topic), []).append(place)

    def matching(self, wanted: LogFilter) -> Iterator[Shown | None]:
        """The matching logs in order, and None for each other log that had to be compared.

        A block can have 70,000 logs. Each is shown when it is asked for, so that a client that gets too many of
        them is left before the others are shown.
        """
        for place in self._candidates(wanted):
            if not wanted.matches(self._logs[place].log):
                yield None
                continue
            shown = self._shown.get(place)
            if shown is None:
                make = partial(log_view, self._logs[place], removed=place < self._removed)
                shown = self._shown[place] = Shown(make, len(self._logs[place].log.data))
            yield shown

    def _candidates(self, wanted: LogFilter) -> Sequence[int]:
        """The places of the logs that fulfil the condition which the fewest fulfil."""
        conditions = [[(_ADDRESS, address) for address in wanted.addresses]] if wanted.addresses else []
        conditions += [
            [(position, topic) for topic in topics]
            for position, topics in enumerate(wanted.topics)
            if topics is not None
        ]
        if not conditions:
            return range(len(self._logs))
        found = [[self._places.get(key, ()) for key in keys] for keys in conditions]
        return sorted(chain.from_iterable(min(found, key=lambda places: sum(map(len, places)))))


@attrs.frozen
class ChainNews:
    """A new head: the removed blocks (newest first), the added blocks (oldest first), and their logs.

    Making it takes a microsecond for each log.
    """

    removed: tuple[ExecutionHeader, ...] = ()
    added: tuple[ExecutionHeader, ...] = ()
    removed_logs: tuple[FoundLog, ...] = ()
    added_logs: tuple[FoundLog, ...] = ()
    logs: NewLogs = attrs.field(
        init=False,
        eq=False,
        default=attrs.Factory(lambda self: NewLogs(self.removed_logs, self.added_logs), takes_self=True),
    )
    size: int = attrs.field(
        init=False,
        eq=False,
        default=attrs.Factory(
            lambda self: _HEADER * (len(self.removed) + len(self.added)) + self.logs.size, takes_self=True
        ),
    )
    """About the number of bytes that the event keeps."""

    _once: dict[str, Sequence[Shown]] = attrs.field(init=False, eq=False, factory=dict[str, Sequence[Shown]])

    def heads(self, name: str, show: Callable[[ExecutionHeader], Any]) -> Sequence[Shown]:
        """The added blocks as `show` shows them; `name` stands for it."""
        if name not in self._once:
            self._once[name] = [Shown(partial(show, header)) for header in self.added]
        return self._once[name]


@attrs.frozen
class PendingNews:
    """Transactions that have become executable in the pool."""

    transactions: Transactions
    size: int = attrs.field(
        init=False,
        eq=False,
        default=attrs.Factory(
            lambda self: sum(_TRANSACTION + 4 * len(one.raw) for one in self.transactions), takes_self=True
        ),
    )
    """About the number of bytes that the event keeps."""

    _once: dict[str, Sequence[Shown]] = attrs.field(init=False, eq=False, factory=dict[str, Sequence[Shown]])

    def shown(self, name: str, show: Callable[[Any], Any]) -> Sequence[Shown]:
        """The transactions as `show` shows them; `name` stands for it."""
        if name not in self._once:
            self._once[name] = [
                Shown(partial(show, transaction), len(transaction.raw)) for transaction in self.transactions
            ]
        return self._once[name]


News = ChainNews | PendingNews
