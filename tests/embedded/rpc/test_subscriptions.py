"""The subscriptions of one WebSocket client."""

import json
from typing import Any

import pytest

from alysd.api.jsonrpc import InvalidParams, Params, RpcError
from alysd.embedded.engine.values import FoundLog
from alysd.embedded.rpc import news as news_module
from alysd.embedded.rpc.news import ChainNews, News
from alysd.embedded.rpc.subscriptions import Subscriptions
from tests.embedded.rpc.news import ANNA, BORIS, OTHER_TOPIC, TOPIC, block, header, log, sent


async def subscribed(to: Subscriptions, *params: Any) -> str:
    """Subscribe, and begin as the connection does once the id is on its way."""
    with to.opening() as opening:
        name = await opening.subscribe(Params(params))
        opening.begin()
    return name


def told(of: Subscriptions, news: News) -> list[tuple[str, Any]]:
    found = [json.loads(one.json) for one in of.notifications(news) or () if one is not None]
    assert all(one["jsonrpc"] == "2.0" and one["method"] == "eth_subscription" for one in found)
    return [(one["params"]["subscription"], one["params"]["result"]) for one in found]


async def test_new_heads_are_told_as_headers() -> None:
    client = Subscriptions(64)
    name = await subscribed(client, "newHeads")
    (found, result), *others = told(client, block(5))
    assert (found, result["number"], result["parentHash"][-1], others) == (name, "0x5", "4", [])
    assert "transactions" not in result
    assert result["requestsHash"] is None  # as geth shows a head of Cancun
    assert told(client, sent(b"\x01" * 32)) == []


async def test_a_reorganisation_tells_all_heads_of_the_new_branch() -> None:
    client = Subscriptions(64)
    await subscribed(client, "newHeads")
    news = ChainNews(removed=(header(2),), added=(header(2), header(3)))
    assert [result["number"] for _, result in told(client, news)] == ["0x2", "0x3"]


async def test_logs_are_told_by_query_removed_ones_first() -> None:
    client = Subscriptions(64)
    await subscribed(client, "logs", {"address": "0x" + ANNA.hex()})
    news = ChainNews(
        removed=(header(1),),
        added=(header(1),),
        removed_logs=(log(1, ANNA, TOPIC), log(1, BORIS, TOPIC)),
        added_logs=(log(1, ANNA, OTHER_TOPIC),),
    )
    assert [(result["topics"][0][:4], result["removed"]) for _, result in told(client, news)] == [
        ("0x01", True),
        ("0x02", False),
    ]


