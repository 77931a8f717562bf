"""Ethereum JSON-RPC over WebSocket, with a real client."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Request, TextMessage

from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.news import News, PendingNews
from tests.embedded.rpc.chain import NOBODY, RICH, EthChain, eth_chain


class NotRead(Exception):
    """The server has ended the connection."""


@attrs.define
class Client:
    """A WebSocket client of a few lines, that reads when it is asked to."""

    stream: trio.SocketStream
    protocol: WSConnection = attrs.field(factory=lambda: WSConnection(ConnectionType.CLIENT))
    waiting: list[Event] = attrs.field(factory=list[Event])

    async def send(self, event: Event) -> None:
        await self.stream.send_all(self.protocol.send(event))

    async def event(self) -> Event:
        """Wait for the next event that is not a ping."""
        while not self.waiting:
            data = await self.stream.receive_some(1_000_000)
            if not data:
                raise NotRead
            self.protocol.receive_data(data or None)
            self.waiting += [event for event in self.protocol.events() if not isinstance(event, Ping)]
        return self.waiting.pop(0)

    async def message(self) -> Any:
        """Wait for the next whole message."""
        text = ""
        while True:
            event = await self.event()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                return json.loads(text)

    async def ask(self, method: str, *params: Any) -> Any:
        """Send a request and take the next message for its answer."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        await self.send(TextMessage(json.dumps(request)))
        answer = await self.message()
        assert answer["id"] == 1
        return answer.get("result", answer.get("error"))

    async def closed(self) -> int:
        """Read on until the server closes; returns its code."""
        while not isinstance(event := await self.event(), CloseConnection):
            pass
        return int(event.code)


@asynccontextmanager
async def connected(chain: EthChain) -> AsyncGenerator[Client]:
    async with await trio.open_tcp_stream("127.0.0.1", chain.port) as stream:
        client = Client(stream)
        await client.send(Request(host="127.0.0.1", target="/"))
        await client.event()
        with trio.fail_after(20):
            yield client


