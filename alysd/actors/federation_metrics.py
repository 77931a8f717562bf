"""The metrics of a federation: its quorum, the slots of each authority, and who approves."""

from collections import deque

import attrs
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from alysd.messages.events import QuorumChanged
from alysd.messages.metrics import FederationCounts
from alysd.types.federation import SlotRecord

SLOTS_SHOWN = 21
"""The number of slots whose records are kept: a round of the largest federation that is tested."""

STEP_BUCKETS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Upper bounds, in seconds, of the histogram of a block's steps. The goal for the quorum is 0.3 s."""

RESULTS = {(True, True): "approved", (True, False): "not_approved", (False, False): "no_block"}
"""The result of a slot, by whether its block arrived and whether a quorum approved it."""


class FederationMetrics:
    """Counts the slots that are over, and keeps the records of the last ones."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("authority",)
        self._results = Counter(
            "alysd_authority_slots",
            "Slots of the authority: its block was approved, was not, or did not arrive.",
            ("authority", "result"),
            registry=registry,
        )
        self._approvals = Counter(
            "alysd_authority_approvals", "Blocks that the authority has approved.", labels, registry=registry
        )
        self._delay = Gauge(
            "alysd_authority_block_delay_seconds",
            "Time from the start of the slot until the authority's last block arrived.",
            labels,
            registry=registry,
        )
        self._steps = Histogram(
            "alysd_slot_step_seconds",
            "Time from the start of a slot until its block arrived, this node approved it, a quorum had approved "
            "it, and it was imported.",
            ("step",),
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self._below = Gauge("alysd_below_quorum", "1 while too few authorities approve blocks.", registry=registry)
        self._slots: deque[SlotRecord] = deque(maxlen=SLOTS_SHOWN)
        self._lost: QuorumChanged | None = None

    @property
    def counts(self) -> FederationCounts:
        """The records of the last slots, and the loss of the quorum."""
        return FederationCounts(tuple(self._slots), self._lost)

    def slot_over(self, record: SlotRecord) -> None:
        """Count a slot, its block's approvals, the delay of the block and the times of its steps."""
        author = str(record.author)
        self._slots.append(record)
        self._results.labels(author, RESULTS[record.seconds is not None, record.quorum]).inc()
        if record.seconds is not None:
            self._delay.labels(author).set(record.seconds)
        for step, seconds in (("arrived", record.seconds), *attrs.asdict(record.steps).items()):
            if seconds is not None:
                self._steps.labels(step).observe(seconds)
        for authority in record.approved:
            self._approvals.labels(str(authority)).inc()

    def quorum_changed(self, event: QuorumChanged) -> None:
        """Remember whether a quorum approves blocks."""
        self._lost = event if event.lost else None
        self._below.set(event.lost)
