"""Ethereum JSON-RPC over WebSocket: requests one after the other, and notifications between the answers."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import attrs
import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from alysd.api.jsonrpc import Dispatcher, Method
from alysd.api.server import CLOSING
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.feed import Listener, News
from alysd.embedded.rpc.subscriptions import Subscriptions

GOING_AWAY = 1001
"""Close code of a server that stops (RFC 6455, 7.4.1)."""

TRY_AGAIN_LATER = 1013
"""Close code for a client that reads too slowly; it may connect again."""


class TooFarBehind(Exception):
    """The client does not read its notifications fast enough."""


@attrs.frozen(eq=False)
class Outgoing:
    """A message for the client; `sent` is set once it is sent."""

    text: str
    notification: bool
    sent: trio.Event = attrs.field(factory=trio.Event)


class Outbox:
    """A queue of at most `most` notifications, `most_bytes` in all, and of one answer at a time."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[Outgoing] = deque()
        self._notifications = 0
        self._bytes = 0
        self._arrived = trio.Event()

    def notify(self, text: str) -> None:
        """Add a notification. Raises `TooFarBehind` when that exceeds a limit."""
        if self._notifications >= self._most or self._bytes + len(text) > self._most_bytes:
            raise TooFarBehind
        self._notifications += 1
        self._bytes += len(text)
        self._add(Outgoing(text, notification=True))

    def answer(self, text: str) -> Outgoing:
        """Add an answer and return it; the next request is read after it is sent."""
        outgoing = Outgoing(text, notification=False)
        self._add(outgoing)
        return outgoing

    def _add(self, outgoing: Outgoing) -> None:
        self._waiting.append(outgoing)
        self._arrived.set()

    async def take(self) -> Outgoing:
        """Wait for the next message and remove it from the queue."""
        while not self._waiting:
            self._arrived = trio.Event()
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
    ) -> None:
        self._limits = limits
        self._methods = methods
        self._codes = codes
        self._listen = listen

    async def serve(self, socket: WebSocket) -> None:
        """Serve a connection until the client or the server ends it, or the client reads too slowly."""
        await socket.accept()
        subscriptions = Subscriptions(self._limits.subscriptions)
        outbox, overflowed = Outbox(self._limits.notifications, self._limits.notification_bytes), trio.Event()
        dispatcher = Dispatcher({**self._methods, **subscriptions.table()}, self._codes)
        stop = self._listen(partial(_notify, subscriptions, outbox, overflowed))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_when, _closing(socket), socket, GOING_AWAY, nursery.cancel_scope)
                nursery.start_soon(_close_when, overflowed, socket, TRY_AGAIN_LATER, nursery.cancel_scope)
                nursery.start_soon(_send_all, socket, outbox)
                await _answer_all(socket, dispatcher, subscriptions, outbox)
                nursery.cancel_scope.cancel()
        finally:
            stop()


def _closing(socket: WebSocket) -> trio.Event:
    """The event that the server sets when it begins to stop."""
    return cast("trio.Event", socket.scope["state"][CLOSING])


def _notify(subscriptions: Subscriptions, outbox: Outbox, overflowed: trio.Event, news: News) -> None:
    try:
        for notification in subscriptions.notifications(news):
            outbox.notify(json.dumps(notification, separators=(",", ":")))
    except TooFarBehind:
        overflowed.set()


async def _answer_all(
    socket: WebSocket, dispatcher: Dispatcher, subscriptions: Subscriptions, outbox: Outbox
) -> None:
    """Answer requests until the client leaves. The next request is read after the last answer is sent."""
    while True:
        try:
            body = await _receive(socket)
        except WebSocketDisconnect:
            return
        answer = await dispatcher.answer(body)
        if answer is not None:
            outgoing = outbox.answer(answer.decode())
            subscriptions.begin()
            await outgoing.sent.wait()


async def _receive(socket: WebSocket) -> bytes:
    """Wait for a message, text or binary. Raises `WebSocketDisconnect`."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    return text.encode() if text is not None else message.get("bytes") or b""


async def _send_all(socket: WebSocket, outbox: Outbox) -> None:
    while True:
        outgoing = await outbox.take()
        await socket.send_text(outgoing.text)
        outgoing.sent.set()


async def _close_when(event: trio.Event, socket: WebSocket, code: int, connection: trio.CancelScope) -> None:
    await event.wait()
    connection.cancel()
    with trio.move_on_after(0.5) as scope:  # a client that does not read does not take the close frame either
        scope.shield = True
        await socket.close(code)
