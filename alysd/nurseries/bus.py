"""A bus that passes events to subscribers by type. Publishers never wait for subscribers and do not know them.

    with bus.subscribe(BlockImported, capacity=64) as events:
        async for event in events: ...

A subscriber that is too slow loses its oldest events; `events.dropped` counts them.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import trio

from alysd.nurseries.errors import Refusal
from alysd.nurseries.mailbox import Mailbox, Overflow

E = TypeVar("E")


@attrs.frozen(str=False)
class NotPermitted(Refusal):
    """`name` has no permission for `operation` ("publish" or "subscribe to") on events of type `event`."""

    name: str
    operation: str
    event: str

    def __str__(self) -> str:
        return f"{self.name} may not {self.operation} {self.event}"


@attrs.frozen(str=False)
class TooManyEvents(Refusal):
    """`name` published more events than its `Rate` allows: `per_second` on average, `burst` at once."""

    name: str
    per_second: float
    burst: int

    def __str__(self) -> str:
        return f"{self.name} publishes more than {self.per_second:g} events/s, with at most {self.burst} at once"


@attrs.frozen
class Rate:
    """The rate limit of a publisher: `per_second` events on average, `burst` at once."""

    per_second: float = attrs.field(validator=attrs.validators.gt(0.0))
    burst: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen
class BusRules:
    """Permissions to publish and to subscribe, and rate limits, all by name. Everything not listed is allowed.

    Publishers and subscribers state their own names, which nothing verifies: inside one process that is enough.
    `envelope` authenticates messages from other processes.
    """

    publishers: Mapping[type[Any], Collection[str]] = attrs.field(factory=dict[type[Any], Collection[str]])
    """For each event type, the names that may publish events of this type."""
    subscribers: Mapping[type[Any], Collection[str]] = attrs.field(factory=dict[type[Any], Collection[str]])
    """For each event type, the names that may subscribe to it."""
    rates: Mapping[str, Rate] = attrs.field(factory=dict[str, Rate])
    """The rate limit of each publisher, by the publisher's name."""


Filter = Callable[[str, object, str], bool]
"""A function of publisher, event and subscriber that says whether the subscriber gets the event.

Tests use filters to simulate a network partition."""


@attrs.frozen(eq=False)
class Subscription:
    """The name and the channel of one subscriber."""

    name: str
    channel: Mailbox[Any]


class Bus:
    """Passes each event to all subscribers of the event's class or of one of its base classes."""

    def __init__(self, name: str = "bus", rules: BusRules | None = None) -> None:
        self.name = name
        self.rules = rules or BusRules()
        self.filters: list[Filter] = []
        # Counts: published events, and deliveries that a filter prevented.
        self.published = 0
        self.filtered = 0
        self._subscribers: dict[type[Any], list[Subscription]] = {}
        self._allowances: dict[str, tuple[float, float]] = {}

    def publish(self, event: object, *, sender: str = "") -> None:
        """Pass `event` to every subscriber of its type. Never waits.

        Raises `NotPermitted` or `TooManyEvents` according to the rules, before any subscriber gets the event.
        """
        types = type(event).__mro__
        for event_type in types:
            _check(self.rules.publishers, event_type, sender, "publish")
        if sender in self.rules.rates:
            self._spend(sender, self.rules.rates[sender])
        self.published += 1
        for event_type in types:
            for subscription in self._subscribers.get(event_type, ()):
                if all(passes(sender, event, subscription.name) for passes in self.filters):
                    subscription.channel.send_nowait(event)
                else:
                    self.filtered += 1

    @contextmanager
    def subscribe(self, event_type: type[E], *, capacity: int = 64, name: str = "") -> Generator[Mailbox[E]]:
        """Subscribe to the events of a type inside the `with` block.

        At most `capacity` events wait in the channel. When one more is published, the oldest is dropped and
        counted. Raises `NotPermitted` when the rules do not allow the subscription.
        """
        _check(self.rules.subscribers, event_type, name, "subscribe to")
        channel: Mailbox[E] = Mailbox(f"{self.name}/{event_type.__name__}", capacity, Overflow.DROP_OLDEST)
        subscription = Subscription(name, channel)
        subscribers = self._subscribers.setdefault(event_type, [])
        subscribers.append(subscription)
        try:
            yield channel
        finally:
            subscribers.remove(subscription)
            if not subscribers:
                del self._subscribers[event_type]

    def _spend(self, sender: str, rate: Rate) -> None:
        """Take one token from the sender's bucket, which holds at most `burst`. Raises `TooManyEvents`."""
        now = trio.current_time()
        left, at = self._allowances.get(sender, (float(rate.burst), now))
        left = min(float(rate.burst), left + (now - at) * rate.per_second)
        if left < 1:
            self._allowances[sender] = (left, now)
            raise TooManyEvents(sender, rate.per_second, rate.burst)
        self._allowances[sender] = (left - 1, now)


def _check(allowed: Mapping[type[Any], Collection[str]], event_type: type[Any], name: str, operation: str) -> None:
    names = allowed.get(event_type)
    if names is not None and name not in names:
        raise NotPermitted(name or "an unnamed caller", operation, event_type.__name__)
