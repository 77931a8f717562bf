"""The metrics of a federation: its quorum, the slots of each authority, and who approves."""

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge

from alysd.messages.events import QuorumChanged
from alysd.messages.metrics import FederationCounts
from alysd.types.federation import SlotRecord

SLOTS_SHOWN = 21
"""The number of slots whose records are kept: a round of the largest federation that is tested."""

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
        self._below = Gauge("alysd_below_quorum", "1 while too few authorities approve blocks.", registry=registry)
        self._slots: deque[SlotRecord] = deque(maxlen=SLOTS_SHOWN)
        self._lost: QuorumChanged | None = None

    @property
    def counts(self) -> FederationCounts:
        """The records of the last slots, and the loss of the quorum."""
        return FederationCounts(tuple(self._slots), self._lost)

    def slot_over(self, record: SlotRecord) -> None:
        """Count a slot, its block's approvals and the delay of the block."""
        author = str(record.author)
        self._slots.append(record)
        self._results.labels(author, RESULTS[record.seconds is not None, record.quorum]).inc()
        if record.seconds is not None:
            self._delay.labels(author).set(record.seconds)
        for authority in record.approved:
            self._approvals.labels(str(authority)).inc()

    def quorum_changed(self, event: QuorumChanged) -> None:
        """Remember whether a quorum approves blocks."""
        self._lost = event if event.lost else None
        self._below.set(event.lost)
