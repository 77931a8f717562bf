"""The node's health, and the status report as JSON."""

import json

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.api.node_health import NodeReport
from alysd.messages.events import QuorumChanged
from alysd.messages.metrics import FederationCounts, NodeCounts
from alysd.messages.network import OtherChainPeer, PeerInfo
from alysd.nurseries import ChildSnapshot, Health, Priority, State
from alysd.testing.blocks import GENESIS, context_of
from alysd.types.chain import Forkchoice
from alysd.types.configuration import OptionChange, Reload, ReloadTime, ScheduledReload
from alysd.types.execution import ExecutionClientStatus
from alysd.types.federation import SlotRecord, SlotSteps
from alysd.types.governance import GovernanceLinkState, GovernanceReport
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, displayed
from alysd.types.health_limits import HealthLimits
from alysd.types.signing import SignedSlot, UnknownApproval
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Slot
from tests.samples import CHAIN, SPEC, START, child, evidence

TIP = Forkchoice(CHAIN[4], CHAIN[3], CHAIN[1])
NOW = float(CHAIN[4].timestamp)


def tree(*children: ChildSnapshot) -> ChildSnapshot:
    """A running root with these children."""
    return child("AlysSystem", "supervisor", children=children)


def report(
    *children: ChildSnapshot, tip: Forkchoice | None = TIP, slots: float = 0, doubt: str = ""
) -> NodeReport:
    """The node with these children, so many slots after its head's."""
    time = NOW + slots * SPEC.slot_seconds
    return NodeReport(context_of(SPEC), time, doubt, tree(*children), tip, NodeCounts(4, 2, 0), "authority")


def test_a_restarted_child_explains_why_there_is_no_block() -> None:
    """With a full disk, the reasons were that blocks and approvals were missing, and no word of the disk."""
    full = child("approval", last_error="StoreError: cannot write: No space left on device", uptime=3.2)
    old = child("chain", last_error="StoreError: it was repaired", uptime=61.0)
    more = [child(f"n{number}", last_error="x", uptime=4.0 + number) for number in range(5)]
    assert report(full, old).health().reasons == ()
    health = report(full, old, *more, slots=11).health()
    assert health.status == "unhealthy"
    assert health.reasons == (
        "no block for 11 slots",
        "approval was restarted 3 s ago: StoreError: cannot write: No space left on device",
        "n0 was restarted 4 s ago: x",
        "n1 was restarted 5 s ago: x",
    )


@pytest.mark.parametrize(
    ("slots", "status"), [(5, "healthy"), (5.5, "degraded"), (8, "degraded"), (8.5, "unhealthy")]
)
def test_the_operator_chooses_how_old_the_head_may_be(slots: float, status: str) -> None:
    """A federation with a slow member would ring at night."""
    late = attrs.evolve(report(child("chain"), slots=slots), limits=HealthLimits(5, 8))
    assert late.health().status == status


def test_a_node_that_runs_short_is_degraded() -> None:
    """A full disk stopped the node without a word before."""
    node = attrs.evolve(report(child("chain")), limits=HealthLimits(least_free_mib=512, least_peers=2))
    assert node.health().status == "healthy", "a disk that does not answer, and a node without a network"
    assert attrs.evolve(node, free_mib=512, peers=(peer("a", 0.0), peer("b", 0.0))).health().status == "healthy"
    health = attrs.evolve(node, free_mib=511, peers=(peer("a", 0.0),)).health()
    assert (health.status, health.reasons) == (
        "degraded",
        (
            "only 511 MiB are free on the disk of the data folder, less than monitoring.least_free_mib = 512",
            "the number of connected peers is 1, less than monitoring.least_peers = 2",
        ),
    )


def test_a_key_that_is_used_elsewhere_makes_the_node_unhealthy() -> None:
    """An authority that signs nothing looked healthy."""
    guard = SignedSlot(BlsPublicKey(bytes(48)), Slot(8), ZERO_HASH, Slot(7))
    assert attrs.evolve(report(child("chain")), guard=guard).health().status == "healthy"
    halted = attrs.evolve(guard, unknown=UnknownApproval(Slot(9), BlockHash(b"\x05" * 32)))
    health = attrs.evolve(report(child("chain")), guard=halted).health()
    assert health.status == "unhealthy"
    (reason,) = health.reasons
    assert reason.startswith("this node signs nothing: its key has approved block 0505")
    assert "of slot 9 elsewhere; stop the other node for good, then run `alysd recover`" in reason


