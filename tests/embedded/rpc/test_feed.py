"""The feed: the pool follows the head, and listeners hear of it in order."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from alysd.embedded.rpc import feed as feed_module
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.feed import ChainFeed, Listener
from alysd.embedded.rpc.news import ChainNews, News, PendingNews
from tests.embedded.rpc.chain import BOX, NOBODY, RICH, EthChain, eth_chain
from tests.embedded.rpc.news import transaction


def record(chain: EthChain) -> list[News]:
    heard: list[News] = []
    chain.feed.listen(heard.append)
    return heard


async def test_a_block_is_news_and_its_transactions_leave_the_pool(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=NOBODY)
        heard = record(chain)
        block = await chain.mine()
        assert [[header.hash for header in news.added] for news in heard if isinstance(news, ChainNews)] == [
            [block]
        ]
        assert chain.pool.counts() == (0, 0)


async def test_a_transaction_is_news_when_it_becomes_executable(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        heard = record(chain)
        await chain.send(to=NOBODY, nonce=1)
        await chain.feed.caught_up()
        assert heard == []
        await chain.send(to=NOBODY, nonce=0)
        await chain.feed.caught_up()
        (news,) = heard
        assert isinstance(news, PendingNews)
        assert [one.nonce for one in news.transactions] == [0, 1]


async def test_logs_come_with_their_block(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(data=BOX["bytecode"] + f"{5:064x}", gas=500_000, value=0)
        await chain.mine()
        box = (await chain.rpc("eth_getTransactionReceipt", sent))["contractAddress"]
        heard = record(chain)
        data = "0x64371977" + f"{9:064x}{64:064x}{0:064x}"
        await chain.send(nonce=1, to=box, data=data, gas=200_000, value=0)
        await chain.mine()
        logs = [log for news in heard if isinstance(news, ChainNews) for log in news.added_logs]
        assert [log.log.address.hex() for log in logs] == [box[2:]]


async def test_a_feed_that_starts_again_catches_up_with_the_chain(tmp_path: Path) -> None:
    """While the server was down, the pool lost the payments of removed blocks and kept those of new ones."""
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=NOBODY)
        await chain.mine()
        genesis = await chain.engine.genesis_hash()
        chain.stop_feed()
        await chain.engine.set_forkchoice(genesis, genesis, genesis)
        assert chain.pool.counts() == (0, 0)
        async with trio.open_nursery() as nursery:
            feed = ChainFeed(EthBackend(chain.engine, chain.pool))
            heard: list[News] = []
            feed.listen(heard.append)
            nursery.start_soon(feed.run)
            with trio.fail_after(30):
                while not heard:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        assert chain.pool.counts() == (1, 0)
        other = await chain.build()
        assert chain.pool.counts() == (1, 0)
        await chain.engine.set_forkchoice(other, genesis, genesis)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ChainFeed(EthBackend(chain.engine, chain.pool)).run)
            with trio.fail_after(30):
                while chain.pool.counts() != (0, 0):
                    await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        assert (await chain.rpc("eth_getTransactionByHash", sent))["blockNumber"] == "0x1"


async def test_a_reorganisation_brings_transactions_back(tmp_path: Path) -> None:
    """A payment in an abandoned block must be in the next one without its sender doing anything."""
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=NOBODY)
        abandoned = await chain.mine()
        heard = record(chain)
        await chain.engine.set_forkchoice(*[await chain.engine.genesis_hash()] * 3)
        with trio.fail_after(30):
            while len(heard) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
        gone, back = heard
        assert isinstance(gone, ChainNews)
        assert isinstance(back, PendingNews)
        assert [header.hash for header in gone.removed] == [abandoned]
        assert ["0x" + one.hash.hex() for one in back.transactions] == [sent]
        await chain.mine()
        assert (await chain.rpc("eth_getTransactionByHash", sent))["blockNumber"] == "0x1"


async def test_finality_alone_is_no_news(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        block = await chain.mine()
        heard = record(chain)
        await chain.engine.set_forkchoice(block, block, block)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert heard == []


async def test_a_listener_can_leave(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        heard: list[News] = []
        leave = chain.feed.listen(heard.append)
        await chain.mine()
        leave()
        await chain.mine()
        assert len(heard) == 1


async def test_other_tasks_have_turns_while_listeners_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand subscriptions to logs and a full block held up every other task for half a second."""
    monkeypatch.setattr(feed_module, "TURN_SECONDS", 0.0)
    async with eth_chain(tmp_path) as chain:
        events: list[str] = []

        def listener(name: str) -> Listener:
            def steps(news: News) -> Iterator[None]:
                if isinstance(news, ChainNews):
                    for step in range(3):
                        events.append(f"{name}{step}")
                        yield

            return steps

        async def other() -> None:
            while True:
                events.append("other")
                await trio.lowlevel.checkpoint()

        chain.feed.listen(listener("a"))
        chain.feed.listen(listener("b"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await chain.mine()
            nursery.cancel_scope.cancel()
        told = [event for event in events if event != "other"]
        assert told == ["a0", "a1", "a2", "b0", "b1", "b2"]
        between = events[events.index("a0") : events.index("b2")].count("other")
        assert between >= 4, "there are five turns, and the order of tasks in a turn is random"


async def test_a_listener_that_leaves_while_it_is_told_hears_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "TURN_SECONDS", 0.0)
    async with eth_chain(tmp_path) as chain:
        heard: list[str] = []

        def first(_news: News) -> Iterator[None]:
            heard.append("first")
            leave()
            leave_second()
            yield
            heard.append("more")

        def second(_news: News) -> None:
            heard.append("second")

        leave, leave_second = chain.feed.listen(first), chain.feed.listen(second)
        await chain.mine()
        assert heard == ["first"]


async def test_more_transactions_than_are_kept_cost_only_the_oldest_notifications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MAX_PENDING", 2)
    async with eth_chain(tmp_path) as chain:
        heard = record(chain)
        transactions = [transaction(hash=bytes((n,)) * 32) for n in range(3)]
        chain.feed.publish_pending(transactions[:1])
        chain.feed.publish_pending(transactions[1:])
        await chain.feed.caught_up()
        assert heard == [PendingNews(tuple(transactions[1:]))]


async def test_who_pays_too_little_waits_for_the_base_fee(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        fee = 3 * 10**8
        sent = await chain.send(RICH, to=NOBODY, maxFeePerGas=fee, maxPriorityFeePerGas=10**6)
        await chain.mine()
        assert chain.pool.counts() == (1, 0)
        while chain.engine.reader.next_base_fee(chain.engine.reader.head()) > fee:
            await chain.mine()
        await chain.mine()
        assert (await chain.rpc("eth_getTransactionReceipt", sent))["status"] == "0x1"
