"""HTTP/2 for the stream, with a bound for the frames that carry no message.

Flow control bounds the messages only. A server may send any number of other frames: pings and settings, whose
answers wait in this process while the server does not read, or data frames without content. And grpclib breaks a
connection at a frame that it does not know, which HTTP/2 demands to ignore, and at an empty one.
"""

import asyncio
from contextlib import suppress
from typing import Any

from grpclib.client import Channel, Handler
from grpclib.protocol import EventsProcessor, H2Protocol
from h2.events import DataReceived

OVERHEAD_BYTES = 1 << 16
"""The bytes beside messages that a server may send at once: four of the largest frames, while they arrive."""

OVERHEAD_PER_SECOND = 1 << 14
"""The bytes beside messages that a server may send in a second; those of 50 messages are some 4 KB."""


class GuardedChannel(Channel):
    """A channel whose connections are guarded."""

    def _protocol_factory(self) -> H2Protocol:
        return _GuardedProtocol(Handler(), self._config, self._h2_config)


class _GuardedProtocol(H2Protocol):
    """Ends a connection whose server sends too many bytes beside messages."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._guarded: asyncio.Transport = transport
        self._loop = asyncio.get_running_loop()
        self._overhead, self._at = 0.0, self._loop.time()
        self.processor = _Tolerant(self.handler, self.connection)

    def data_received(self, data: bytes) -> None:
        now, before = self._loop.time(), self.connection.data_received
        self._overhead = max(0.0, self._overhead - (now - self._at) * OVERHEAD_PER_SECOND) + len(data)
        self._at = now
        super().data_received(data)
        self._overhead -= self.connection.data_received - before
        if self._overhead > OVERHEAD_BYTES:
            self.processor.close(
                f"it sends more than {OVERHEAD_PER_SECOND} bytes per second in frames without messages"
            )
            self._guarded.abort()  # a close would wait until the server has read all answers


class _Tolerant(EventsProcessor):
    """Ignores the events of HTTP/2 that grpclib does not know, and empty data frames, at which it fails."""

    def process(self, event: Any) -> None:
        if isinstance(event, DataReceived) and not event.flow_controlled_length:
            return
        with suppress(NotImplementedError):
            super().process(event)