def critical(state: State, error: str | None = None) -> ChildSnapshot:
    """A child without which there are no blocks."""
    return child("chain", state=state, priority=Priority.CRITICAL, last_error=error)


@pytest.mark.parametrize(
    ("node", "status", "reasons"),
    [
        (report(child("chain")), "healthy", ()),
        (report(child("chain"), slots=3), "healthy", ()),
        (report(child("chain"), slots=4), "degraded", ("no block for 4 slots",)),
        (report(child("chain"), slots=10), "degraded", ("no block for 10 slots",)),
        (report(child("chain"), slots=11), "unhealthy", ("no block for 11 slots",)),
        (report(child("chain"), slots=-1), "healthy", ()),
        (
            report(child("chain"), slots=-1.5),
            "unhealthy",
            (
                (
                    "the newest block is 3 s ahead of the clock of this machine: the clock is behind, or was "
                    "ahead when the block was made; no block can follow before that time"
                ),
            ),
        ),
        (report(child("chain"), doubt="the clock was set"), "unhealthy", ("the clock was set",)),
        (report(tip=None), "unhealthy", ("the database does not answer",)),
        (report(tip=Forkchoice(START, START, START)), "unhealthy", ("no block yet",)),
        (report(child("journal", "task", State.STOPPED)), "healthy", ()),
        (report(child("metrics", state=State.FAILED)), "degraded", ("metrics has failed for good",)),
        (
            report(critical(State.SUSPENDED)),
            "degraded",
            ("chain is suspended: `alysd actors resume` resumes it",),
        ),
        (
            report(child("chain", health=Health.DEGRADED, priority=Priority.CRITICAL)),
            "degraded",
            ("chain runs, but is degraded: it has been busy for long, or is stuck",),
        ),
        (report(child("chain", health=Health.RECOVERING)), "healthy", ()),
        (
            report(child("chain", state=State.FAILED, health=Health.UNHEALTHY)),
            "degraded",
            ("chain has failed for good",),
        ),
        (
            report(critical(State.BACKOFF, "ValueError: x")),
            "unhealthy",
            ("chain waits for its restart: ValueError: x",),
        ),
        (
            report(child("metrics", state=State.FAILED), critical(State.CRASHED)),
            "unhealthy",
            ("chain has crashed", "metrics has failed for good"),
        ),
    ],
)
def test_how_the_node_is(node: NodeReport, status: str, reasons: tuple[str, ...]) -> None:
    """A load balancer would send people to a node that cannot serve, or away from one that can."""
    health = node.health()
    assert (health.status, health.reasons) == (status, reasons)
    assert health.http_status == (503 if status == "unhealthy" else 200)


def test_a_configured_peer_of_another_chain_is_named() -> None:
    """Both nodes were healthy, and only the quorum was missing."""
    found = (OtherChainPeer("16Uiu2", BlockHash(b"\x0f" * 32)), OtherChainPeer("16Uiu3", None))
    health = attrs.evolve(report(child("chain")), other_chain_peers=found).health()
    assert health.status == "degraded"
    assert health.reasons == (
        (
            f"the configured peer 16Uiu2 is of another chain, with the genesis {'0f' * 32}; this node has "
            f"{displayed(GENESIS)}: compare the two files of the chain on both nodes"
        ),
        (
            "the configured peer 16Uiu3 does not know the requests of an Alys node of this version: it runs "
            "another program, or another version"
        ),
    )


def test_a_checkpoint_that_no_peer_has_is_named() -> None:
    """The node said "no block yet", and every peer looked like a liar."""
    problem = "no peer has sent the block of network.checkpoint, 9:ab"
    sync = SyncProgress(Height(4), Height(9), 0.0, 3, checkpoint_missing=True, checkpoint_problem=problem)
    health = attrs.evolve(report(child("chain")), sync=sync).health()
    assert (health.status, health.reasons) == ("unhealthy", (problem,))


