"""The roll call: a federation below its quorum is noticed at once, and each slot leaves its record."""

import attrs
import pytest

from alysd.messages.events import QuorumChanged, SlotOver
from alysd.testing.blocks import FIRST_SLOT, SIGNATURE, approve, context_of, extend, genesis, make_block, make_spec
from alysd.types.block import Approvals
from alysd.types.federation import SlotRecord
from alysd.types.proposal import Proposal
from alysd.types.units import Slot
from alysd.workflows.candidate_book import Candidate, CandidateBook, RuleBroken
from alysd.workflows.roll_call import RollCall


class Federation:
    """A roll call of `members`, and the book of the workflow. Slots count from `FIRST_SLOT`."""

    def __init__(self, members: int = 4, own: int | None = None) -> None:
        self.spec = make_spec(members)
        self.members = members
        self.federation = context_of(self.spec).first_federation
        self.book = CandidateBook()
        self.events: list[object] = []
        self.roll_call = RollCall(
            self.spec.slot_seconds, self.events.append, None if own is None else self.federation.authorities[own]
        )
        self.began(0)

    def began(self, slot: int) -> None:
        """A slot begins."""
        present = Slot(FIRST_SLOT + slot)
        self.roll_call.slot_began(present, self.federation, self.book)
        self.book.prune(present)

    def block(self, slot: int, *approved: int, seconds: float = 0.1, mark: int = 0) -> Candidate:
        """The block of a slot arrives, and these authorities approve it besides its author."""
        present = Slot(FIRST_SLOT + slot)
        parent = extend(genesis(self.spec), [-50 - mark], self.spec)[0]
        signed = approve(make_block(parent, present, self.spec), self.spec, [present % self.members])
        candidate = Candidate(Proposal(signed, None), self.federation, "peer", seconds, lambda _: None)
        candidate.approvals.update(
            dict.fromkeys((self.federation.authorities[one] for one in approved), SIGNATURE)
        )
        self.book.add(candidate)
        for authority in (present % self.members, *approved):
            self.roll_call.heard(self.federation.authorities[authority], present)
        return candidate

    def round(self, first: int, end: int) -> None:
        """Slots in which all is well."""
        for slot in range(first, end):
            self.block(slot, *range(self.members))
            self.began(slot + 1)

    @property
    def quorums(self) -> list[QuorumChanged]:
        """The changes of the quorum."""
        return [event for event in self.events if isinstance(event, QuorumChanged)]

    @property
    def records(self) -> list[SlotRecord]:
        """The records of slots."""
        return [event.record for event in self.events if isinstance(event, SlotOver)]


def test_each_slot_leaves_a_record_when_nobody_approves_its_block_any_more() -> None:
    world = Federation()
    world.round(0, 1)
    world.block(1, 0, seconds=0.7)
    world.began(2)
    world.began(3)
    world.block(3, 0, seconds=-0.2)
    world.block(3, 1, 2, seconds=0.5, mark=1)
    world.began(4)
    world.began(5)
    world.began(6)
    expected = [
        (0, 0, 0.1, (0, 1, 2, 3), True),
        (1, 1, 0.7, (0, 1), False),
        (2, 2, None, (), False),
        (3, 3, 0.5, (1, 2, 3), True),
        (4, 0, None, (), False),
    ]
    assert world.records[1:] == [
        SlotRecord(Slot(FIRST_SLOT + slot), author, seconds, approved, quorum=quorum)
        for slot, author, seconds, approved, quorum in expected
    ]


def test_too_few_approvals_are_noticed_at_the_end_of_the_slot_and_once() -> None:
    world = Federation()
    world.round(0, 4)
    for slot in (4, 5):
        world.block(slot, 0, 1)
        world.began(slot + 1)
    world.began(7)
    world.began(8)
    silent = ((2, Slot(FIRST_SLOT + 3)), (3, Slot(FIRST_SLOT + 3)))
    assert world.quorums == [QuorumChanged(Slot(FIRST_SLOT + 4), 3, 2, silent, 0)]
    assert world.quorums[0].lost
    world.round(8, 10)
    assert world.quorums[1:] == [QuorumChanged(Slot(FIRST_SLOT + 8), 3, 4, (), 4)]
    assert not world.quorums[1].lost
    world.block(10)
    world.began(11)
    assert len(world.quorums) == 3, "and the next loss is noticed again"


