"""The metrics actor: counts events of the bus, and renders all metrics for Prometheus."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import trio
from prometheus_client import CollectorRegistry, Counter, generate_latest

from alysd.actors.node_metrics import EVENTS, EventCounts, SnapshotCollector, new_registry, none_lost
from alysd.messages.metrics import (
    FederationCounts,
    GetCounts,
    GetDualPath,
    GetExecutionClients,
    GetFederation,
    Metrics,
    NodeCounts,
    Scrape,
)
from alysd.nurseries import Actor, Bus, Mailbox, handles
from alysd.types.execution import DualPathStatus, ExecutionClientStatus

EVENTS_WAITING = 8192
"""The largest number of events of one type that wait for a scrape: an hour of workflow changes at two per second.

Prometheus scrapes every 15 s."""


class MetricsActor(Actor[Metrics]):
    """Counts the waiting events when it is asked for metrics, so that the node's work never waits for metrics.

    If no scrape comes for too long, events are dropped and counted as dropped. `lost_lines` returns the number of
    lines that the log has lost.
    """

    def __init__(self, bus: Bus, lost_lines: Callable[[], int] = none_lost) -> None:
        self._bus = bus
        self._subscriptions = ExitStack()
        self._channels: list[tuple[Mailbox[Any], Counter, int]] = []
        self._snapshot = SnapshotCollector(lost_lines)
        self._registry: CollectorRegistry = new_registry(self._snapshot)
        self._counts = EventCounts(self._registry)

    async def pre_start(self) -> None:
        """Subscribe to the events that are counted."""
        dropped = Counter(
            "alysd_events_uncounted", "Events dropped before a scrape.", ("event",), registry=self._registry
        )
        for event_type in EVENTS:
            channel = self._subscriptions.enter_context(self._bus.subscribe(event_type, capacity=EVENTS_WAITING))
            self._channels.append((channel, dropped.labels(event_type.__name__), 0))

    async def stopped(self) -> None:
        """Unsubscribe."""
        self._subscriptions.close()

    @handles(GetCounts)
    async def get_counts(self, _message: GetCounts) -> NodeCounts:
        """The counts of the status page, up to this moment."""
        self._take_events()
        return self._counts.totals

    @handles(GetFederation)
    async def get_federation(self, _message: GetFederation) -> FederationCounts:
        """The federation's last slots and its quorum, up to this moment."""
        self._take_events()
        return self._counts.federation

    @handles(GetExecutionClients)
    async def get_clients(self, _message: GetExecutionClients) -> tuple[ExecutionClientStatus, ...]:
        """The state of the node's two execution clients, as last seen."""
        self._take_events()
        return self._counts.clients

    @handles(GetDualPath)
    async def get_dual_path(self, _message: GetDualPath) -> DualPathStatus | None:
        """The state of the comparison of the two execution clients, as last seen."""
        self._take_events()
        return self._counts.dual

    @handles(Scrape)
    async def scrape(self, message: Scrape) -> bytes:
        """All metrics as text, rendered in a thread, because that takes some milliseconds."""
        self._take_events()
        self._snapshot.scrape = message
        return await trio.to_thread.run_sync(generate_latest, self._registry)

    def _take_events(self) -> None:
        """Count the events since the last call."""
        for index, (channel, uncounted, dropped_before) in enumerate(self._channels):
            uncounted.inc(channel.dropped - dropped_before)
            self._channels[index] = (channel, uncounted, channel.dropped)
            while len(channel):
                self._counts.add(channel.receive_nowait())
