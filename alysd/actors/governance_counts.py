"""The numbers of the governance stream, over all connections of a process."""

from collections import Counter
from collections.abc import Iterable

import attrs
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.messages.log.base import LogEvent, log
from alysd.messages.log.governance import GovernanceRefusalsNotLogged
from alysd.types.governance import GovernanceLinkState, GovernanceReport

LINES = AllowedRate(per_second=1 / 10, burst=20)
"""The log lines about single refusals. A governance that floods decides how many refusals there are."""


class RefusalLog:
    """Logs refusals, at most at the rate of `LINES`, and then how many others there were."""

    def __init__(self) -> None:
        self._limits = RateLimits(LINES)
        self._left_out = 0

    def add(self, event: LogEvent) -> None:
        """Log the refusal, or only count it."""
        if not self._limits.take("lines", trio.current_time()):
            self._left_out += 1
            return
        if self._left_out:
            log(GovernanceRefusalsNotLogged(self._left_out))
            self._left_out = 0
        log(event)


@attrs.define
class LinkCounts:
    """The state of the connection, and what was counted since the start of the process."""

    endpoint: str = ""
    connected: bool = False
    reason: str = "not connected yet"
    sent: int = 0
    received: int = 0
    connections: int = 0
    refused: Counter[str] = attrs.field(factory=Counter[str])

    def refuse(self, name: str) -> None:
        """Count a refused message. `name` is one of the program's constants, so the names are few."""
        self.refused[name] += 1

    def state(self, waiting: int) -> GovernanceLinkState:
        """The state to report, with the number of requests in the outbox."""
        return GovernanceLinkState(
            self.connected,
            self.endpoint,
            "" if self.connected else self.reason,
            waiting,
            self.sent,
            self.received,
            self.connections,
            tuple(sorted(self.refused.items())),
        )


def governance_metrics(report: GovernanceReport) -> Iterable[Metric]:
    """The metrics of the stream. The counters begin at 0 with each process of the governance host."""
    link = report.link
    yield GaugeMetricFamily(
        "alysd_governance_connected", "1 while the governance has registered this node.", link.connected
    )
    yield GaugeMetricFamily(
        "alysd_governance_unacknowledged", "Requests that the governance has not acknowledged.", link.waiting
    )
    yield GaugeMetricFamily(
        "alysd_governance_proposals", "Proposals of the governance that this node keeps.", report.proposals
    )
    for name, text, count in (
        ("connections", "Connections to the governance.", link.connections),
        ("sent", "Messages that were sent to the governance.", link.sent),
        ("received", "Messages of the governance, also refused ones.", link.received),
    ):
        yield CounterMetricFamily(f"alysd_governance_{name}", text, count)
    for name, text, counts in (
        ("refused", "Messages of the governance that could not be read, or that were unexpected.", link.refused),
        ("declined", "Messages of the governance that this node has not followed.", report.declined),
    ):
        metric = CounterMetricFamily(f"alysd_governance_{name}", text, labels=["reason"])
        for reason, count in counts:
            metric.add_metric([reason], count)
        yield metric