def test_an_author_that_is_down_is_not_a_lost_quorum() -> None:
    """Every fourth slot would raise the alarm."""
    world = Federation()
    for turn in range(4):
        world.round(4 * turn, 4 * turn + 3)
        world.began(4 * turn + 4)
    assert not world.quorums


def test_a_round_without_any_block_is_a_lost_quorum() -> None:
    """A follower, or a member that is cut off, would wait in silence."""
    world = Federation()
    world.round(0, 3)
    for slot in range(3, 7):
        world.began(slot)
    assert not world.quorums
    world.began(7)
    silent = tuple((index, Slot(FIRST_SLOT + 2)) for index in range(4))
    assert world.quorums == [QuorumChanged(Slot(FIRST_SLOT + 6), 3, 0, silent, 0)]


@pytest.mark.parametrize("approved", [(), (1,)])
def test_an_authority_never_calls_itself_silent(approved: tuple[int, ...]) -> None:
    """Authority 3 named itself as one that was not heard since its own start."""
    world = Federation(own=3)
    world.round(0, 1)
    if approved:
        world.block(1, *approved)
    for slot in range(2, 7):
        world.began(slot)
    others = tuple((index, Slot(FIRST_SLOT)) for index in range(3) if index not in approved)
    assert [event.silent for event in world.quorums] == [others]


def test_a_round_of_late_blocks_is_a_lost_quorum() -> None:
    world = Federation()
    world.round(0, 1)
    for slot in range(1, 6):
        world.block(slot, seconds=1.5)
        world.began(slot + 1)
    silent = tuple((index, Slot(FIRST_SLOT + heard)) for index, heard in ((1, 1), (2, 2), (3, 3)))
    assert world.quorums == [QuorumChanged(Slot(FIRST_SLOT + 4), 3, 1, silent, 0)]


@pytest.mark.parametrize("why", ["late", "refused"])
def test_a_bad_block_says_nothing_about_the_others(why: str) -> None:
    world = Federation()
    world.round(0, 1)
    bad = world.block(1, seconds=1.1 if why == "late" else 0.1)
    if why == "refused":
        bad.machine.move(RuleBroken())
    world.began(2)
    assert not world.quorums


def test_an_authority_alone_has_its_quorum_always() -> None:
    world = Federation(members=1)
    for slot in range(1, 20):
        world.began(slot)
    assert not world.quorums
    assert len(world.records) == 19


@pytest.mark.parametrize("step", [-1000, 1000])
def test_a_clock_that_is_set_begins_a_new_roll_call(step: int) -> None:
    world = Federation()
    world.round(0, 4)
    known = len(world.records)
    world.began(4 + step)
    assert len(world.records) == known
    assert not world.quorums


def test_slots_in_which_the_node_was_busy_are_recorded_as_far_as_they_are_known() -> None:
    world = Federation()
    world.round(0, 1)
    world.began(6)
    assert [record.slot - FIRST_SLOT for record in world.records] == [-1, 3, 4]


def test_the_approvals_of_the_block_decide_whether_a_quorum_is_lost() -> None:
    """In a hand-over the number of approvals is not enough: the head has another federation than the block."""
    world = Federation(own=0)
    world.round(0, 4)
    former = world.federation
    handing = former.successor(context_of(make_spec(7)).first_federation)
    late = world.block(4)
    late.federation = handing
    late.signed = attrs.evolve(late.signed, approvals=Approvals((True,) * 3 + (False,) * 4, SIGNATURE))
    world.began(5)
    assert [(one.quorum, one.found, one.of, one.lost) for one in world.quorums] == [(5, 3, "new", True)]
