"""The inequalities between deadlines, for every slot length, and the values for slots of 2 s."""

from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd import peer_host_process
from alysd.api import jsonrpc
from alysd.api.http.limits import LIMITS
from alysd.commands import status
from alysd.integrations import open_telemetry
from alysd.integrations.execution import engine_api
from alysd.messages.chain import Chain, GetForkchoice
from alysd.node import health_rules
from alysd.nurseries import (
    Actor,
    Address,
    HealthMonitor,
    Immediate,
    NotAnswered,
    OneForOne,
    Priority,
    actor,
    handles,
    open_system,
    supervisor,
)
from alysd.nurseries.health import INTERVALS
from alysd.timing import EngineDeadlines, Timing

every_slot = pytest.mark.parametrize(
    "timing", [Timing(slot, patience) for slot in (1, 2, 12, 60) for patience in (1, 2, 10)], ids=str
)


@every_slot
def test_a_slot_has_room_for_its_work(timing: Timing) -> None:
    """A wait that is longer than what is left of the slot would lose the slot instead of going on without."""
    assert timing.slot_work < timing.slot_seconds <= timing.slot_ask
    assert timing.work_ask + timing.feed_piece + timing.engine_in_slot.build < timing.slot_work
    assert timing.work_ask < timing.chain_lookup, "a stuck chain actor costs a slot only the work, not the block"
    assert timing.engine_in_slot.fill < timing.engine_in_slot.build
    assert timing.readiness_retry < timing.slot_seconds


@every_slot
def test_an_import_ends_before_it_counts_as_stuck(timing: Timing) -> None:
    """A node beside a slow client would have its block import restarted, again and again."""
    calls = timing.engine_in_slot
    # EthereumJS has receipts of its head's chain only: it is told to follow the block, and asked again.
    execution = calls.new_payload + calls.receipts + calls.forkchoice + calls.lookup + calls.receipts
    assert timing.feed_piece + execution < timing.execution
    assert calls.forkchoice < timing.head_update
    lookups = 3 * timing.chain_lookup  # is it there already, its parent, what a proof in it may cover
    assert lookups + timing.execution + timing.chain_write + timing.head_update < timing.stuck


@every_slot
def test_the_gathering_of_approvals_fits_into_the_slot(timing: Timing) -> None:
    """An author would lose its slot to the wait for its parent, or be cut off without the reason."""
    assert (
        timing.late_quorum + timing.work_ask + timing.feed_piece + timing.engine_in_slot.build < timing.slot_work
    )
    assert timing.quorum_wait < timing.slot_work
    # Judging a candidate: its parent, what a proof in it may cover, whether the node is synced; importing another.
    assert 3 * timing.chain_lookup + timing.candidate_execution < timing.stuck
    assert timing.candidate_execution < timing.engine_in_slot.new_payload, "the author decides how long it takes"
    assert timing.execution < timing.approval_import
    assert timing.chain_lookup + timing.approval_import < timing.stuck


@every_slot
def test_no_handler_may_take_as_long_as_a_stuck_one(timing: Timing) -> None:
    """The health monitor would restart an actor for being busy."""
    for deadlines in (timing.engine_in_slot, timing.engine_catching_up):
        assert max(attrs.astuple(deadlines)) < timing.engine_handler, "the call's own error says more than a cut"
    assert timing.feed_piece + timing.engine_call < timing.engine_handler < timing.stuck
    assert timing.storage_read < timing.engine_handler
    assert timing.execution < timing.engine_handler, "block import gives up before the engine actor crashes"
    assert timing.chain_write < timing.storage_write < timing.stuck
    for answer in (timing.failover_build, 2 * timing.failover_execute, timing.head_update):
        assert timing.failover_check + 2 * answer < timing.engine_handler, "both clients are asked in one handler"
    assert timing.mining_handler < timing.stuck


@every_slot
def test_another_client_answers_within_the_slot_in_which_the_first_hangs(timing: Timing) -> None:
    """The slot would be lost, and the vote for the block of another authority."""
    build = timing.engine_in_slot
    assert timing.work_ask + timing.failover_check + 2 * build.fill < timing.slot_work
    assert 2 * timing.failover_check < timing.candidate_execution


@every_slot
def test_checks_of_a_critical_actor_leave_no_gap(timing: Timing) -> None:
    """With a gap, an actor could be busy all the time that is checked, and free in between."""
    assert timing.health_answer == INTERVALS[Priority.CRITICAL] == min(INTERVALS.values())


@every_slot
def test_who_asks_waits_longer_than_who_answers(timing: Timing) -> None:
    """A caller would be told of a timeout, not of what is wrong."""
    assert 3 * timing.chain_lookup < timing.mining_handler < timing.rpc_ask
    assert 5 * timing.rpc_ask < jsonrpc.DEADLINE_SECONDS, "getblock asks five times"
    assert timing.engine_in_slot.forkchoice < timing.readiness_ask
    assert 4 * timing.page_ask < status.DEADLINE_SECONDS