def test_a_lost_quorum_makes_the_node_unhealthy_and_names_the_silent() -> None:
    """A load balancer would go on to send people to a node on which nothing is ever confirmed."""
    lost = QuorumChanged(Slot(7), 3, 2, ((1, Slot(5)), (3, None)), 0)
    record = SlotRecord(Slot(6), 2, 0.25, (0, 2), quorum=False)
    node = attrs.evolve(report(child("chain")), federation=FederationCounts((record,), lost))
    assert (node.health().status, node.health().reasons) == (
        "unhealthy",
        (
            (
                "since slot 7 only 2 of the 3 approvals needed; no approval from authority 1 (last heard in "
                "slot 5), 3 (not heard since this node's start)"
            ),
        ),
    )
    well = attrs.evolve(report(child("chain")), federation=FederationCounts((record,), None))
    assert well.health().status == "healthy"


def peer(name: str, ahead: float | None, *, configured: bool = True) -> PeerInfo:
    """A peer whose clock is `ahead` of this node's."""
    return PeerInfo(name, "/ip4/192.0.2.7", True, 0.0, None, ahead, configured)


def test_a_clock_that_differs_from_most_peers_degrades_the_node() -> None:
    """The blocks of a member would be refused, and its operator would look for the reason in the log of others."""
    slot, advice = SPEC.slot_seconds, "check its time synchronisation"
    for ahead, reasons in (
        ((0.5 * slot, 0.5 * slot, None), ()),
        ((0.6 * slot, 0.5 * slot, -1e6), ()),
        (
            (0.75 * slot, 0.75 * slot, -1e6),
            (f"the clock of this machine is 1.5 s behind the clocks of its 3 configured peers: {advice}",),
        ),
        (
            (-5.0,),
            (f"the clock of this machine is 5.0 s ahead of the clocks of its 1 configured peer: {advice}",),
        ),
    ):
        peers = tuple(peer(str(number), each) for number, each in enumerate(ahead))
        health = attrs.evolve(report(child("chain")), peers=peers).health()
        assert (health.status, health.reasons) == ("degraded" if reasons else "healthy", reasons)


def test_strangers_do_not_decide_whether_the_clock_is_right() -> None:
    """Four peers that anybody can run, with false clocks, degraded a member whose three fellows agreed with it."""
    members = tuple(peer(f"member {number}", 0.0) for number in range(3))
    strangers = tuple(peer(f"stranger {number}", 60.0, configured=False) for number in range(4))
    node = report(child("chain"))
    assert attrs.evolve(node, peers=members[:1] + strangers).health().reasons == ()
    unknown = (peer("member", None),)
    for peers in (strangers, unknown + strangers):
        assert attrs.evolve(node, peers=peers).health().reasons == (
            "the clock of this machine is 60.0 s behind the clocks of 4 strangers: check its time synchronisation",
        )
    assert attrs.evolve(node, peers=members + strangers).health().status == "healthy"


def test_a_node_that_uses_its_second_execution_client_is_degraded() -> None:
    """The next failure would stop its blocks."""
    reason = "the first client failed: no answer"
    clients = (ExecutionClientStatus("first", False, None, ""), ExecutionClientStatus("second", True, 0, reason))
    node = attrs.evolve(report(child("chain")), clients=clients)
    said = ("the second execution client is in use: the first client failed: no answer",)
    assert (node.health().status, node.health().reasons) == ("degraded", said)

    async def main() -> None:
        assert node.as_json()["execution"][1] == {"name": "second", "active": True, "behind": 0, "reason": reason}
        assert report(child("chain")).as_json()["execution"] is None

    trio.run(main)


