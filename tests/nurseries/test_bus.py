"""The bus: by type, bounded, and never waiting."""

import attrs
import pytest
import trio

from alysd.nurseries import Bus


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