async def test_a_client_that_gets_too_much_costs_only_what_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 subscriptions to a block with 70,000 logs would take the event loop for minutes, and gigabytes."""
    shown: list[FoundLog] = []

    def show(found: FoundLog, *, removed: bool = False) -> dict[str, Any]:
        shown.append(found)
        return {"removed": removed}

    monkeypatch.setattr(news_module, "log_view", show)
    client = Subscriptions(64)
    for _ in range(3):
        await subscribed(client, "logs")
    notifications = client.notifications(block(1, *[log(1)] * 100))
    assert notifications is not None
    assert next(notifications) is None
    first = next(notifications)
    assert first is not None
    assert json.loads(first.json)["params"]["result"] == {"removed": False}
    assert len(shown) == 1


async def test_what_many_get_is_made_and_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[FoundLog] = []

    def show(found: FoundLog, *, removed: bool = False) -> dict[str, Any]:
        shown.append(found)
        return {"removed": removed}

    monkeypatch.setattr(news_module, "log_view", show)
    news = block(1, log(1, ANNA), log(1, BORIS))
    for _ in range(3):
        client = Subscriptions(64)
        await subscribed(client, "logs", {"address": "0x" + BORIS.hex()})
        await subscribed(client, "newHeads")
        assert len(told(client, news)) == 2
    assert shown == [news.added_logs[1]]


async def test_a_subscription_that_ends_while_it_is_told_hears_no_more() -> None:
    """Other tasks have turns between two notifications."""
    client = Subscriptions(64)
    name = await subscribed(client, "logs")
    other = await subscribed(client, "newHeads")
    notifications = client.notifications(block(1, *[log(1)] * 100))
    assert notifications is not None
    assert next(notifications) is None
    first = next(notifications)
    assert first is not None
    assert first.subscription == name
    client.end(name)
    (last,) = [one for one in notifications if one is not None]
    assert last.subscription == other


async def test_a_subscription_is_not_told_of_what_was_before_it() -> None:
    """The notifications are made when the client can receive them, and it may have subscribed meanwhile."""
    client = Subscriptions(64)
    name = await subscribed(client, "newHeads")
    notifications = client.notifications(block(1))
    await subscribed(client, "newHeads")
    assert [one.subscription for one in notifications or () if one is not None] == [name]


async def test_who_wants_no_such_news_keeps_none_of_it() -> None:
    client = Subscriptions(64)
    assert client.notifications(block(1)) is None
    await subscribed(client, "newPendingTransactions")
    await subscribed(client, "syncing")
    assert client.notifications(block(1)) is None
    assert client.notifications(sent(b"\x01" * 32)) is not None


async def test_logs_without_a_query_are_all_logs() -> None:
    client = Subscriptions(64)
    await subscribed(client, "logs")
    assert len(told(client, block(1, log(1, ANNA), log(1, BORIS)))) == 2


async def test_pending_transactions_are_told_as_hashes_or_whole() -> None:
    client = Subscriptions(64)
    await subscribed(client, "newPendingTransactions")
    await subscribed(client, "newPendingTransactions", True)
    (_, hash_), (_, whole) = told(client, sent(b"\x01" * 32))
    assert hash_ == whole["hash"] == "0x" + "01" * 32
    assert whole["blockHash"] is None
    assert told(client, block(1)) == []


async def test_nothing_is_told_before_the_id_is_on_its_way() -> None:
    """A library drops notifications of a subscription that it does not know yet."""
    client = Subscriptions(64)
    with client.opening() as opening, client.opening() as other:
        await opening.subscribe(Params(("newHeads",)))
        await other.subscribe(Params(("newHeads",)))
        assert told(client, block(1)) == []
        opening.begin()
        assert len(told(client, block(2))) == 1


async def test_a_subscription_whose_id_is_never_sent_is_forgotten() -> None:
    """The answer can be too large, or the request can be a notification."""
    client = Subscriptions(1)
    with client.opening() as opening:
        await opening.subscribe(Params(("newHeads",)))
    await subscribed(client, "newHeads")
    assert len(told(client, block(1))) == 1


async def test_an_ended_subscription_is_silent() -> None:
    client = Subscriptions(64)
    name = await subscribed(client, "newHeads")
    with client.opening() as opening:
        assert await opening.unsubscribe(Params((name,))) is True
        assert await opening.unsubscribe(Params((name,))) is False
    assert told(client, block(1)) == []


async def test_a_subscription_can_end_before_it_begins() -> None:
    client = Subscriptions(64)
    with client.opening() as opening:
        assert await opening.unsubscribe(Params((await opening.subscribe(Params(("newHeads",))),))) is True
        opening.begin()
    assert told(client, block(1)) == []


async def test_what_there_is_no_subscription_for_is_named() -> None:
    with pytest.raises(RpcError, match='no "weather" subscription in eth namespace'):
        await subscribed(Subscriptions(64), "weather")
    with pytest.raises(InvalidParams, match=r"params\[1\]: address"):
        await subscribed(Subscriptions(64), "logs", {"address": "0x12"})


async def test_subscriptions_are_bounded() -> None:
    client = Subscriptions(2)
    await subscribed(client, "newHeads")
    with client.opening() as opening:
        await opening.subscribe(Params(("newHeads",)))
        with pytest.raises(RpcError, match="too many subscriptions: at most 2 per connection"):
            await opening.subscribe(Params(("newHeads",)))


async def test_a_sync_is_never_told_because_there_is_none() -> None:
    client = Subscriptions(64)
    await subscribed(client, "syncing")
    assert told(client, block(1)) == told(client, sent(b"\x01" * 32)) == []
