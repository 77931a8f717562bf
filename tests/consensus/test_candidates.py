"""The checks of a node before it passes a proposal or an approval on."""

from collections.abc import Sequence

import attrs
import pytest

from alysd.consensus.candidates import add_approvals, check_proposal, check_slot_approval, check_window
from alysd.consensus.federation import approval_message
from alysd.consensus.violations import (
    AuthorMissing,
    BadApprovalSignature,
    BelowQuorum,
    ForgedApproval,
    GenesisApproved,
    NoSuchAuthority,
    NotTheAuthorAlone,
    ParentApprovalsMissing,
    SlotPassed,
    SlotTooEarly,
    WrongApprovalLength,
)
from alysd.testing.blocks import (
    FIRST_SLOT,
    GENESIS,
    SIGNATURE,
    approve,
    context_of,
    extend,
    genesis,
    make_block,
    make_spec,
)
from alysd.types.block import Approvals
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Slot
from alysd.wire.block_ssz import slot_proof

CONTEXT = context_of(make_spec(4))
SPEC, FEDERATION = CONTEXT.spec, CONTEXT.first_federation
SLOT = Slot(FIRST_SLOT - FIRST_SLOT % 4 + 5)
AUTHOR = 1
BEGIN = float(SLOT * SPEC.slot_seconds)
PARENT = extend(genesis(SPEC), [0], SPEC)[0]
QUORUM = Approvals((True, False, True, True), BlsSignature(b"\x0f" * 96))
SIGNED = approve(make_block(PARENT, SLOT, SPEC), SPEC, [AUTHOR])
PROPOSAL = Proposal(SIGNED, QUORUM)
APPROVAL = SlotApproval(slot_proof(SIGNED.block), 3, SIGNATURE)


