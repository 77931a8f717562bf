"""Each misbehaviour of a Byzantine member happens, and leaves its trace on the honest nodes."""

from collections.abc import Mapping

import attrs

from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.history import History
from alysd.testing.federation.simulation import open_federation
from alysd.testing.virtual_time import run_virtually
from alysd.types.evidence import Offence

LIAR = 3


@attrs.frozen
class Traces:
    """The results of a run: the history, the number of committed blocks, and the offenders of all evidence."""

    history: History
    committed: int
    offenders: set[tuple[Offence, int]]

    def warned_of(self, peer: int) -> list[str]:
        """The honest nodes that have disconnected a peer for its offences."""
        words = f"member {peer} disconnected for"
        return [line.who for line in self.history.lines if words in line.text]

    def missed(self, member: int) -> int:
        """The number of times that a member's node reports a missed slot."""
        return sum(line.who == f"member {member}" and "made no block" in line.text for line in self.history.lines)


def lied_to(liars: Mapping[int, Habits], members: int = 4, down: int | None = None) -> Traces:
    """The traces of 24 slots with these liars; the member `down` is down in the first half of them."""

    async def main() -> Traces:
        async with open_federation(members, seed=5, liars=liars) as federation:
            if down is not None:
                federation.members[down].crash()
            await federation.slots(12)
            if down is not None:
                await federation.start(federation.members[down])
            await federation.slots(12)
            stores = [member.life.store for member in federation.honest if member.life is not None]
            offenders = {
                (evidence.offence, index)
                for store in stores
                for evidence in store.evidence()
                for index, _ in evidence.offenders
            }
            world = federation.world
            return Traces(world.history, len(world.ledger.committed), offenders)

    return run_virtually(main, seed=5)


def test_a_federation_without_liars_leaves_no_trace() -> None:
    traces = lied_to({})
    assert traces.committed >= 22
    assert traces.offenders == set()
    assert not traces.missed(LIAR)


def test_two_blocks_of_a_slot_become_evidence() -> None:
    assert lied_to({LIAR: Habits(equivocate=1.0)}).offenders == {(Offence.TWO_BLOCKS, LIAR)}


def test_second_blocks_on_earlier_parents_break_the_lock() -> None:
    offenders = lied_to({LIAR: Habits(equivocate=1.0, fork=1.0)}).offenders
    assert {who for _, who in offenders} == {LIAR}


def test_approvals_of_everything_become_evidence_against_the_approver() -> None:
    traces = lied_to({LIAR: Habits(equivocate=1.0), 5: Habits(approve_all=1.0)}, members=7)
    assert traces.offenders == {(Offence.TWO_BLOCKS, LIAR), (Offence.TWO_BLOCKS, 5)}


def test_a_withheld_approval_comes_too_late_for_its_block() -> None:
    """With one member down, the others need the approval of the fourth for each block."""
    held, given = (lied_to({LIAR: Habits(withhold_approval=p)}, down=0) for p in (1.0, 0.0))
    assert held.committed < given.committed


def test_a_withheld_block_misses_its_slot() -> None:
    assert lied_to({LIAR: Habits(withhold_block=1.0)}).missed(LIAR)


def test_garbage_ends_in_disconnection() -> None:
    assert set(lied_to({LIAR: Habits(garbage=1.0)}).warned_of(LIAR)) == {"member 0", "member 1", "member 2"}


def test_false_answers_end_in_disconnection() -> None:
    """The member that was away asks for what it lacks."""
    assert "member 0" in lied_to({LIAR: Habits(false_answers=1.0)}, down=0).warned_of(LIAR)
