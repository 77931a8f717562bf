"""eth_getLogs, over HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import trio
import trio.testing
from eth_utils.crypto import keccak

from alysd.api.jsonrpc import Params, RpcError
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.feed import Listener
from alysd.embedded.rpc.log_methods import FilterMethods, LogMethods, new_id
from alysd.embedded.rpc.news import ChainNews, News
from alysd.embedded.rpc.requests import LogQuery
from tests.embedded.rpc.chain import NOBODY, EthChain, RpcFailure, box, eth_chain, selector
from tests.embedded.rpc.news import ANNA, BORIS, OTHER_TOPIC, TOPIC, block, header, log, sent

T = TypeVar("T")

CHANGED = "0x" + keccak(text="Changed(address,uint256,string)").hex()


async def changed_box(chain: EthChain, numbers: list[int]) -> str:
    """Put a box into the chain and change it, a block each time; the changes are in blocks 2, 3, …"""
    to = await box(chain)
    for nonce, number in enumerate(numbers, start=1):
        data = selector("set(uint256,string)") + f"{number:064x}{64:064x}{0:064x}"
        await chain.send(nonce=nonce, to=to, data=data, gas=200_000, value=0)
        await chain.mine()
    return to


def values(found: list[dict[str, Any]]) -> list[int]:
    return [int(log["topics"][2], 16) for log in found]


async def test_logs_are_found_by_range_address_and_topics(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await changed_box(chain, [7, 8, 7])

        async def found(**query: Any) -> list[int]:
            return values(await chain.rpc("eth_getLogs", query))

        assert await found() == [7]
        assert await found(fromBlock="earliest", toBlock="latest") == [7, 8, 7]
        assert await found(fromBlock="0x3", toBlock="0x3") == [8]
        assert await found(fromBlock="0x0", address=to) == [7, 8, 7]
        assert await found(fromBlock="0x0", address="0x" + "12" * 20) == []
        seven = "0x" + f"{7:064x}"
        assert await found(fromBlock="0x0", topics=[CHANGED, None, seven]) == [7, 7]
        assert await found(fromBlock="0x0", topics=[[CHANGED, seven], [], [seven, "0x" + f"{8:064x}"]]) == [
            7,
            8,
            7,
        ]
        assert await found(fromBlock="0x0", topics=[seven]) == []
        head = await chain.rpc("eth_getBlockByNumber", "latest", False)
        assert await found(blockHash=head["hash"]) == [7]


async def test_a_search_without_result_needs_no_thread_once_the_filters_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change to a thread and back is nine tenths of the time of such an answer, and tools poll."""
    async with eth_chain(tmp_path) as chain:
        to = await changed_box(chain, [7, 8])
        backend = EthBackend(chain.engine, chain.pool)
        methods, search, searches = LogMethods(backend), backend.search, 0

        async def counting(work: Callable[[], T]) -> T:
            nonlocal searches
            searches += 1
            return await search(work)

        monkeypatch.setattr(backend, "search", counting)

        async def found(**query: Any) -> list[int]:
            return values(await methods.logs(Params(({"fromBlock": "earliest", **query},))))

        assert await found(address=NOBODY) == []
        assert searches == 1
        assert await found(address=NOBODY) == await found(address=to, toBlock="0x1") == []
        assert searches == 1
        assert await found(address=to) == [7, 8]
        assert searches == 2
        await chain.mine()
        assert await found(address=NOBODY) == []
        assert searches == 3, "a new block has to be read"
        assert await found(address=NOBODY) == []
        assert searches == 3


NOT_FOUND: list[tuple[dict[str, Any], str]] = [
    ({"fromBlock": "0x1", "toBlock": "0x0"}, "-32602: invalid block range params"),
    ({"fromBlock": "0x0", "toBlock": "0x5"}, "-32602: block range extends beyond current head block"),
    ({"fromBlock": "pending"}, "-32602: pending logs are not supported"),
    ({"blockHash": "0x" + "12" * 32}, "-32000: unknown block"),
    ({"topics": "0x12"}, "-32602: params[0]: topics: must be an array, got a string"),
]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"fromBlock": "0x5", "toBlock": "0x1"}, "-32602: invalid block range params"),
        ({"fromBlock": "latest", "toBlock": "0x1"}, "-32602: invalid block range params"),
        ({"toBlock": "earliest"}, "-32602: invalid block range params"),
        ({"toBlock": "pending"}, "-32602: pending logs are not supported"),
    ],
)
async def test_no_filter_collects_a_range_that_ends_before_it_begins(
    tmp_path: Path, query: dict[str, Any], words: str
) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure) as caught:
            await chain.rpc("eth_newFilter", query)
        assert str(caught.value) == words
        for right in (
            {"fromBlock": "earliest", "toBlock": "0x0"},
            {"fromBlock": "finalized"},
            {"toBlock": "safe"},
        ):
            assert await chain.rpc("eth_newFilter", right)


