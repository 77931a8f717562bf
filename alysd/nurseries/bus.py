"""A bus of events by type: whoever publishes does not know who listens, and never waits for them.

    with bus.subscribe(BlockImported, capacity=64) as events:
        async for event in events: ...

A subscriber that falls behind loses its oldest events, which its channel counts in `dropped`.
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
    """`who` may not `operation` events of type `event`."""

    who: str
    operation: str
    event: str

    def __str__(self) -> str:
        return f"{self.who} may not {self.operation} {self.event}"


@attrs.frozen(str=False)
class TooManyEvents(Refusal):
    """`who` published more than `per_second` events a second for longer than its `burst` allows."""

    who: str
    per_second: float
    burst: int

    def __str__(self) -> str:
        return f"{self.who} publishes more than {self.per_second:g} events/s"


@attrs.frozen
class Rate:
    """A publisher's allowance: `per_second` on average, `burst` at once."""

    per_second: float = attrs.field(validator=attrs.validators.gt(0.0))
    burst: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen
class BusRules:
    """Who may do what. What is not mentioned is allowed; the name of a publisher or subscriber is its own word.

    The bus is inside one process, where nobody needs to prove a name; see `envelope` for messages from outside.
    """

    publishers: Mapping[type[Any], Collection[str]] = attrs.field(factory=dict[type[Any], Collection[str]])
    """Event type to the names that may publish it."""
    subscribers: Mapping[type[Any], Collection[str]] = attrs.field(factory=dict[type[Any], Collection[str]])
    """Event type to the names that may subscribe to it."""
    rates: Mapping[str, Rate] = attrs.field(factory=dict[str, Rate])
    """Publisher to its allowance."""


Filter = Callable[[str, object, str], bool]
"""Publisher, event, subscriber: whether this subscriber gets it. A network partition is such a filter."""


@attrs.frozen(eq=False)
class Subscription:
    """One subscriber's name and channel."""

    who: str
    channel: Mailbox[Any]


class Bus:
    """Events, from anyone to everyone who subscribed to their exact type or a base of it."""

    def __init__(self, name: str = "bus", rules: BusRules | None = None) -> None:
        self.name = name
        self.rules = rules or BusRules()
        self.filters: list[Filter] = []
        # Events published, and deliveries that a filter stopped.
        self.published = 0
        self.filtered = 0
        self._subscribers: dict[type[Any], list[Subscription]] = {}
        self._allowances: dict[str, tuple[float, float]] = {}

    def publish(self, event: object, *, sender: str = "") -> None:
        """Give `event` to every subscriber of its type. Never waits.

        Raises `NotPermitted` and `TooManyEvents` by the rules; then nobody got it.
        """
        types = type(event).__mro__
        for event_type in types:
            _check(self.rules.publishers, event_type, sender, "publish")
        if sender in self.rules.rates:
            self._spend(sender, self.rules.rates[sender])
        self.published += 1
        for event_type in types:
            for subscription in self._subscribers.get(event_type, ()):
                if all(passes(sender, event, subscription.who) for passes in self.filters):
                    subscription.channel.send_nowait(event)
                else:
                    self.filtered += 1

    @contextmanager
    def subscribe(self, event_type: type[E], *, capacity: int = 64, who: str = "") -> Generator[Mailbox[E]]:
        """Receive the events of a type that are published while the block runs.

        At most `capacity` wait; beyond that the oldest is dropped and counted. Raises `NotPermitted`.
        """
        _check(self.rules.subscribers, event_type, who, "subscribe to")
        channel: Mailbox[E] = Mailbox(f"{self.name}/{event_type.__name__}", capacity, Overflow.DROP_OLDEST)
        subscription = Subscription(who, channel)
        subscribers = self._subscribers.setdefault(event_type, [])
        subscribers.append(subscription)
        try:
            yield channel
        finally:
            subscribers.remove(subscription)
            if not subscribers:
                del self._subscribers[event_type]

    def _spend(self, sender: str, rate: Rate) -> None:
        """Take one from the sender's bucket, which fills by the second up to its burst."""
        now = trio.current_time()
        left, at = self._allowances.get(sender, (float(rate.burst), now))
        left = min(float(rate.burst), left + (now - at) * rate.per_second)
        if left < 1:
            self._allowances[sender] = (left, now)
            raise TooManyEvents(sender, rate.per_second, rate.burst)
        self._allowances[sender] = (left - 1, now)


def _check(allowed: Mapping[type[Any], Collection[str]], event_type: type[Any], who: str, operation: str) -> None:
    names = allowed.get(event_type)
    if names is not None and who not in names:
        raise NotPermitted(who or "somebody without a name", operation, event_type.__name__)
