"""The metrics that events and snapshots become."""

import math
import re
from collections.abc import Mapping

import attrs
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from alysd import __version__
from alysd.actors.node_metrics import EventCounts, SnapshotCollector, new_registry
from alysd.messages.auxpow import QueuedWork
from alysd.messages.bridge import PegHealth
from alysd.messages.events import (
    BlockProduced,
    ExecutionClientsSeen,
    HeadMoved,
    OperationsCounted,
    ProductionHalted,
    ReloadEnded,
    SlotMissed,
    SlotOver,
    WorkflowMoved,
    WorkQueued,
)
from alysd.messages.metrics import NodeCounts, PortCounts, Scrape
from alysd.messages.network import PeerInfo
from alysd.nurseries import ChildSnapshot, FailureKind, Health, State
from alysd.testing.blocks import CHAIN_ID, MINER
from alysd.testing.chain import EASY_BITS
from alysd.testing.config_files import CONF
from alysd.types.auxpow import AuxPowHeader
from alysd.types.bitcoin_watch import BitcoinStatus, Expected, Stolen
from alysd.types.chain import Forkchoice
from alysd.types.configuration import OptionChange, Reload
from alysd.types.execution import DualPathStatus, ExecutionClientStatus
from alysd.types.federation import SlotRecord
from alysd.types.governance import GovernanceLinkState, GovernanceReport
from alysd.types.hashes import ZERO_HASH, AuxHash, BitcoinHash, BlockHash, BlsPublicKey, TransactionHash
from alysd.types.peg import PegTotals
from alysd.types.peg_operation import OperationMoves, OperationState, PegOperation, PegSummary
from alysd.types.signing import SignedSlot, UnknownApproval
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Sat, SatSum, Slot, Wei
from tests.samples import BLOCK, CHAIN, child, tip


def samples(registry: CollectorRegistry) -> dict[str, float]:
    """The value of every sample, by name and labels, as Prometheus reads it."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue  # a time of day
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def counted(*events: object) -> tuple[dict[str, float], NodeCounts]:
    """The numbers and the counts after these events."""
    registry = CollectorRegistry()
    counts = EventCounts(registry)
    for event in events:
        counts.add(event)
    return samples(registry), counts.totals


def test_blocks_of_this_node_are_counted_and_timed() -> None:
    """Otherwise no metric would show that a node becomes slow."""
    found, totals = counted(BlockProduced(BLOCK, 0.003), BlockProduced(BLOCK, 0.3))
    assert found["alysd_block_production_seconds_count{}"] == 2
    assert found["alysd_block_production_seconds_bucket{le=0.005}"] == 1
    assert found["alysd_block_production_seconds_sum{}"] == pytest.approx(0.303)
    assert found["alysd_produced_gas_total{}"] == 2 * BLOCK.block.payload.gas_used
    assert found["alysd_produced_transactions_total{}"] == 2 * len(BLOCK.block.payload.transactions)
    assert totals == NodeCounts(2, 0, 0)


def test_missed_and_halted_slots_are_counted() -> None:
    """An alert on either would never fire."""
    found, totals = counted(SlotMissed(Slot(1), 3, "x"), SlotMissed(Slot(9), 1, "y"), ProductionHalted(Slot(2), 9))
    assert (found["alysd_slots_missed_total{}"], found["alysd_slots_halted_total{}"]) == (4, 1)
    assert totals == NodeCounts(0, 4, 0)


def test_finality_and_reorganisations_are_counted() -> None:
    """A chain that nobody mines, or that keeps changing its mind, would look well."""
    found, totals = counted(
        HeadMoved(tip(3, 0), tip(4, 0), 0), HeadMoved(tip(4, 0), tip(4, 3), 0), HeadMoved(tip(4, 3), tip(3, 3), 2)
    )
    assert (found["alysd_final_blocks_total{}"], found["alysd_reorganised_blocks_total{}"]) == (3, 2)
    assert totals == NodeCounts(0, 0, 1)


def test_reloads_are_counted_and_the_options_that_wait_are_shown() -> None:
    waits = OptionChange("storage.path", '"a"', '"b"', live=False)
    accepted, refused = Reload("unchanged", (waits,), "", "x", 0.0), Reload("refused", (waits,), "wrong", "x", 0.0)
    found, _ = counted(ReloadEnded(accepted), ReloadEnded(refused), ReloadEnded(refused))
    assert found["alysd_config_reloads_total{outcome=unchanged}"] == 1
    assert found["alysd_config_reloads_total{outcome=refused}"] == 2
    assert found["alysd_config_needs_restart{}"] == 1, "a refused reload says nothing of the options in force"


def test_work_and_workflow_states_are_counted() -> None:
    """A pool's proofs, and a workflow that goes round in circles, would be invisible."""
    header = AuxPowHeader(BlockHash(bytes(32)), BlockHash(bytes(32)), EASY_BITS, CHAIN_ID, MINER, None)
    found, _ = counted(
        WorkQueued(QueuedWork(header, AuxHash(bytes(32)), 1, 5)),
        WorkflowMoved("block production", "Building"),
        WorkflowMoved("block production", "Building"),
        WorkflowMoved("block production", "Signing"),
    )
    assert found["alysd_works_queued_total{}"] == 1
    assert found["alysd_workflow_changes_total{state=Building,workflow=block production}"] == 2
    assert found["alysd_workflow_changes_total{state=Signing,workflow=block production}"] == 1