class Verification:
    """Finds the signatures of the messages for these blocks valid, and remembers what it was asked."""

    def __init__(self, *valid: BlockHash) -> None:
        self.valid = [approval_message(GENESIS, block) for block in valid]
        self.seen: list[tuple[Sequence[BlsPublicKey], BlsSignature]] = []

    def __call__(self, keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        self.seen.append((keys, signature))
        return message in self.valid


def propose(proposal: Proposal, verify: Verification | None = None, now: float = BEGIN) -> None:
    """Check a proposal; without `verify`, both signatures are valid."""
    check_proposal(
        proposal, FEDERATION, CONTEXT, now, verify or Verification(proposal.signed.hash, PARENT.hash, GENESIS)
    )


def test_the_answer_of_a_peer_may_have_the_approvals_of_others_too() -> None:
    more = Proposal(approve(SIGNED.block, SPEC, [AUTHOR, 3]), QUORUM)
    verify = Verification(more.signed.hash, PARENT.hash)
    check_proposal(more, FEDERATION, CONTEXT, BEGIN, verify, author_alone=False)
    with pytest.raises(NotTheAuthorAlone):
        propose(more)
    without = Proposal(approve(SIGNED.block, SPEC, [3]), QUORUM)
    with pytest.raises(AuthorMissing):
        check_proposal(without, FEDERATION, CONTEXT, BEGIN, verify, author_alone=False)


@pytest.mark.parametrize("after", [-1.0, 0.0, 1.9, 3.999])
def test_a_block_is_approved_from_half_a_slot_before_its_slot_to_the_end_of_the_next(after: float) -> None:
    check_window(SLOT, SPEC, BEGIN + after)


@pytest.mark.parametrize(
    ("after", "error"), [(-1.001, SlotTooEarly), (-1e9, SlotTooEarly), (4.0, SlotPassed), (1e9, SlotPassed)]
)
def test_nothing_is_gathered_for_a_slot_that_is_not_now(after: float, error: type[Exception]) -> None:
    """A member that was cut off must not approve old blocks, nor keep messages about blocks of next year."""
    for check in (
        lambda: check_window(SLOT, SPEC, BEGIN + after),
        lambda: propose(PROPOSAL, now=BEGIN + after),
        lambda: check_slot_approval(APPROVAL, FEDERATION, CONTEXT, BEGIN + after, Verification(APPROVAL.block)),
    ):
        with pytest.raises(error):
            check()


def test_a_proposal_is_verified_with_its_authors_key_and_its_parents_approvals() -> None:
    verify = Verification(SIGNED.hash, PARENT.hash)
    propose(PROPOSAL, verify)
    keys = FEDERATION.authorities
    assert verify.seen == [([keys[AUTHOR]], SIGNATURE), ([keys[0], keys[2], keys[3]], QUORUM.signature)]


def test_a_proposal_of_another_authority_is_refused() -> None:
    for author in (0, 2, 3):
        with pytest.raises(AuthorMissing):
            propose(attrs.evolve(PROPOSAL, signed=approve(SIGNED.block, SPEC, [author])))
    with pytest.raises(AuthorMissing):
        propose(attrs.evolve(PROPOSAL, signed=approve(SIGNED.block, SPEC, [])))
    with pytest.raises(BadApprovalSignature, match="1 approval"):
        propose(PROPOSAL, Verification(PARENT.hash))


def test_a_proposal_has_one_form() -> None:
    """Otherwise a peer could add approvals, true or forged, and so make many proposals of one."""
    with pytest.raises(NotTheAuthorAlone):
        propose(attrs.evolve(PROPOSAL, signed=approve(SIGNED.block, SPEC, [AUTHOR, 2])))


@pytest.mark.parametrize("length", [0, 3, 5, 2**10])
def test_bit_lists_of_another_length_are_refused(length: int) -> None:
    bits = Approvals((False, True, *[False] * length)[:length], SIGNATURE)
    with pytest.raises(WrongApprovalLength):
        propose(attrs.evolve(PROPOSAL, signed=attrs.evolve(SIGNED, approvals=bits)))
    with pytest.raises(WrongApprovalLength):
        propose(attrs.evolve(PROPOSAL, parent_approvals=Approvals((True,) * length, SIGNATURE)))


def test_a_proposal_proves_that_its_parent_is_approved() -> None:
    """A peer that passed it on without them, or with wrong ones, would keep others from judging the block."""
    with pytest.raises(ParentApprovalsMissing):
        propose(attrs.evolve(PROPOSAL, parent_approvals=None))
    with pytest.raises(BelowQuorum):
        propose(attrs.evolve(PROPOSAL, parent_approvals=Approvals((True, True, False, False), SIGNATURE)))
    with pytest.raises(BadApprovalSignature, match="3 approvals"):
        propose(PROPOSAL, Verification(SIGNED.hash))


def test_the_genesis_block_is_approved_by_nobody() -> None:
    first = approve(make_block(genesis(SPEC), SLOT, SPEC), SPEC, [AUTHOR])
    propose(Proposal(first, None))
    with pytest.raises(GenesisApproved):
        propose(Proposal(first, QUORUM))


def test_an_approval_is_verified_with_its_authoritys_key() -> None:
    verify = Verification(APPROVAL.block)
    check_slot_approval(APPROVAL, FEDERATION, CONTEXT, BEGIN, verify)
    assert verify.seen == [([FEDERATION.authorities[3]], SIGNATURE)]
    with pytest.raises(ForgedApproval):
        check_slot_approval(APPROVAL, FEDERATION, CONTEXT, BEGIN, Verification())


@pytest.mark.parametrize("authority", [-1, 4, 2**63])
def test_an_approval_of_nobody_is_refused(authority: int) -> None:
    with pytest.raises(NoSuchAuthority):
        check_slot_approval(
            attrs.evolve(APPROVAL, authority=authority), FEDERATION, CONTEXT, BEGIN, Verification(APPROVAL.block)
        )


def test_approvals_are_added_once() -> None:
    """The sum of a signature with itself proves nothing, and the block would be refused everywhere."""

    def aggregate(signatures: Sequence[BlsSignature]) -> BlsSignature:
        return BlsSignature(b"+".join(signatures))

    one, two = BlsSignature(b"one"), BlsSignature(b"two")
    approvals = SIGNED.approvals
    assert add_approvals(approvals, {}, aggregate) is approvals
    assert add_approvals(approvals, {AUTHOR: SIGNATURE}, aggregate) is approvals
    more = add_approvals(approvals, {AUTHOR: SIGNATURE, 3: two, 0: one}, aggregate)
    assert more == Approvals((True, True, False, True), BlsSignature(SIGNATURE + b"+two+one"))