async def test_what_cannot_be_found_is_said(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.mine()
        for query, words in NOT_FOUND:
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc("eth_getLogs", query)
            assert str(caught.value) == words


async def test_a_query_is_bounded_in_blocks_and_in_results(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, RpcLimits(logs=1, log_blocks=4)) as chain:
        await changed_box(chain, [1, 2])
        with pytest.raises(RpcFailure, match=r"^-32005: query returned more than 1 results: ask for fewer"):
            await chain.rpc("eth_getLogs", {"fromBlock": "0x0"})
        await chain.mine()
        with pytest.raises(RpcFailure, match=r"^-32602: exceed maximum block range 4$"):
            await chain.rpc("eth_getLogs", {"fromBlock": "0x0"})


async def test_the_logs_of_one_block_are_bounded(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, RpcLimits(logs=0)) as chain:
        await changed_box(chain, [1])
        block_hash = (await chain.rpc("eth_getBlockByNumber", "latest", False))["hash"]
        with pytest.raises(RpcFailure, match=r"^-32005: query returned more than 0 results"):
            await chain.rpc("eth_getLogs", {"blockHash": block_hash})


@attrs.define
class Polled:
    """Filters, whom news is told to, and the log queries that went on to the engine."""

    limits: RpcLimits = attrs.field(factory=RpcLimits)
    listener: Listener = attrs.field(init=False)
    queries: list[LogQuery] = attrs.field(factory=list[LogQuery])
    searches: int = 0
    methods: FilterMethods = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.methods = FilterMethods(self._listen, self._find, self.limits, trio.lowlevel.checkpoint, self._search)

    def _listen(self, listener: Listener) -> Callable[[], None]:
        self.listener = listener
        return lambda: None

    async def _find(self, query: LogQuery) -> list[dict[str, Any]]:
        self.queries.append(query)
        return [{"found": True}]

    async def _search(self, work: Callable[[], list[Any]]) -> list[Any]:
        self.searches += 1
        return await trio.to_thread.run_sync(work)

    def tell(self, news: News) -> int:
        """Tell the filters, and return the steps that they took."""
        return sum(1 for _ in self.listener(news) or ())

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


async def test_a_filter_that_collects_too_much_costs_only_its_limit() -> None:
    """256 filters of a block with 70,000 logs would take gigabytes before they are dropped."""
    client = Polled(RpcLimits(filter_changes=2))
    name = await client.ask("eth_newFilter", {})
    assert client.tell(block(1, *[log(1)] * 100)) == 2
    with pytest.raises(RpcError, match="filter not found"):
        await client.ask("eth_getFilterChanges", name)


async def test_many_changes_are_shown_by_a_thread() -> None:
    """10,000 logs take 30 ms."""
    client = Polled()
    name = await client.ask("eth_newFilter", {})
    client.tell(block(1, *[log(number) for number in range(1, 151)]))
    assert [one["blockNumber"] for one in await client.ask("eth_getFilterChanges", name)] == [
        hex(number) for number in range(1, 151)
    ]
    assert client.searches == 1, "within the limit of the threads that show logs"
    assert await client.ask("eth_getFilterChanges", name) == []


async def test_a_poll_waits_for_what_has_been_reported(tmp_path: Path) -> None:
    """A client that has sent a transaction finds its hash in the filter, as on geth."""
    async with eth_chain(tmp_path) as chain:
        name = await chain.rpc("eth_newPendingTransactionFilter")
        for nonce in range(5):
            sent_hash = await chain.send(nonce=nonce, to=NOBODY)
            assert await chain.rpc("eth_getFilterChanges", name) == [sent_hash]


async def test_filters_are_bounded_until_some_expire(autojump_clock: trio.testing.MockClock) -> None:
    polled = Polled(RpcLimits(filters=2))
    for _ in range(2):
        await polled.ask("eth_newBlockFilter")
    with pytest.raises(RpcError, match="too many filters: at most 2 at a time"):
        await polled.ask("eth_newBlockFilter")
    await trio.sleep(RpcLimits().filter_seconds + 1)
    await polled.ask("eth_newBlockFilter")


def test_ids_cannot_be_guessed() -> None:
    names = {new_id() for _ in range(1000)}
    assert len(names) == 1000
    assert all(int(name, 16) > 2**64 for name in names)


def test_ids_are_quantities() -> None:
    """The specification's are; one of sixteen ids had a leading zero, which a strict client refuses."""
    assert all(new_id()[2] != "0" for _ in range(1000))
