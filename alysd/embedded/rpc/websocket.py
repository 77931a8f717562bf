"""Ethereum JSON-RPC over WebSocket: requests one after the other, and notifications in between."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from alysd.api.jsonrpc import Dispatcher, Method
from alysd.api.server import CLOSING
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.feed import Listener, News
from alysd.embedded.rpc.outbox import Outbox, TooFarBehind
from alysd.embedded.rpc.subscriptions import Subscriptions

GOING_AWAY = 1001
"""Close code for a server that stops (RFC 6455, 7.4.1)."""

TRY_AGAIN_LATER = 1013
"""Close code for a client that reads too slowly: it may connect again."""


class EthSocket:
    """The endpoint. Each connection has its own subscriptions; the rest is shared."""

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
        """Serve a connection until the client or the server ends it, or it reads too slowly."""
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
    """Find the event that the server sets when it begins to stop."""
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
    """Answer requests until the client leaves. The next is read when the last answer has been sent."""
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
    with trio.move_on_after(0.5) as scope:  # a client that does not read will not take the close frame either
        scope.shield = True
        await socket.close(code)
