"""The metrics of the two execution clients. A node with one client has none of them."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge

from alysd.types.execution import ExecutionClientStatus


class ClientMetrics:
    """Shows what was last seen of the clients, and counts the changes of the client in use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seen: tuple[ExecutionClientStatus, ...] = ()
        self._active = Gauge(
            "alysd_execution_client_active", "1 for the client in use.", ("client",), registry=registry
        )
        self._behind = Gauge(
            "alysd_execution_client_behind_blocks",
            "Blocks by which the client is behind the node; NaN while it does not follow the chain.",
            ("client",),
            registry=registry,
        )
        self._switches = Counter(
            "alysd_execution_client_switches", "Changes of the client in use.", registry=registry
        )

    def add(self, clients: tuple[ExecutionClientStatus, ...]) -> None:
        """Show this state of the clients."""
        if self.seen and [one.active for one in clients] != [one.active for one in self.seen]:
            self._switches.inc()
        self.seen = clients
        for one in clients:
            self._active.labels(one.name).set(one.active)
            self._behind.labels(one.name).set(math.nan if one.behind is None else one.behind)
