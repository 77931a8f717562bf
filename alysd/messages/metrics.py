"""The messages to the metrics actor, which counts the node's events."""

from collections.abc import Mapping

import attrs

from alysd.nurseries import Ask, ChildSnapshot, FailureKind
from alysd.types.chain import Forkchoice


class Metrics:
    """Protocol of the metrics actor."""


@attrs.frozen
class NodeCounts:
    """Counts of events since the start of the node."""

    blocks_produced: int
    slots_missed: int
    reorganisations: int


@attrs.frozen
class GetCounts(Ask[Metrics, NodeCounts]):
    """Get the counts that the status page shows."""


@attrs.frozen
class Scrape(Ask[Metrics, bytes]):
    """Get all metrics in Prometheus's text format. The caller supplies the state of the tree and the chain.

    `head` is None while the chain actor does not answer; the chain's metrics are then left out. `failures` has the
    number of failures per child and kind of failure.
    """

    tree: ChildSnapshot
    head: Forkchoice | None
    failures: Mapping[str, Mapping[FailureKind, int]]
