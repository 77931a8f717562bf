"""The metrics of a federation: whose slots bring blocks, who approves, and whether there is a quorum."""

from prometheus_client import CollectorRegistry, generate_latest

from alysd.actors.federation_metrics import SLOTS_SHOWN, FederationMetrics
from alysd.messages.events import QuorumChanged
from alysd.messages.metrics import FederationCounts
from alysd.types.federation import SlotRecord, SlotSteps
from alysd.types.units import Slot

LOST = QuorumChanged(Slot(9), 3, 2, ((1, Slot(5)), (3, None)), 0)


def text(registry: CollectorRegistry) -> list[str]:
    """The lines that Prometheus reads."""
    return generate_latest(registry).decode().splitlines()


def test_each_slot_counts_for_its_author_and_for_those_who_approved() -> None:
    registry = CollectorRegistry()
    metrics = FederationMetrics(registry)
    records = (
        SlotRecord(Slot(5), 1, 0.25, (0, 1, 2), quorum=True, steps=SlotSteps(0.28, 0.31, 0.41)),
        SlotRecord(Slot(6), 2, 1.5, (2,), quorum=False),
        SlotRecord(Slot(7), 3, None, (), quorum=False),
    )
    for record in records:
        metrics.slot_over(record)
    lines = text(registry)
    for wanted in (
        'alysd_authority_slots_total{authority="1",result="approved"} 1.0',
        'alysd_authority_slots_total{authority="2",result="not_approved"} 1.0',
        'alysd_authority_slots_total{authority="3",result="no_block"} 1.0',
        'alysd_authority_approvals_total{authority="2"} 2.0',
        'alysd_authority_block_delay_seconds{authority="1"} 0.25',
        "alysd_below_quorum 0.0",
        'alysd_slot_step_seconds_bucket{le="0.3",step="arrived"} 1.0',
        'alysd_slot_step_seconds_count{step="arrived"} 2.0',
        'alysd_slot_step_seconds_bucket{le="0.3",step="approved"} 1.0',
        'alysd_slot_step_seconds_bucket{le="0.3",step="quorum"} 0.0',
        'alysd_slot_step_seconds_sum{step="quorum"} 0.31',
        'alysd_slot_step_seconds_sum{step="imported"} 0.41',
        'alysd_slot_step_seconds_count{step="imported"} 1.0',
    ):
        assert wanted in lines
    assert not any('delay_seconds{authority="3"}' in line for line in lines)
    assert metrics.counts == FederationCounts(records, None)


def test_a_lost_quorum_is_shown_until_it_is_back() -> None:
    registry = CollectorRegistry()
    metrics = FederationMetrics(registry)
    metrics.quorum_changed(LOST)
    assert metrics.counts.lost == LOST
    assert "alysd_below_quorum 1.0" in text(registry)
    metrics.quorum_changed(QuorumChanged(Slot(12), 3, 4, (), 3))
    assert metrics.counts.lost is None
    assert "alysd_below_quorum 0.0" in text(registry)


def test_the_records_are_bounded() -> None:
    metrics = FederationMetrics(CollectorRegistry())
    for slot in range(100):
        metrics.slot_over(SlotRecord(Slot(slot), slot % 4, None, (), quorum=False))
    slots = [record.slot for record in metrics.counts.slots]
    assert slots == list(range(100 - SLOTS_SHOWN, 100))
