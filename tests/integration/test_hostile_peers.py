"""Hostile peers against a live daemon: one of four members is attacked by an independent program.

Meanwhile the federation misses no slot, the memory of both processes of the attacked member stays bounded, and the
node closes the connections of the attackers. `python -m benchmarks.hostile_peers` attacks for longer, and by one
attack after the other.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from tests.integration.attacked_member import (
    ATTACKED,
    HOST_MIB,
    NODE_MIB,
    AttackedFederation,
    Outcome,
    attacked_federation,
)
from tests.integration.gossip_attacks import MEMBERS
from tests.integration.hostile_peers import NAMES, PATIENT
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

SECONDS = 8.0
"""How long each group of attacks lasts: a slot of every member, and more than the deadline of a handshake, 5 s."""

RUNS = 3
"""The most runs of a group. A busy machine misses a slot now and then too; an attack that works, in each run."""

GROUPS = (
    ("half_open", "slow_loris"),
    ("random_bytes", "oversized_handshake", "multistream_lines", "yamux_frames", "unread_bytes", "gossip_frames"),
    ("authenticated_crowd",),
    ("gossip_flood", "replayed_approvals", "requests_of_no_kind"),
    ("invalid_proposals", "proofs_of_work", "wrong_genesis", "false_answers"),
)
"""Attacks side by side. Those that take all places for handshakes, or all processor time, do not hide others."""

UNAUTHENTICATED = ("half_open", "slow_loris", "random_bytes", "oversized_handshake")
"""Attacks on the handshake itself."""


def test_every_attack_is_in_a_group() -> None:
    """An attack could be forgotten."""
    assert sorted(chain(*GROUPS)) == sorted(NAMES)


async def test_hostile_peers_cost_no_slot(tmp_path: Path) -> None:
    """Any stranger could stop the federation, or fill the memory of a member."""
    groups = list(GROUPS)
    async with attacked_federation(tmp_path) as federation:
        for _ in range(RUNS):
            outcomes = [await attacked(federation, group) for group in groups]
            missed = [await federation.missed(outcome) for outcome in outcomes]
            print(missed)
            groups = [
                group for group, outcome, slots in zip(groups, outcomes, missed, strict=True)
                if costly(slots, outcome.slots)
            ]  # fmt: skip
            if not groups:
                return
    raise AssertionError(f"cost slots in each of {RUNS} runs: {groups}")


def costly(missed: Sequence[int], slots: int) -> bool:
    """Whether an attack missed a slot of the attacked member, or more than a quarter of all slots."""
    return any(slot % MEMBERS == ATTACKED for slot in missed) or 4 * len(missed) > slots


async def attacked(federation: AttackedFederation, group: Sequence[str]) -> Outcome:
    """Attack by a group. It must reach the node, which must stay small and close its connections."""
    outcome = await federation.attacked(group, SECONDS)
    print(outcome, flush=True)
    assert outcome.node_mib < NODE_MIB, outcome
    assert outcome.host_mib < HOST_MIB, outcome
    assert len(outcome.deeds) == len(group), outcome
    for deeds in outcome.deeds:
        assert deeds.authenticated or deeds.attack in UNAUTHENTICATED, deeds
        assert deeds.closed or deeds.attack in PATIENT, deeds
    return outcome
