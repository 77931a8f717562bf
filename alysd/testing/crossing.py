"""Addresses whose messages and answers cross a border: as sealed bytes, the way they would between processes.

    border = Border(MessageCodec(), VirtualClock())
    chain = CrossingAddress[Chain]("chain", border)

Actors that work so share nothing: what they say to each other is all in the message, and all of it survives being
written, authenticated and read. Errors are not carried over; they are raised where they were.
"""

from typing import Any, Protocol, TypeVar

import attrs

from alysd.nurseries import Address, Ask, Codec, Envelope, InboundEndpoint, OnCrash, Overflow, Tell, seal
from alysd.nurseries.address import ASK_SECONDS
from alysd.nurseries.mailbox import OverflowPolicy

P = TypeVar("P")
R = TypeVar("R")

KEY = bytes(range(32))
"""The key on both sides of a border in a test."""

ON_THE_WAY = 30.0
"""Seconds that an envelope is good for; the crossing takes none, and a gate allows 60."""


class WallClock(Protocol):
    """What knows the time that envelopes bear."""

    def time(self) -> float:
        """Unix seconds."""
        ...


class Border:
    """Writes what crosses, seals it, and takes it in again through a gate; `crossed` counts by type."""

    def __init__(self, codec: Codec, clock: WallClock) -> None:
        self.crossed: dict[str, int] = {}
        self._codec = codec
        self._clock = clock
        self._arrived: list[Envelope] = []
        self._gate = InboundEndpoint(KEY, codec, self._arrived.append, max_bytes=1 << 25)

    def message(self, message: Any, destination: str) -> tuple[Any, Envelope]:
        """The message as it arrives at `destination`, and the envelope to answer."""
        sent = Envelope(
            message=message,
            sender="test",
            destination=destination,
            created_at=self._clock.time(),
            timeout=ON_THE_WAY,
        )
        arrived = self._cross(sent)
        return arrived.message, arrived

    def answer(self, answer: Any, question: Envelope) -> Any:
        """The answer as it arrives where `question` came from."""
        back = question.answer(answer, self._clock.time())
        return self._cross(attrs.evolve(back, timeout=ON_THE_WAY)).message

    def _cross(self, envelope: Envelope) -> Envelope:
        self._gate.receive(seal(KEY, self._codec.encode(envelope)), self._clock.time())
        name = type(envelope.message).__name__
        self.crossed[name] = self.crossed.get(name, 0) + 1
        return self._arrived.pop()


class CrossingAddress(Address[P]):
    """An address on the other side of a border. What the codec cannot carry is raised to the sender."""

    __slots__ = ("_border",)

    def __init__(
        self,
        name: str,
        border: Border,
        *,
        capacity: int = 1024,
        overflow: OverflowPolicy = Overflow.BLOCK,
        on_crash: OnCrash = OnCrash.DROP,
    ) -> None:
        super().__init__(name, capacity=capacity, overflow=overflow, on_crash=on_crash)
        self._border = border

    def tell(self, message: Tell[P]) -> None:
        """As an `Address` does, across the border."""
        super().tell(self._border.message(message, self.name)[0])

    async def send(self, message: Tell[P]) -> None:
        """As an `Address` does, across the border."""
        await super().send(self._border.message(message, self.name)[0])

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """As an `Address` does, across the border and back."""
        arrived, envelope = self._border.message(message, self.name)
        answer: Any = await super().ask(arrived, seconds=seconds)
        return self._border.answer(answer, envelope)
