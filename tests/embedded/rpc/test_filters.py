"""Filters that clients poll, on virtual time."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from alysd.api.jsonrpc import RpcError
from alysd.api.params import Params
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.feed import ChainNews, Listener, News
from alysd.embedded.rpc.filters import FilterMethods, new_id
from alysd.embedded.rpc.requests import LogQuery
from tests.embedded.rpc.news import ANNA, BORIS, OTHER_TOPIC, TOPIC, block, header, log, sent


@attrs.define
class Polled:
    """Filters, whom news is told to, and the log queries that went on to the engine."""

    limits: RpcLimits = attrs.field(factory=RpcLimits)
    tell: Listener = attrs.field(init=False)
    queries: list[LogQuery] = attrs.field(factory=list[LogQuery])
    methods: FilterMethods = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.methods = FilterMethods(self._listen, self._find, self.limits)

    def _listen(self, listener: Listener) -> Callable[[], None]:
        self.tell = listener
        return lambda: None

    async def _find(self, query: LogQuery) -> list[dict[str, Any]]:
        self.queries.append(query)
        return [{"found": True}]

    async def ask(self, method: str, *params: Any) -> Any:
        return await self.methods.table()[method].call(Params(params))


async def changes(of: Polled, name: str, news: News) -> Any:
    of.tell(news)
    return await of.ask("eth_getFilterChanges", name)


async def test_a_block_filter_collects_hashes_until_asked() -> None:
    polled = Polled()
    name = await polled.ask("eth_newBlockFilter")
    polled.tell(block(1))
    polled.tell(sent(b"\x01" * 32))
    assert await changes(polled, name, block(2)) == ["0x" + f"{n:064x}" for n in (1, 2)]
    assert await polled.ask("eth_getFilterChanges", name) == []


async def test_a_pending_filter_collects_hashes_of_transactions() -> None:
    polled = Polled()
    name = await polled.ask("eth_newPendingTransactionFilter")
    polled.tell(block(1))
    assert await changes(polled, name, sent(b"\x01" * 32, b"\x02" * 32)) == ["0x" + "01" * 32, "0x" + "02" * 32]


async def test_a_log_filter_collects_what_its_query_means() -> None:
    polled = Polled()
    query = {"address": "0x" + ANNA.hex(), "topics": ["0x" + TOPIC.hex()]}
    name = await polled.ask("eth_newFilter", query)
    polled.tell(sent(b"\x01" * 32))
    found = await changes(
        polled, name, block(1, log(1, ANNA, TOPIC), log(1, BORIS, TOPIC), log(1, ANNA, OTHER_TOPIC), log(1, ANNA))
    )
    assert [(one["address"], one["topics"], one["removed"]) for one in found] == [
        ("0x" + ANNA.hex(), ["0x" + TOPIC.hex()], False)
    ]


async def test_a_log_filter_says_what_a_reorganisation_took_away() -> None:
    """A wallet that does not hear of it shows a payment that never was."""
    polled = Polled()
    name = await polled.ask("eth_newFilter", {})
    news = ChainNews((header(1),), (header(1),), (log(1, ANNA, TOPIC),), (log(1, ANNA, OTHER_TOPIC),))
    found = await changes(polled, name, news)
    assert [(one["topics"][0][:4], one["removed"]) for one in found] == [("0x01", True), ("0x02", False)]


async def test_all_logs_of_a_filter_s_query_can_be_asked_for() -> None:
    polled = Polled()
    name = await polled.ask("eth_newFilter", {"fromBlock": "0x5"})
    assert await polled.ask("eth_getFilterLogs", name) == [{"found": True}]
    assert [query.first for query in polled.queries] == [5]
    with pytest.raises(RpcError, match="filter not found"):
        await polled.ask("eth_getFilterLogs", await polled.ask("eth_newBlockFilter"))


async def test_an_uninstalled_filter_is_gone() -> None:
    polled = Polled()
    name = await polled.ask("eth_newBlockFilter")
    assert await polled.ask("eth_uninstallFilter", name) is True
    assert await polled.ask("eth_uninstallFilter", name) is False
    with pytest.raises(RpcError, match="filter not found"):
        await polled.ask("eth_getFilterChanges", name)


async def test_a_filter_nobody_asks_for_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    polled = Polled()
    kept, dropped = await polled.ask("eth_newBlockFilter"), await polled.ask("eth_newBlockFilter")
    await trio.sleep(RpcLimits().filter_seconds - 1)
    await polled.ask("eth_getFilterChanges", kept)
    await trio.sleep(2)
    assert await changes(polled, kept, block(1)) == ["0x" + f"{1:064x}"]
    with pytest.raises(RpcError, match="filter not found"):
        await polled.ask("eth_getFilterChanges", dropped)


async def test_a_filter_that_collects_too_much_is_dropped_not_cut() -> None:
    polled = Polled(RpcLimits(filter_changes=3))
    name = await polled.ask("eth_newBlockFilter")
    for number in range(1, 4):
        polled.tell(block(number))
    assert len(await polled.ask("eth_getFilterChanges", name)) == 3
    for number in range(1, 5):
        polled.tell(block(number))
    with pytest.raises(RpcError, match="filter not found"):
        await polled.ask("eth_getFilterChanges", name)


async def test_filters_are_bounded_until_some_expire(autojump_clock: trio.testing.MockClock) -> None:
    polled = Polled(RpcLimits(filters=2))
    for _ in range(2):
        await polled.ask("eth_newBlockFilter")
    with pytest.raises(RpcError, match="too many filters: at most 2 at a time"):
        await polled.ask("eth_newBlockFilter")
    await trio.sleep(RpcLimits().filter_seconds + 1)
    await polled.ask("eth_newBlockFilter")


def test_ids_cannot_be_guessed() -> None:
    names = {new_id() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 34 for name in names)
