"""The metrics of the two execution clients. A node with one client has none of them."""

import math
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from alysd.types.execution import DualPathState, DualPathStatus, ExecutionClientStatus


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
        self.dual: DualPathStatus | None = None

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"alysd_dual_path_{name}", text, labels, registry=registry)

        self._state = gauge("state", "1 for the state of the comparison of two clients.", ("state",))
        self._success = gauge("success", "Share of compared blocks that a client has answered.", ("client",))
        self._agreement = gauge("agreement", "Share of equal answers among those.", ("client",))
        self._seconds = gauge("seconds", "Mean time of each client per compared block.", ("client",))
        self._switches = Counter(
            "alysd_execution_client_switches", "Changes of the client in use.", registry=registry
        )

    def add(self, clients: tuple[ExecutionClientStatus, ...], dual: DualPathStatus | None) -> None:
        """Show this state of the clients, and of their comparison."""
        self.dual = dual
        if dual is not None:
            for state in get_args(DualPathState):
                self._state.labels(state).set(state == dual.state)
            for gauge, value in (
                (self._success.labels("second"), dual.success),
                (self._agreement.labels("second"), dual.agreement),
                (self._seconds.labels("first"), dual.old_seconds),
                (self._seconds.labels("second"), dual.new_seconds),
            ):
                gauge.set(math.nan if value is None else value)
        if self.seen and [one.active for one in clients] != [one.active for one in self.seen]:
            self._switches.inc()
        self.seen = clients
        for one in clients:
            self._active.labels(one.name).set(one.active)
            self._behind.labels(one.name).set(math.nan if one.behind is None else one.behind)