@every_slot
def test_a_stop_takes_less_than_five_seconds(timing: Timing) -> None:
    """docs/operating.md promises it."""
    assert timing.approval_stop + timing.import_stop + timing.engine_stop < timing.stop
    assert timing.chain_write <= timing.import_stop, "a block that is being written is still written"
    stop_of_peer_host = peer_host_process.STOP_SECONDS + peer_host_process.END_SECONDS
    assert stop_of_peer_host + timing.server_stop < timing.stop, "a peer host that still started took all 5 s"
    assert LIMITS.drain < timing.server_stop < timing.stop
    assert engine_api.CLOSE_SECONDS < timing.engine_close < timing.stop
    assert open_telemetry.EXPORT_SECONDS < open_telemetry.CLOSE_SECONDS < timing.stop


async def test_a_patient_node_leaves_a_slow_part_alone(autojump_clock: MockClock) -> None:
    """On a slow machine, parts were restarted while they worked."""

    class Slow(Actor[Chain], partial=True):
        @handles(GetForkchoice)
        async def work(self, message: GetForkchoice) -> Any:
            await trio.sleep(45)

    for patience, restarts in ((1, 1), (3, 0)):
        address = Address[Chain]("slow")
        child = actor(address, Slow, restart=Immediate(), priority=Priority.CRITICAL)
        monitor = HealthMonitor(health_rules(Timing(2, patience)))
        async with open_system(supervisor("Root", OneForOne(), [child]), monitor=monitor) as system:
            with suppress(NotAnswered):
                await address.ask(GetForkchoice(), seconds=50)
            assert system.snapshot().children[0].restarts == restarts


def test_patience_changes_no_deadline_within_a_slot() -> None:
    """A client that is too slow for the slots would hold up the blocks of the others."""
    usual, patient = Timing(2), Timing(2, 10)
    assert patient.engine_in_slot == usual.engine_in_slot
    names = [name for name, value in vars(Timing).items() if isinstance(value, property)]
    changed = {name for name in names if getattr(usual, name) != getattr(patient, name)}
    assert changed == {
        "storage_read", "storage_write", "engine_call", "execution", "engine_handler", "engine_catching_up",
        "health_checks", "stuck", "approval_import", "sync_import",
    }  # fmt: skip


def test_a_chain_of_two_seconds_has_these_values() -> None:
    """These values are measured and in use: none may change by accident."""
    timing = Timing(2)
    names = [name for name, value in vars(Timing).items() if isinstance(value, property)]
    assert {name: getattr(timing, name) for name in names if not name.startswith("engine_")} == {
        "pace": 2.0,
        "slot_work": 1.9,
        "slot_ask": 2.0,
        "work_ask": 0.3,
        "bridge_ask": 0.3,
        "proposal_search": 0.1,
        "late_quorum": 0.25,
        "quorum_wait": 1.8,
        "candidate_execution": 1.4,
        "approval_import": 15.0,
        "proposal_wait": 0.2,
        "sync_import": 19.3,
        "chain_lookup": 1.0,
        "local_answer": 2.0,
        "chain_write": 2.0,
        "storage_read": 5.0,
        "storage_write": 10.0,
        "mining_handler": 4.0,
        "offer_life": 900.0,
        "work_renewed": 10.0,
        "execution": 12.0,
        "head_update": 2.0,
        "feed_piece": 0.3,
        "failover_check": 0.5,
        "failover_build": 1.0,
        "failover_execute": 3.0,
        "failover_hold": 20.0,
        "failover_longest_hold": 600.0,
        "dual_path_floor": 0.5,
        "embedded_build": 1.0,
        "health_answer": 5.0,
        "health_checks": 4,
        "stuck": 20.0,
        "page_ask": 1.0,
        "rpc_ask": 5.0,
        "config_read": 10.0,
        "config_apply": 2.0,
        "config_reload": 40.0,
        "config_watch": 1.0,
        "config_retry": 10.0,
        "readiness_ask": 5.0,
        "readiness_retry": 0.25,
        "stop": 5.0,
        "import_stop": 2.0,
        "approval_stop": 0.5,
        "server_stop": 2.0,
    }
    assert timing.engine_in_slot == EngineDeadlines(
        build=1.0, fill=0.2, new_payload=1.5, forkchoice=1.5, lookup=1.0, receipts=1.5
    )
    assert timing.engine_catching_up == EngineDeadlines(
        build=1.0, fill=0.2, new_payload=12.0, forkchoice=12.0, lookup=2.0, receipts=12.0
    )
    assert (timing.engine_handler, timing.engine_pause) == (15.0, 4.0)
    assert (timing.engine_stop, timing.engine_close) == (1.0, 3.0)