def clients_seen(active: str, behind: int | None) -> ExecutionClientsSeen:
    """The second client is `behind`, and `active` is in use."""
    return ExecutionClientsSeen(
        (
            ExecutionClientStatus("first", active == "first", 0, ""),
            ExecutionClientStatus("second", active == "second", behind, ""),
        ),
        DualPathStatus("both_prefer_old", 50, 0.98, None, 0.01, 0.3, ""),
    )


def test_execution_clients_are_shown_and_their_changes_counted() -> None:
    """Nobody would notice that the first client is gone until the second goes too."""
    found, _ = counted(
        *(clients_seen(*one) for one in (("first", 0), ("first", 3), ("second", 0), ("first", None)))
    )
    assert found["alysd_execution_client_switches_total{}"] == 2
    assert found["alysd_execution_client_active{client=first}"] == 1
    assert found["alysd_execution_client_active{client=second}"] == 0
    assert found["alysd_execution_client_behind_blocks{client=first}"] == 0
    assert math.isnan(found["alysd_execution_client_behind_blocks{client=second}"])
    assert found["alysd_dual_path_state{state=both_prefer_old}"] == 1
    assert found["alysd_dual_path_state{state=rolled_back}"] == 0
    assert found["alysd_dual_path_success{client=second}"] == 0.98
    assert math.isnan(found["alysd_dual_path_agreement{client=second}"])
    assert found["alysd_dual_path_seconds{client=second}"] == 0.3
    assert not [key for key in counted()[0] if "client_active" in key or "dual_path" in key], (
        "a node with one client has none"
    )


def test_other_events_count_nothing() -> None:
    """An event of a later version would crash the counting."""
    assert counted(object(), "x") == counted()


def scraped(
    tree: ChildSnapshot,
    head: Forkchoice | None = None,
    failures: Mapping[str, Mapping[FailureKind, int]] | None = None,
    sync: SyncProgress | None = None,
    bitcoin: BitcoinStatus | None = None,
    health: PegHealth | None = None,
    peers: tuple[PeerInfo, ...] | None = None,
    operations: PegSummary | None = None,
    now: float = 0.0,
) -> dict[str, float]:
    """The numbers of a scrape. With `bitcoin`, the chain has a peg."""
    ports = (PortCounts("alys", opened=2, failed=1),)
    peg = bitcoin is not None
    return scraped_of(
        Scrape(tree, head, failures or {}, ports, 0.0, sync, bitcoin, peg, health, peers, operations, now)
    )


def scraped_of(scrape: Scrape) -> dict[str, float]:
    """The numbers of this scrape."""
    collector = SnapshotCollector()
    collector.scrape = scrape
    return samples(new_registry(collector))


