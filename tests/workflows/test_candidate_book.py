"""The memory of candidates: what is kept, for how long, and how much at most."""

import attrs
import pytest

from alysd.messages.events import WorkflowMoved
from alysd.testing.blocks import FIRST_SLOT, SIGNATURE, approve, context_of, extend, genesis, make_block, make_spec
from alysd.types.block import Approvals
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.proposal import Proposal
from alysd.types.units import Slot
from alysd.wire.block_ssz import slot_proof
from alysd.workflows.candidate_book import (
    EARLY_PER_AUTHORITY,
    GATHERING,
    KEPT_SLOTS,
    TRANSITIONS,
    BlockStored,
    Candidate,
    CandidateBook,
    ImportedCandidate,
    QuorumCandidate,
    QuorumReached,
    RuleBroken,
    RulesHold,
)
from alysd.workflows.machine import NoSuchTransition

SPEC = make_spec(4)
PARENT = extend(genesis(SPEC), [-50], SPEC)[0]
FEDERATION = context_of(SPEC).first_federation
KEYS = FEDERATION.authorities


def candidate(slot: int, parent: ChainState = PARENT, moves: list[WorkflowMoved] | None = None) -> Candidate:
    """A candidate with its author's approval."""
    signed = approve(make_block(parent, Slot(FIRST_SLOT + slot), SPEC), SPEC, [(FIRST_SLOT + slot) % 4])
    signed = attrs.evolve(signed, hash=slot_proof(signed.block).hash)
    return Candidate(Proposal(signed, None), FEDERATION, "peer", 0.5, ([] if moves is None else moves).append)


def keep_early(book: CandidateBook, authority: int, mark: int, present: Slot = FIRST_SLOT) -> None:
    """Keep the approval of an unknown block."""
    book.keep_early(KEYS[authority], BlockHash(bytes([mark]) * 32), SIGNATURE, present)


def test_a_quorum_may_overrule_every_judgement_but_that_of_import() -> None:
    for state in GATHERING:
        assert TRANSITIONS[state, QuorumReached](state(), QuorumReached()) == QuorumCandidate()
        assert TRANSITIONS[state, BlockStored](state(), BlockStored()) == ImportedCandidate()
    one = candidate(1)
    one.machine.move(QuorumReached())
    one.machine.move(RuleBroken())
    assert one.settled
    with pytest.raises(NoSuchTransition):
        one.machine.move(QuorumReached())


def test_every_change_of_state_is_published() -> None:
    moves: list[WorkflowMoved] = []
    one = candidate(1, moves=moves)
    one.machine.move(RulesHold())
    assert moves == [WorkflowMoved("approval", "ValidCandidate")]


def test_the_approvals_of_a_candidate_are_those_of_its_block_of_its_child_and_of_single_authorities() -> None:
    one = candidate(1)
    assert one.signers == (False, True, False, False)
    one.approvals[KEYS[3]] = BlsSignature(b"3")
    assert one.signers == (False, True, False, True)
    one.prove(Approvals((True, True, True, False), SIGNATURE))
    assert one.signers == (True, True, True, True)
    one.prove(Approvals((True, True, False, True), SIGNATURE))
    assert one.proved == Approvals((True, True, True, False), SIGNATURE), "the first are kept"


def test_the_approvals_of_a_child_that_lack_some_of_a_sum_are_not_used() -> None:
    """The author's approval is part of the sum, and a block without it is invalid."""
    signed = attrs.evolve(candidate(1).signed, approvals=Approvals((False, True, True, False), SIGNATURE))
    one = Candidate(Proposal(signed, None), FEDERATION, "peer", 0.5, list[WorkflowMoved]().append)
    one.prove(Approvals((True, False, True, True), SIGNATURE))
    assert one.proved is None
    one.prove(Approvals((True, True, True, False), SIGNATURE))
    assert one.proved is not None


def test_candidates_are_found_by_hash_slot_and_parent() -> None:
    book = CandidateBook()
    first, second = candidate(2), candidate(1)
    book.add(first)
    book.add(second)
    assert list(book) == [second, first], "oldest slot first"
    assert book.get(first.signed.hash) is first
    assert book.get(BlockHash(bytes(32))) is None
    assert list(book.of_slot(first.slot)) == [first]
    assert list(book.children(PARENT.hash)) == [second, first]
    assert not book.children(first.signed.hash)


def test_a_slot_has_room_for_two_candidates_of_an_author_and_only_near_the_present() -> None:
    book, present = CandidateBook(), Slot(FIRST_SLOT + 10)
    rooms = [slot for slot in range(20) if book.has_room(Slot(FIRST_SLOT + slot), present, KEYS[0])]
    assert rooms == [7, 8, 9, 10, 11]
    for other in extend(genesis(SPEC), [-9, -8], SPEC):
        assert book.has_room(Slot(FIRST_SLOT + 9), present, KEYS[1])
        book.add(candidate(9, other))
    assert not book.has_room(Slot(FIRST_SLOT + 9), present, KEYS[1])
    assert book.has_room(Slot(FIRST_SLOT + 9), present, KEYS[2]), "the author by another federation"
    assert book.has_room(Slot(FIRST_SLOT + 8), present, KEYS[1])


def test_approvals_wait_for_their_block_up_to_a_number_per_authority() -> None:
    """One member that signs nonsense must not push out the approvals of the others."""
    book = CandidateBook()
    wanted = candidate(1)
    book.keep_early(KEYS[3], wanted.signed.hash, SIGNATURE, FIRST_SLOT)
    for mark in range(100):
        keep_early(book, 0, mark)
        keep_early(book, 2, 1)
    assert book.early == 1 + EARLY_PER_AUTHORITY + 1
    book.add(wanted)
    assert wanted.approvals == {KEYS[3]: SIGNATURE}
    assert book.early == EARLY_PER_AUTHORITY + 1


def test_what_is_old_is_forgotten() -> None:
    book = CandidateBook()
    candidates = [candidate(slot) for slot in range(8)]
    for one in candidates:
        book.add(one)
        keep_early(book, one.slot % 4, one.slot % 251, one.slot)
    present = Slot(FIRST_SLOT + 6)
    assert book.prune(present) == candidates[: 7 - KEPT_SLOTS]
    assert list(book) == candidates[7 - KEPT_SLOTS :]
    assert book.early == KEPT_SLOTS, "the one from the future was kept by another clock, and goes too"
    assert book.prune(Slot(FIRST_SLOT + 60)) == candidates[7 - KEPT_SLOTS :]
    assert book.early == 0
    assert not book.prune(Slot(FIRST_SLOT + 60))


def test_a_clock_that_was_set_back_leaves_nothing_behind() -> None:
    book = CandidateBook()
    book.add(candidate(50))
    keep_early(book, 1, 1, Slot(FIRST_SLOT + 50))
    book.prune(FIRST_SLOT)
    assert not list(book)
    assert book.early == 0
