"""Ethereum JSON-RPC over WebSocket: requests that do not wait for each other, and notifications."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

import attrs
import trio
from trio_util import RepeatedEvent

from alysd.api.http.websocket import GOING_AWAY, SocketRequest, WebSocket
from alysd.api.jsonrpc import Dispatcher, Method
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.feed import Listener
from alysd.embedded.rpc.news import News
from alysd.embedded.rpc.subscriptions import Opening, Subscriptions

CLOSE_SECONDS = 0.5
"""Deadline of sending the close frame. A client that does not read does not receive it either."""


class TooFarBehind(Exception):
    """The client does not read its notifications fast enough."""


@attrs.frozen(eq=False)
class Outgoing:
    """A message for the client; `sent` is set once it is sent."""

    text: str
    notification: bool
    sent: trio.Event = attrs.field(factory=trio.Event)


class Outbox:
    """Messages for the client: at most `most` notifications, of at most `most_bytes` in all, and the answers."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[Outgoing] = deque()
        self._notifications = 0
        self._bytes = 0
        self._arrived = RepeatedEvent()

    def notify(self, text: str) -> None:
        """Add a notification. Raises `TooFarBehind` when that exceeds a limit."""
        if self._notifications >= self._most or self._bytes + len(text) > self._most_bytes:
            raise TooFarBehind
        self._notifications += 1
        self._bytes += len(text)
        self._add(Outgoing(text, notification=True))

    def answer(self, text: str) -> Outgoing:
        """Add an answer and return it. Its request is over when it is `sent`."""
        outgoing = Outgoing(text, notification=False)
        self._add(outgoing)
        return outgoing

    def _add(self, outgoing: Outgoing) -> None:
        self._waiting.append(outgoing)
        self._arrived.set()

    async def take(self) -> Outgoing:
        """Wait for the next message and remove it from the queue."""
        while not self._waiting:
            await self._arrived.wait()
        outgoing = self._waiting.popleft()
        if outgoing.notification:
            self._notifications -= 1
            self._bytes -= len(outgoing.text)
        return outgoing


class EthSocket:
    """The WebSocket endpoint. Each connection has its own subscriptions; methods and feed are shared."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        codes: Mapping[type[Exception], int],
        listen: Callable[[Listener], Callable[[], None]],
        limits: RpcLimits,
        max_batch: int,
        threads: trio.CapacityLimiter,
    ) -> None:
        """`threads` limits the threads for large texts, which it shares with the same port's HTTP."""
        self._threads = threads
        self._limits = limits
        self._max_batch = max_batch
        self._methods = methods
        self._codes = codes
        self._listen = listen

    async def serve(self, socket: WebSocket) -> None:
        """Serve a connection until the client or the server ends it, or the client reads too slowly."""
        subscriptions = Subscriptions(self._limits.subscriptions)
        outbox, overflowed = Outbox(self._limits.notifications, self._limits.notification_bytes), trio.Event()
        stop = self._listen(partial(_notify, subscriptions, outbox, overflowed))
        try:
            async with trio.open_nursery() as nursery:
                scope = nursery.cancel_scope
                nursery.start_soon(_end_when, socket.closing, partial(socket.close, GOING_AWAY), scope)
                nursery.start_soon(_end_when, overflowed, socket.drop, scope)
                nursery.start_soon(_send_all, socket, outbox)
                await self._answer_all(socket, subscriptions, outbox)
                nursery.cancel_scope.cancel()
        finally:
            stop()

    async def _answer_all(self, socket: WebSocket, subscriptions: Subscriptions, outbox: Outbox) -> None:
        """Answer requests until the client leaves. It may get the answers in another order than it has asked.

        While `RpcLimits.socket_requests` of its requests have no answer yet, no further request is read.
        """
        free = trio.Semaphore(self._limits.socket_requests)

        async def answer_one(request: SocketRequest) -> None:
            with subscriptions.opening() as opening:
                try:
                    await self._answer(request, opening, outbox)
                finally:
                    request.end()
                    free.release()

        async with trio.open_nursery() as nursery:
            while True:
                await free.acquire()
                request = await socket.receive()
                if request is None:
                    break
                nursery.start_soon(answer_one, request)
            nursery.cancel_scope.cancel()

    async def _answer(self, request: SocketRequest, opening: Opening, outbox: Outbox) -> None:
        methods = {**self._methods, **opening.table()}
        dispatcher = Dispatcher(methods, self._codes, max_batch=self._max_batch, threads=self._threads)
        answer = await dispatcher.answer(request.body, request.pause)
        if answer is not None:
            request.answering(len(answer))
            outgoing = outbox.answer(answer.decode())
            opening.begin()
            await outgoing.sent.wait()


def _notify(subscriptions: Subscriptions, outbox: Outbox, overflowed: trio.Event, news: News) -> Iterator[None]:
    try:
        for notification in subscriptions.notifications(news):
            if notification is not None:
                outbox.notify(notification)
            yield
    except TooFarBehind:
        overflowed.set()


async def _send_all(socket: WebSocket, outbox: Outbox) -> None:
    while True:
        outgoing = await outbox.take()
        await socket.send(outgoing.text)
        outgoing.sent.set()


async def _end_when(event: trio.Event, end: Callable[[], Awaitable[None]], connection: trio.CancelScope) -> None:
    """Wait until `event` is set, then send the close frame with `end` and cancel the connection's other tasks."""
    await event.wait()
    with trio.move_on_after(CLOSE_SECONDS) as scope:
        scope.shield = True
        await end()  # after a message that is being sent, because a close frame cannot follow half of a message
    connection.cancel()
