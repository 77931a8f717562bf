"""The bus: by type, bounded, and never waiting."""

from contextlib import suppress

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import Bus, BusRules, NotPermitted, Rate, TooManyEvents


@attrs.frozen
class Event:
    number: int


@attrs.frozen
class Special(Event):
    pass


async def test_a_subscriber_gets_events_of_its_type_and_of_types_derived_from_it() -> None:
    bus = Bus()
    with bus.subscribe(Event) as events, bus.subscribe(Special) as specials:
        bus.publish(Event(1))
        bus.publish(Special(2))
        bus.publish("something else")
        assert [await events.receive() for _ in range(2)] == [Event(1), Special(2)]
        assert await specials.receive() == Special(2)
        for channel in (events, specials):
            with pytest.raises(trio.WouldBlock):
                channel.receive_nowait()


async def test_a_slow_subscriber_loses_its_oldest_events_and_nobody_else_does() -> None:
    bus = Bus()
    with bus.subscribe(Event, capacity=2) as slow, bus.subscribe(Event, capacity=10) as fast:
        for number in range(5):
            bus.publish(Event(number))
        assert [(await slow.receive()).number for _ in range(2)] == [3, 4]
        assert (slow.dropped, fast.dropped, len(fast)) == (3, 0, 5)


def test_nothing_is_kept_of_a_subscriber_that_left() -> None:
    bus = Bus()
    with bus.subscribe(Event) as first:
        with bus.subscribe(Event):
            pass
        bus.publish(Event(1))
        assert len(first) == 1
    bus.publish(Event(2))
    assert len(first) == 1
    assert bus.published == 2


async def test_only_permitted_names_publish_and_subscribe() -> None:
    bus = Bus(rules=BusRules(publishers={Event: ["chain"]}, subscribers={Special: ["status", "test"]}))
    with bus.subscribe(Event) as events:
        bus.publish(Special(1), sender="chain")  # a rule for a type holds for types derived from it
        with pytest.raises(NotPermitted, match="network may not publish Event"):
            bus.publish(Special(2), sender="network")
        with pytest.raises(NotPermitted, match="an unnamed caller may not publish Event"):
            bus.publish(Event(3))
        assert len(events) == 1
    with bus.subscribe(Special, name="test"):
        pass
    with pytest.raises(NotPermitted, match="network may not subscribe to Special"):
        bus.subscribe(Special, name="network").__enter__()


async def test_a_publisher_has_a_burst_and_an_average(autojump_clock: MockClock) -> None:
    bus = Bus(rules=BusRules(rates={"noisy": Rate(per_second=2.0, burst=3)}))
    published = 0
    for _ in range(100):
        with suppress(TooManyEvents):
            bus.publish(Event(1), sender="noisy")
            published += 1
        await trio.sleep(0.1)
    assert published == pytest.approx(3 + 2 * 10, abs=1)
    with suppress(TooManyEvents):
        bus.publish(Event(1), sender="noisy")
    with pytest.raises(TooManyEvents, match="noisy publishes more than 2 events/s"):
        bus.publish(Event(1), sender="noisy")
    bus.publish(Event(1), sender="somebody else")


async def test_a_filter_parts_subscribers_from_publishers() -> None:
    bus = Bus()
    with bus.subscribe(Event, name="near") as near, bus.subscribe(Event, name="far") as far:
        bus.filters.append(lambda sender, _, who: not (sender == "chain" and who == "far"))
        bus.publish(Event(1), sender="chain")
        bus.publish(Event(2), sender="other")
        assert (len(near), len(far), bus.filtered) == (2, 1, 1)
        bus.filters.clear()
        bus.publish(Event(3), sender="chain")
        assert len(far) == 2