def test_the_chain_is_shown_while_it_is_known() -> None:
    """A dashboard would show the last height for ever while the chain actor is down."""
    head = attrs.evolve(CHAIN[4], unpaid_fees=Wei(5 * 10**17))
    found = scraped(child("AlysSystem"), Forkchoice(head, CHAIN[3], CHAIN[1]))
    assert found["alysd_head_height{}"] == CHAIN[4].height
    assert found["alysd_safe_height{}"] == CHAIN[3].height
    assert found["alysd_final_height{}"] == CHAIN[1].height
    assert found["alysd_head_timestamp_seconds{}"] == CHAIN[4].timestamp
    assert found["alysd_blocks_waiting_for_work{}"] == Height(3)
    assert found["alysd_unpaid_fees_btc{}"] == 0.5
    assert "alysd_head_height{}" not in scraped(child("AlysSystem"))


def test_the_peers_and_their_clocks_are_shown() -> None:
    """Nobody would be warned of a member that is alone, or whose clock is wrong, before its blocks are refused."""
    ahead = (0.5, None, -7.0, 0.75)
    peers = tuple(PeerInfo(str(at), "", True, 0.0, None, each) for at, each in enumerate(ahead))
    found = scraped(child("AlysSystem"), peers=peers)
    assert (found["alysd_peers{}"], found["alysd_peer_clocks_ahead_seconds{}"]) == (4, 0.5)
    alone = scraped(child("AlysSystem"), peers=())
    assert alone["alysd_peers{}"] == 0
    assert "alysd_peer_clocks_ahead_seconds{}" not in alone
    assert "alysd_peers{}" not in scraped(child("AlysSystem"))


def test_a_sync_is_shown_while_its_progress_is_known() -> None:
    """A dashboard could not show how long a newcomer still needs."""
    progress = SyncProgress(Height(5), Height(2005), 20.0, 3)
    found = scraped(child("AlysSystem"), sync=progress)
    assert (found["alysd_sync_missing_blocks{}"], found["alysd_sync_blocks_per_second{}"]) == (2000, 20.0)
    assert progress.seconds_left == 100
    assert "alysd_sync_missing_blocks{}" not in scraped(child("AlysSystem"))


def test_every_child_is_shown_and_every_mailbox() -> None:
    """An actor that is down or flooded would not be found."""
    crashed = child("chain", state=State.CRASHED)
    found = scraped(child("AlysSystem", "supervisor", children=(crashed, child("journal", "task"))))
    assert found["alysd_child_up{child=AlysSystem}"] == 1
    assert found["alysd_child_up{child=chain}"] == 0
    assert found["alysd_child_restarts_total{child=chain}"] == 2
    assert found["alysd_child_uptime_seconds{child=journal}"] == 12.5
    assert found["alysd_mailbox_messages{child=chain}"] == 3
    assert found["alysd_mailbox_capacity{child=chain}"] == 64
    assert found["alysd_messages_handled_total{child=chain}"] == 100
    assert found["alysd_messages_refused_total{child=chain}"] == 2
    assert found["alysd_messages_dropped_total{child=chain}"] == 1
    assert found["alysd_messages_abandoned_total{child=chain}"] == 4
    assert found["alysd_mailbox_longest_wait_seconds{child=chain}"] == 0.25
    assert "alysd_mailbox_messages{child=journal}" not in found


def test_health_is_one_of_its_values() -> None:
    """An alert on a stuck child would fire for another, or for none."""
    found = scraped(child("chain", health=Health.DEGRADED))
    shown = {health: found[f"alysd_child_health{{child=chain,health={health.value}}}"] for health in Health}
    assert shown == {health: float(health is Health.DEGRADED) for health in Health}


