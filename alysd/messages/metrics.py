"""Messages to the metrics actor, which counts events of the node."""

from collections.abc import Mapping

import attrs

from alysd.nurseries import Ask, ChildSnapshot, FailureKind
from alysd.types.chain import Forkchoice


class Metrics:
    """Protocol of the metrics actor."""


@attrs.frozen
class NodeCounts:
    """Counts since the node started."""

    blocks_produced: int
    slots_missed: int
    reorganisations: int


@attrs.frozen
class GetCounts(Ask[Metrics, NodeCounts]):
    """The counts that the status page shows."""


@attrs.frozen
class Scrape(Ask[Metrics, bytes]):
    """All metrics in Prometheus's text format, with those of the tree and the chain as they are given here.

    `head` is None while the chain actor does not answer: then the chain's metrics are left out. `failures` counts
    each child's failures by kind.
    """

    tree: ChildSnapshot
    head: Forkchoice | None
    failures: Mapping[str, Mapping[FailureKind, int]]
