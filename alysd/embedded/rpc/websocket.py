"""Ethereum JSON-RPC over WebSocket: requests that do not wait for each other, and notifications."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

import trio

from alysd.api.http.websocket import GOING_AWAY, SocketRequest, WebSocket
from alysd.api.jsonrpc import Dispatcher, Method
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.feed import Listener
from alysd.embedded.rpc.news import News
from alysd.embedded.rpc.outbox import Outbox, QueuedAnswer, TooFarBehind
from alysd.embedded.rpc.subscriptions import Notification, Opening, Subscriptions

CLOSE_SECONDS = 0.5
"""Deadline of sending the close frame. A client that does not read does not receive it either."""


PACKED = 16 * 1024
"""The number of bytes of notifications from which they are sent: smaller ones leave together."""

TURN_SECONDS = 0.0002
"""The time for which notifications are made, or logs are compared, before others get a turn."""


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
        outbox, overflowed = Outbox(self._limits.events, self._limits.event_bytes), trio.Event()
        stop = self._listen(partial(_notify, subscriptions, outbox, overflowed))
        try:
            async with trio.open_nursery() as nursery:
                scope = nursery.cancel_scope
                nursery.start_soon(_end_when, socket.closing, partial(socket.close, GOING_AWAY), scope)
                nursery.start_soon(_end_when, overflowed, socket.drop, scope)
                nursery.start_soon(_send_all, socket, outbox, self._threads)
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
            outgoing = outbox.answer(answer)
            opening.begin()
            await outgoing.sent.wait()


def _notify(subscriptions: Subscriptions, outbox: Outbox, overflowed: trio.Event, news: News) -> Iterator[None]:
    try:
        notifications = subscriptions.notifications(news)
        if notifications is not None:
            outbox.tell(notifications, news.size)
        yield
    except TooFarBehind:
        overflowed.set()


async def _send_all(socket: WebSocket, outbox: Outbox, threads: trio.CapacityLimiter) -> None:
    while True:
        waiting = await outbox.take()
        if isinstance(waiting, QueuedAnswer):
            await socket.send(waiting.json)
            waiting.sent.set()
        else:
            await _tell(socket, waiting.notifications, threads)


async def _tell(
    socket: WebSocket, notifications: Iterator[Notification | None], threads: trio.CapacityLimiter
) -> None:
    """Send the notifications of an event, each made when the client has received those before it."""
    await socket.turn()
    packed, size, end = list[bytes](), 0, time.monotonic() + TURN_SECONDS
    for notification in notifications:
        if notification is not None:
            if notification.shown.slow:
                await trio.to_thread.run_sync(notification.shown.encode, limiter=threads)
            packed.append(notification.json)
            size += len(packed[-1])
        if size >= PACKED or time.monotonic() >= end:
            await socket.send(*packed)
            await socket.turn()
            packed, size, end = [], 0, time.monotonic() + TURN_SECONDS
    await socket.send(*packed)


async def _end_when(event: trio.Event, end: Callable[[], Awaitable[None]], connection: trio.CancelScope) -> None:
    """Wait until `event` is set, then send the close frame with `end` and cancel the connection's other tasks."""
    await event.wait()
    with trio.move_on_after(CLOSE_SECONDS) as scope:
        scope.shield = True
        await end()  # after a message that is being sent, because a close frame cannot follow half of a message
    connection.cancel()