def test_failures_are_shown_by_kind() -> None:
    """A bug and a client that is away would be one number."""
    kinds = {FailureKind.PANIC: 1, FailureKind.DEPENDENCY: 7}
    found = scraped(child("AlysSystem"), failures={"engine": kinds, "chain": {}})
    assert found["alysd_child_failures_total{child=engine,kind=panic}"] == 1
    assert found["alysd_child_failures_total{child=engine,kind=dependency}"] == 7
    assert len([name for name in found if name.startswith("alysd_child_failures")]) == 2


def test_each_port_is_shown() -> None:
    """A crowd of clients would look like a slow node."""
    found = scraped(child("AlysSystem"))
    assert found["alysd_port_connections_total{port=alys}"] == 2
    assert found["alysd_port_requests_failed_total{port=alys}"] == 1


def test_version_and_process_are_shown() -> None:
    """The metrics must show the version and the memory of the process."""
    found = samples(new_registry(SnapshotCollector()))
    assert found[f"alysd_build_info{{version={__version__}}}"] == 1
    assert found["process_resident_memory_bytes{}"] > 0


def test_the_peg_is_shown_on_a_chain_that_has_one() -> None:
    """An operator would not see that the own Bitcoin node has stopped the peg."""
    totals = PegTotals(
        held=Sat(250_000_000),
        owed=Sat(1),
        minted=SatSum(150_000_000),
        paying=(0, 1),
        moving=(1,),
        first_request=3,
        next_request=8,
        first_refund=1,
        next_refund=4,
        operations=12,
    )
    tip = Forkchoice(attrs.evolve(CHAIN[4], peg=totals), CHAIN[3], CHAIN[1])
    found = scraped(child("AlysSystem"), tip, bitcoin=BitcoinStatus(800_000, 799_990, "connection refused"))
    assert (found["alysd_bitcoin_usable{}"], found["alysd_bitcoin_height{}"]) == (0, 799_990)
    assert found["alysd_bitcoin_blocks_behind{}"] == 10
    lost = (Expected(BitcoinHash(bytes(32)), Sat(1)),)
    for health, numbers in ((PegHealth(lost, None), (1, 1)), (PegHealth((), "not compared"), (0, 0))):
        shown = scraped(child("AlysSystem"), tip, health=health)
        assert (shown["alysd_peg_halted{}"], shown["alysd_peg_compared{}"]) == numbers
        assert shown["alysd_peg_stolen_btc{}"] == 0
    stolen = (Stolen(BitcoinHash(bytes(32)), Sat(70_000)), Stolen(BitcoinHash(bytes(32)), Sat(30_000)))
    shown = scraped(child("AlysSystem"), tip, health=PegHealth((), None, stolen))
    assert (shown["alysd_peg_halted{}"], shown["alysd_peg_stolen_btc{}"]) == (1, 0.001)
    assert (found["alysd_peg_held_btc{}"], found["alysd_peg_owed_btc{}"]) == (2.5, 1e-8)
    assert (found["alysd_peg_payments_in_flight{}"], found["alysd_peg_requests_waiting{}"]) == (2, 5)
    assert (found["alysd_peg_refunds_waiting{}"], found["alysd_peg_operations{}"]) == (3, 12)
    assert found["alysd_peg_minted_btc{}"] == 1.5
    assert not [name for name in scraped(child("AlysSystem"), tip) if "peg" in name or "bitcoin" in name]


def test_the_open_burns_are_shown_with_the_age_of_the_oldest() -> None:
    """Nobody would notice that payments wait for a quorum of signers."""
    tip = Forkchoice(CHAIN[4], CHAIN[3], CHAIN[1])
    open_burns = ((OperationState.REQUESTED, 3), (OperationState.SIGNED, 1))
    for since, now, age in ((1_000, 1_090.5, 90.5), (1_000, 900.0, 0.0), (None, 900.0, 0.0)):
        found = scraped(child("AlysSystem"), operations=PegSummary(tip, open_burns, 7, since), now=now)
        assert found["alysd_peg_oldest_burn_seconds{}"] == age
        assert found["alysd_peg_open_burns{state=requested}"] == 3
        assert found["alysd_peg_open_burns{state=signed}"] == 1