def test_everything_is_said_as_json() -> None:
    """`alysd status`, and everybody's own scripts, would miss something."""

    async def main() -> None:
        await trio.sleep(100)
        failed = child("chain", last_error="ValueError: x", last_error_at=40.0)
        peers = (PeerInfo("16Uiu2", "/ip4/192.0.2.7", True, -3.0, None, 0.25),)
        accused = attrs.evolve(report(failed), evidence=(evidence(7, 2), evidence(9, 0, 2)), peers=peers)
        said = json.loads(json.dumps(accused.as_json()))
        assert said["evidence_against"] == [0, 2]
        assert said["peers"] == [
            {
                "peer": "16Uiu2",
                "address": "/ip4/192.0.2.7",
                "inbound": True,
                "score": -3.0,
                "head": None,
                "final": None,
                "clock_ahead": 0.25,
                "configured": False,
            }
        ]
        assert said["federation"] is None
        record = SlotRecord(Slot(6), 2, 0.25, (0, 2), quorum=False, steps=SlotSteps(approved=0.5))
        lost = QuorumChanged(Slot(7), 3, 2, (), 0)
        for counts, since in ((FederationCounts((record,), lost), 7), (FederationCounts((record,), None), None)):
            node = attrs.evolve(accused, federation=counts)
            assert json.loads(json.dumps(node.as_json()))["federation"] == {
                "below_quorum_since": since,
                "slots": [
                    {
                        "slot": 6,
                        "author": 2,
                        "seconds": 0.25,
                        "approved": [0, 2],
                        "quorum": False,
                        "steps": {"approved": 0.5, "quorum": None, "imported": None},
                    }
                ],
            }
        assert (said["chain"], said["chain_id"], said["genesis"]) == (
            SPEC.name,
            SPEC.chain_id,
            GENESIS[::-1].hex(),
        )
        assert said["head"]["height"] == CHAIN[4].height
        assert said["final"]["hash"] == CHAIN[1].hash[::-1].hex()
        assert said["counts"] == {"blocks_produced": 4, "slots_missed": 2, "reorganisations": 0}
        assert said["health"] == {"status": "healthy", "reasons": []}
        (below,) = said["tree"]["children"]
        assert below["last_error_at"] == pytest.approx(NOW - 60, abs=1)
        assert below["mailbox"]["capacity"] == 64
        assert below["health"] == "Unknown"
        assert (said["tree"]["strategy"], said["tree"]["last_error_at"]) == ("OneForOne", None)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_what_does_not_answer_is_left_out(autojump_clock: MockClock) -> None:
    """The page that says who is stuck would itself fail."""
    said = attrs.evolve(report(tip=None), counts=None).as_json()
    assert "head" not in said
    assert said["counts"] is None


def test_the_last_reload_is_shown() -> None:
    """`alysd status` could not name the options that wait for a restart."""
    changes = (
        OptionChange("logging.level", '"info"', '"debug"', live=True),
        OptionChange("storage.path", '"a"', '"b"', live=False),
    )

    async def main() -> None:
        shown = report(tree()).as_json()
        assert shown["reload"] is None
        done = attrs.evolve(report(tree()), reload=Reload("applied", changes, "", "SIGHUP", 5.0)).as_json()
        assert done["reload"] == {
            "outcome": "applied",
            "time": 5.0,
            "origin": "SIGHUP",
            "applied": ["logging.level"],
            "needs_restart": ["storage.path"],
            "reason": None,
            "trial_seconds_left": None,
        }
        assert done["scheduled_reload"] is None
        scheduled = ScheduledReload(ReloadTime(height=Height(900)), changes, "test")
        on_trial = attrs.evolve(
            report(tree()), reload=Reload("applied", (), "", "SIGHUP", 5.0), trial_left=12.5, scheduled=scheduled
        ).as_json()
        assert on_trial["reload"]["trial_seconds_left"] == 12.5
        assert on_trial["scheduled_reload"] == {
            "time": None, "height": 900, "origin": "test", "options": ["logging.level"]
        }  # fmt: skip

    trio.run(main)


def test_a_governance_that_is_away_degrades_only() -> None:
    """A probe would take a node out of service that makes blocks, or nobody would see that it is alone."""
    link = GovernanceLinkState(False, "a.b:1", "gone", 300, 0, 0, 0)
    away = attrs.evolve(report(), governance=GovernanceReport(link, 0.0, 0, ()))
    health = away.health()
    assert health.status == "degraded"
    assert health.reasons == (
        "no connection to the governance: gone",
        "the governance has not acknowledged 300 requests",
    )
    assert attrs.evolve(away, governance=None).health().status == "healthy"
