"""Addresses whose messages and answers travel as sealed bytes, as they do between processes.

    transport = SerializedTransport(MessageCodec(), VirtualClock())
    chain = SerializedAddress[Chain]("chain", transport)

Each message is encoded, authenticated and decoded on its way, so actors on such addresses share no objects.
Errors are not encoded; they are raised as they are.
"""

from typing import Any, TypeVar, Unpack

import attrs

from alysd.nurseries import Address, Ask, Codec, Envelope, InboundEndpoint, Tell, seal
from alysd.nurseries.address import ASK_SECONDS
from alysd.ports import Clock
from alysd.testing.stand_in import MailboxOptions

P = TypeVar("P")
R = TypeVar("R")

KEY = bytes(range(32))
"""The key that both ends of the transport share."""

ENVELOPE_SECONDS = 30.0
"""The timeout of an envelope in seconds. An `InboundEndpoint` accepts at most 60."""

MAX_BYTES = 1 << 25
"""The largest message in bytes: more than any block with its proof of work."""


class SerializedTransport:
    """Seals messages and receives them through an `InboundEndpoint`. `carried` has their number by type."""

    def __init__(self, codec: Codec, clock: Clock) -> None:
        self.carried: dict[str, int] = {}
        self._codec = codec
        self._clock = clock
        self._received: list[Envelope] = []
        self._endpoint = InboundEndpoint(KEY, codec, self._received.append, max_bytes=MAX_BYTES)

    def message(self, message: Any, destination: str) -> tuple[Any, Envelope]:
        """The message as `destination` receives it, with the envelope that its answer needs."""
        sent = Envelope(
            message=message,
            sender="test",
            destination=destination,
            created_at=self._clock.time(),
            timeout=ENVELOPE_SECONDS,
        )
        received = self._carry(sent)
        return received.message, received

    def answer(self, answer: Any, question: Envelope) -> Any:
        """The answer as the sender of `question` receives it."""
        back = question.answer(answer, self._clock.time())
        return self._carry(attrs.evolve(back, timeout=ENVELOPE_SECONDS)).message

    def _carry(self, envelope: Envelope) -> Envelope:
        self._endpoint.receive(seal(KEY, self._codec.encode(envelope)), self._clock.time())
        name = type(envelope.message).__name__
        self.carried[name] = self.carried.get(name, 0) + 1
        return self._received.pop()


class SerializedAddress(Address[P]):
    """An address behind a `SerializedTransport`. Messages that cannot be encoded raise `TypeError`."""

    __slots__ = ("_transport",)

    def __init__(self, name: str, transport: SerializedTransport, **mailbox: Unpack[MailboxOptions]) -> None:
        super().__init__(name, **mailbox)
        self._transport = transport

    def tell(self, message: Tell[P]) -> None:
        """`Address.tell`, with the message encoded and decoded."""
        super().tell(self._transport.message(message, self.name)[0])

    async def send(self, message: Tell[P]) -> None:
        """`Address.send`, with the message encoded and decoded."""
        await super().send(self._transport.message(message, self.name)[0])

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """`Address.ask`, with the message and its answer encoded and decoded."""
        received, envelope = self._transport.message(message, self.name)
        answer: Any = await super().ask(received, seconds=seconds)
        return self._transport.answer(answer, envelope)