def test_the_moves_of_operations_are_counted_by_state() -> None:
    deposit = PegOperation(OperationState.MINTED, Sat(1), deposit=BitcoinHash(bytes(32)))
    burn = PegOperation(OperationState.REFUSED, Sat(1), transaction=TransactionHash(bytes(32)))
    found, _ = counted(OperationsCounted.of(OperationMoves(Height(9), (deposit, burn, burn), 0)))
    assert found["alysd_peg_operation_moves_total{kind=peg-in,state=minted}"] == 1
    assert found["alysd_peg_operation_moves_total{kind=peg-out,state=refused}"] == 2


def test_evidence_is_that_of_the_database_by_authority() -> None:
    """After a restart the metric was missing, and an alert on its increase missed the first piece."""
    scrape = Scrape(child("chain"), None, {}, evidence=(0, 2))
    found = scraped_of(scrape)
    assert (found["alysd_evidence_total{authority=0}"], found["alysd_evidence_total{authority=1}"]) == (0, 2)
    assert not any(name.startswith(("alysd_evidence", "alysd_key")) for name in scraped(child("chain"), None, {}))


@pytest.mark.parametrize(("unknown", "value"), [(None, 0), (UnknownApproval(Slot(9), ZERO_HASH), 1)])
def test_a_key_that_is_used_elsewhere_is_a_metric(unknown: UnknownApproval | None, value: int) -> None:
    guard = SignedSlot(BlsPublicKey(bytes(48)), Slot(8), ZERO_HASH, Slot(7), unknown=unknown)
    assert scraped_of(Scrape(child("chain"), None, {}, guard=guard))["alysd_key_used_elsewhere{}"] == value


@pytest.mark.parametrize("name", ["conf/prometheus/alysd.rules.yml", "docs/operating.md"])
def test_every_metric_that_an_operator_is_told_to_watch_exists(name: str) -> None:
    """An alert on a metric that does not exist never fires."""
    named = set(re.findall(r"\balysd_[a-z0-9_]+", (CONF.parent / name).read_text()))
    assert len(named) > 5
    over = SlotOver(SlotRecord(Slot(7), 0, 0.1, (0,), quorum=True))
    deposit = PegOperation(OperationState.MINTED, Sat(1), deposit=BitcoinHash(bytes(32)))
    reloaded = ReloadEnded(Reload("applied", (), "", "SIGHUP", 0.0))
    moved = OperationsCounted.of(OperationMoves(Height(9), (deposit,), 0))
    clients = clients_seen("first", 0)
    counts, _ = counted(WorkflowMoved("block production", "Building"), over, moved, clients, reloaded)
    head = Forkchoice(CHAIN[4], CHAIN[3], CHAIN[1])
    sync = SyncProgress(Height(5), Height(2005), 20.0, 3)
    bitcoin = BitcoinStatus(800_000, 800_000, None)
    peers = (PeerInfo("peer", "", True, 0.0, None, 0.5),)
    failures, health = {"chain": {FailureKind.PANIC: 1}}, PegHealth((), None)
    open_burns = PegSummary(head, ((OperationState.REQUESTED, 1),), None, None)
    shown = scraped(child("chain"), head, failures, sync, bitcoin, health, peers, open_burns)
    guard = SignedSlot(BlsPublicKey(bytes(48)), Slot(8), ZERO_HASH, Slot(7))
    link = GovernanceLinkState(True, "a:1", "", 0, 1, 1, 1, (("unknown message", 1),))
    governance = GovernanceReport(link, 0.0, 0, ())
    shown |= scraped_of(Scrape(child("chain"), None, {}, evidence=(0,), guard=guard, governance=governance))
    exposed = {key.partition("{")[0].removesuffix("_bucket") for key in (*counts, *shown)}
    assert named - {"alysd_events_uncounted_total"} <= exposed


def test_lost_lines_of_the_log_are_a_metric_before_the_first_scrape() -> None:
    """Otherwise nothing would show that the log is incomplete."""
    assert samples(new_registry(SnapshotCollector(lambda: 7)))["alysd_log_lines_lost_total{}"] == 7
