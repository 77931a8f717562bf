"""A bus of events by type: whoever publishes does not know who listens, and never waits for them.

    async with bus.subscribe(BlockImported, capacity=64) as events:
        async for event in events: ...

A subscriber that falls behind loses its oldest events, which its channel counts in `dropped`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.overflow import Overflow

E = TypeVar("E")


class Bus:
    """Events, from anyone to everyone who subscribed to their exact type or a base of it."""

    def __init__(self, name: str = "bus") -> None:
        self.name = name
        self.published = 0
        self._subscribers: dict[type[Any], list[Mailbox[Any]]] = {}

    def publish(self, event: object) -> None:
        """Give `event` to every subscriber of its type. Never waits."""
        self.published += 1
        for event_type in type(event).__mro__:
            for channel in self._subscribers.get(event_type, ()):
                channel.send_nowait(event)

    @contextmanager
    def subscribe(self, event_type: type[E], *, capacity: int = 64) -> Generator[Mailbox[E]]:
        """Receive the events of a type that are published while the block runs.

        At most `capacity` wait; beyond that the oldest is dropped and counted.
        """
        channel: Mailbox[E] = Mailbox(f"{self.name}/{event_type.__name__}", capacity, Overflow.DROP_OLDEST)
        subscribers = self._subscribers.setdefault(event_type, [])
        subscribers.append(channel)
        try:
            yield channel
        finally:
            subscribers.remove(channel)
            if not subscribers:
                del self._subscribers[event_type]
