"""The metrics actor: it counts events when it is asked, and never delays their publishers.

A scrape renders in a thread, so tests of it run on the real clock: on virtual time its deadline is past.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import trio

from alysd.actors.metrics import EVENTS, EVENTS_WAITING, MetricsActor
from alysd.messages.events import BlockProduced, QuorumChanged, SlotMissed, SlotOver
from alysd.messages.metrics import FederationCounts, GetCounts, GetFederation, Metrics, NodeCounts, Scrape
from alysd.nurseries import Address, Bus, Mailbox, OneForOne, actor, open_system, supervisor
from alysd.types.federation import SlotRecord
from alysd.types.units import Slot
from tests.samples import BLOCK, tip

E = TypeVar("E")
MISSED = SlotMissed(Slot(1), 1, "x")


class CountingBus(Bus):
    """A bus that knows how many subscriptions are open."""

    listening = 0

    @contextmanager
    def subscribe(self, event_type: type[E], *, capacity: int = 64, name: str = "") -> Generator[Mailbox[E]]:
        with super().subscribe(event_type, capacity=capacity, name=name) as channel:
            self.listening += 1
            try:
                yield channel
            finally:
                self.listening -= 1


async def test_events_since_the_start_are_counted(autojump_clock: trio.abc.Clock) -> None:
    """The status page would show less than happened."""
    bus, address = Bus(), Address[Metrics]("metrics")
    root = supervisor("Root", OneForOne(), [actor(address, lambda: MetricsActor(bus))])
    async with open_system(root):
        bus.publish(MISSED)
        bus.publish(BlockProduced(BLOCK, 0.01))
        assert await address.ask(GetCounts()) == NodeCounts(1, 1, 0)
        bus.publish(MISSED)
        assert await address.ask(GetCounts()) == NodeCounts(1, 2, 0)


async def test_the_federations_slots_and_quorum_are_those_of_the_events(
    autojump_clock: trio.abc.Clock,
) -> None:
    bus, address = Bus(), Address[Metrics]("metrics")
    record, lost = SlotRecord(Slot(5), 1, 0.2, (0, 1), quorum=False), QuorumChanged(Slot(5), 3, 2, (), 0)
    root = supervisor("Root", OneForOne(), [actor(address, lambda: MetricsActor(bus))])
    async with open_system(root):
        assert await address.ask(GetFederation()) == FederationCounts((), None)
        bus.publish(SlotOver(record))
        bus.publish(lost)
        assert await address.ask(GetFederation()) == FederationCounts((record,), lost)


async def test_a_scrape_has_events_tree_and_chain() -> None:
    """Prometheus would get a part, or the numbers of an earlier scrape."""
    bus, address = Bus(), Address[Metrics]("metrics")
    root = supervisor("Root", OneForOne(), [actor(address, lambda: MetricsActor(bus))])
    async with open_system(root) as system:
        bus.publish(MISSED)
        text = (await address.ask(Scrape(system.snapshot(), tip(4, 0), {}))).decode()
        assert "alysd_slots_missed_total 1.0" in text
        assert 'alysd_child_up{child="metrics"} 1.0' in text
        assert f"alysd_head_height {float(tip(4, 0).head.height)}" in text
        text = (await address.ask(Scrape(system.snapshot(), None, {}, clock_step=-3600.0))).decode()
        assert "alysd_head_height" not in text
        assert "alysd_clock_step_seconds -3600.0" in text


async def test_what_nobody_asked_about_is_dropped_and_said() -> None:
    """Unasked events would fill the memory, or their loss go unseen."""
    bus, address = Bus(), Address[Metrics]("metrics")
    root = supervisor("Root", OneForOne(), [actor(address, lambda: MetricsActor(bus))])
    async with open_system(root) as system:
        for _ in range(EVENTS_WAITING + 5):
            bus.publish(MISSED)
        text = (await address.ask(Scrape(system.snapshot(), None, {}, clock_step=-3600.0))).decode()
        assert f"alysd_slots_missed_total {float(EVENTS_WAITING)}" in text
        assert 'alysd_events_uncounted_total{event="SlotMissed"} 5.0' in text
        again = (await address.ask(Scrape(system.snapshot(), None, {}, clock_step=-3600.0))).decode()
        assert 'alysd_events_uncounted_total{event="SlotMissed"} 5.0' in again


async def test_a_stopped_actor_listens_no_more(autojump_clock: trio.abc.Clock) -> None:
    """Otherwise every restart would leave a subscription whose channel fills up."""
    bus = CountingBus()
    address = Address[Metrics]("metrics")
    async with open_system(supervisor("Root", OneForOne(), [actor(address, lambda: MetricsActor(bus))])):
        assert bus.listening == len(EVENTS)
    assert bus.listening == 0