async def test_requests_are_answered_as_over_http(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        assert await client.ask("eth_chainId") == "0x7"
        assert (await client.ask("nothing"))["code"] == -32601
        await client.send(BytesMessage(b'{"jsonrpc": "2.0", "id": 2, "method": "eth_blockNumber"}'))
        assert (await client.message())["result"] == "0x0"
        await client.send(TextMessage("{"))
        assert (await client.message())["error"]["code"] == -32700


@pytest.mark.parametrize("size", [125, 126, 127, 65_535, 65_536, 65_537, 200_000])
async def test_an_answer_of_each_size_is_one_whole_frame(tmp_path: Path, size: int) -> None:
    """The length of a frame has one, three or nine bytes (RFC 6455, 5.2)."""
    answer = '{"jsonrpc":"2.0","id":"","result":"0x7"}'
    identity = "x" * (size - len(answer))
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        asked = {"jsonrpc": "2.0", "id": identity, "method": "eth_chainId"}
        await client.send(TextMessage(json.dumps(asked)))
        assert await client.message() == {"jsonrpc": "2.0", "id": identity, "result": "0x7"}
        assert await client.ask("eth_blockNumber") == "0x0"


async def test_a_notification_of_the_client_is_not_answered(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        await client.send(TextMessage('{"jsonrpc": "2.0", "method": "eth_chainId"}'))
        assert await client.ask("eth_blockNumber") == "0x0"


def request(number: int, method: str, *params: Any) -> TextMessage:
    return TextMessage(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))


@asynccontextmanager
async def sent(chain: EthChain, count: int) -> AsyncGenerator[None]:
    """At the end of the block, wait until `count` transactions have reached the pool in it."""
    arrived = trio.Event()

    def note(news: News) -> None:
        nonlocal count
        if isinstance(news, PendingNews):
            count -= len(news.transactions)
            if count == 0:
                arrived.set()

    stop = chain.feed.listen(note)
    yield
    await arrived.wait()
    stop()


async def test_requests_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """One slow request delayed all others of the connection, also those of the libraries themselves."""
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        raw = "0x" + chain.signed(to=RICH.address).hex()
        async with sent(chain, 1):
            await client.send(request(1, "eth_sendRawTransactionSync", raw))
        await client.send(request(2, "eth_chainId"))
        assert (await client.message())["id"] == 2
        await chain.mine()
        answer = await client.message()
        assert (answer["id"], answer["result"]["blockNumber"]) == (1, "0x1")


async def test_the_answers_of_a_batch_are_in_its_order(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        raw = "0x" + chain.signed(to=RICH.address).hex()
        asked: list[tuple[str, list[str]]] = [
            ("eth_sendRawTransactionSync", [raw]),
            ("eth_blockNumber", []),
            ("eth_chainId", []),
        ]
        batch = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": params}
            for place, (method, params) in enumerate(asked)
        ]
        async with sent(chain, 1):
            await client.send(TextMessage(json.dumps(batch)))
        await client.send(request(9, "eth_chainId"))
        assert (await client.message())["id"] == 9
        await chain.mine()
        answers = await client.message()
        assert [answer["id"] for answer in answers] == [0, 1, 2]
        assert answers[1]["result"] == "0x1"  # asked after the first request was answered


async def test_the_requests_of_a_connection_without_an_answer_are_bounded(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, RpcLimits(socket_requests=2)) as chain, connected(chain) as client:
        async with sent(chain, 2):
            for nonce in range(2):
                raw = "0x" + chain.signed(to=RICH.address, nonce=nonce).hex()
                await client.send(request(nonce, "eth_sendRawTransactionSync", raw))
            await client.send(request(2, "eth_chainId"))
        await chain.mine()
        first, *others = [(await client.message())["id"] for _ in range(3)]
        assert first != 2
        assert 2 in others


async def test_a_client_that_leaves_does_not_wait_for_its_answers(tmp_path: Path) -> None:
    """Its requests held their places until their deadline, half a minute."""
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        raw = "0x" + chain.signed(to=RICH.address).hex()
        async with sent(chain, 1):
            await client.send(request(1, "eth_sendRawTransactionSync", raw))
        await client.send(CloseConnection(1000))
        assert await client.closed() == 1000


async def test_subscriptions_are_told_until_they_end(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        name = await client.ask("eth_subscribe", "newHeads")
        block = await chain.mine()
        told = await client.message()
        assert told["method"] == "eth_subscription"
        assert told["params"]["subscription"] == name
        assert told["params"]["result"]["hash"] == "0x" + block.hex()
        assert await client.ask("eth_unsubscribe", name) is True
        await chain.mine()
        assert await client.ask("eth_blockNumber") == "0x2"


async def test_a_subscription_needs_a_connection(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(Exception, match="the method eth_subscribe does not exist/is not available"):
            await chain.rpc("eth_subscribe", "newHeads")


async def test_each_client_has_its_own_subscriptions(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain, connected(chain) as one, connected(chain) as other:
        name = await one.ask("eth_subscribe", "newPendingTransactions")
        assert await other.ask("eth_unsubscribe", name) is False
        sent = await chain.send(to=RICH.address)
        assert (await one.message())["params"]["result"] == sent
        assert await other.ask("eth_blockNumber") == "0x0"


async def test_a_client_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        async with connected(chain) as client:
            await client.ask("eth_subscribe", "newHeads")
        await chain.mine()
        async with connected(chain) as client:
            assert await client.ask("eth_blockNumber") == "0x1"
            await client.send(CloseConnection(1000))
            assert await client.closed() == 1000


async def test_a_client_that_does_not_read_is_let_go_and_the_others_go_on(tmp_path: Path) -> None:
    """The events that wait for it are bounded, and no other client waits for it."""
    limits = RpcLimits(events=1)
    async with eth_chain(tmp_path, limits) as chain, connected(chain) as slow, connected(chain) as quick:
        await subscribe_to_pending(slow)
        await quick.ask("eth_subscribe", "newPendingTransactions")
        for nonce in range(3):  # one is being told, one waits, and one is too much
            sent = await chain.send(to=NOBODY, data=bytes(100_000), gas=5_000_000, nonce=nonce)
            assert (await quick.message())["params"]["result"] == sent
        with suppress(NotRead):  # if half a message was on its way, no close frame can follow
            assert await slow.closed() == 1013
        assert await quick.ask("eth_blockNumber") == "0x0"


async def test_a_client_that_reads_gets_all_of_a_burst(tmp_path: Path) -> None:
    """Sixty-four subscriptions to whole transactions and one large transaction: 13 MB in one event.

    The notifications were made before the first of them could be sent, and the client was dropped for them.
    """
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        names = await subscribe_to_pending(client)
        sent = await chain.send(to=NOBODY, data=bytes(100_000), gas=5_000_000)
        found = [(await client.message())["params"] for _ in names]
        assert [one["subscription"] for one in found] == names
        assert {one["result"]["hash"] for one in found} == {sent}
        assert await client.ask("eth_blockNumber") == "0x0"


async def subscribe_to_pending(client: Client) -> list[str]:
    """Subscribe as often as is allowed, to whole transactions."""
    return [await client.ask("eth_subscribe", "newPendingTransactions", True) for _ in range(64)]


async def test_a_message_beyond_the_bound_ends_the_connection(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain, connected(chain) as client:
        with suppress(trio.BrokenResourceError):  # the server may close while this is on its way
            for _ in range(6):
                await client.send(TextMessage("x" * 1_000_000, message_finished=False))
        assert await client.closed() == 1009
        async with connected(chain) as other:
            assert await other.ask("eth_chainId") == "0x7"


async def test_a_byte_behind_the_handshake_ends_nothing_else(tmp_path: Path) -> None:
    """One such packet ended the server, and with it the connections of all clients."""
    async with eth_chain(tmp_path) as chain, connected(chain) as other:
        for _ in range(20):
            async with await trio.open_tcp_stream("127.0.0.1", chain.port) as stream:
                handshake = WSConnection(ConnectionType.CLIENT).send(Request(host="127.0.0.1", target="/"))
                await stream.send_all(handshake + b"x")
                assert b"101" in await stream.receive_some()
        assert await other.ask("eth_chainId") == "0x7"
        assert await chain.rpc("eth_blockNumber") == "0x0"


async def test_a_stopping_server_says_so(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        codes: list[int] = []

        async def wait(client: Client) -> None:
            codes.append(await client.closed())

        async with eth_chain(tmp_path) as chain:
            stream = await trio.open_tcp_stream("127.0.0.1", chain.port)
            client = Client(stream)
            await client.send(Request(host="127.0.0.1", target="/"))
            await client.event()
            assert await client.ask("eth_chainId") == "0x7"
            nursery.start_soon(wait, client)
    assert codes == [1001]
    await stream.aclose()
