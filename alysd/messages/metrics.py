"""What the metrics actor, which counts what happens in the node, may be told."""

from collections.abc import Mapping

import attrs

from alysd.nurseries import Ask, ChildSnapshot, FailureKind
from alysd.types.chain import Forkchoice


class Metrics:
    """Protocol of the metrics actor."""


@attrs.frozen
class NodeCounts:
    """What has happened since the node started."""

    blocks_produced: int
    slots_missed: int
    reorganisations: int


@attrs.frozen
class GetCounts(Ask[Metrics, NodeCounts]):
    """The counts that the status page shows."""


@attrs.frozen
class Scrape(Ask[Metrics, bytes]):
    """All metrics in Prometheus's text format, with those of the tree and the chain as they are given here.

    `head` is None while the chain actor does not answer: then the chain's metrics are left out. `failures` says
    how often each child failed, by the kind of failure.
    """

    tree: ChildSnapshot
    head: Forkchoice | None
    failures: Mapping[str, Mapping[FailureKind, int]]
