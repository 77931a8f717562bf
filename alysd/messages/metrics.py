"""What the metrics actor, which counts what happens in the node, may be told."""

import attrs

from alysd.nurseries import Ask, ChildSnapshot
from alysd.types.chain import Head


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

    `head` is None while the chain actor does not answer: then the chain's metrics are left out.
    """

    tree: ChildSnapshot
    head: Head | None
