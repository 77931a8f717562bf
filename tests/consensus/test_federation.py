from collections.abc import Sequence

import attrs
import pytest

from alysd.consensus.federation import approval_message, check_approvals
from alysd.consensus.violations import AuthorMissing, BadApprovalSignature, BelowQuorum, WrongApprovalLength
from alysd.testing.blocks import (
    FIRST_SLOT,
    GENESIS,
    SIGNATURE,
    approve,
    context_of,
    genesis,
    make_block,
    make_spec,
)
from alysd.types.block import Approvals, SignedBlock
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256

FOUR = context_of(make_spec(4))


def verifier(answer: bool, seen: list[tuple[Sequence[BlsPublicKey], bytes, BlsSignature]] | None = None):
    def verify(keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        if seen is not None:
            seen.append((keys, message, signature))
        return answer

    return verify


def signed_by(*signers: int, members: int = 4) -> SignedBlock:
    """A block of a slot whose author is authority 1 of 4."""
    spec = make_spec(members)
    slot = next(FIRST_SLOT + step for step in range(members) if (FIRST_SLOT + step) % members == 1)
    return approve(make_block(genesis(spec), type(FIRST_SLOT)(slot), spec), spec, signers)


def test_an_approval_is_bound_to_its_chain() -> None:
    """Otherwise an approval on a test chain could be replayed on the real chain."""
    block = BlockHash(b"\x01" * 32)
    assert approval_message(GENESIS, block) == sha256(GENESIS + block)
    assert approval_message(BlockHash(bytes(32)), block) != approval_message(GENESIS, block)


def test_a_quorum_with_the_author_passes_and_is_verified_with_exactly_its_keys() -> None:
    spec, signed = make_spec(4), signed_by(0, 1, 3)
    seen: list[tuple[Sequence[BlsPublicKey], bytes, BlsSignature]] = []
    check_approvals(signed, context_of(spec).first_federation, context_of(spec), verifier(True, seen))
    keys = [spec.authorities[place] for place in (0, 1, 3)]
    assert seen == [(keys, approval_message(GENESIS, signed.hash), SIGNATURE)]


def test_below_quorum_is_only_a_candidate() -> None:
    signed = signed_by(0, 1)
    check_approvals(signed_by(0, 1, 2), FOUR.first_federation, FOUR, verifier(True))
    with pytest.raises(BelowQuorum) as caught:
        check_approvals(signed, FOUR.first_federation, FOUR, verifier(True))
    assert (caught.value.quorum, caught.value.found) == (3, 2)


def test_the_authors_approval_is_enough_for_a_candidate() -> None:
    check_approvals(signed_by(1), FOUR.first_federation, FOUR, verifier(True), quorum=False)


def test_without_the_authors_own_approval_others_do_not_suffice() -> None:
    with pytest.raises(AuthorMissing) as caught:
        check_approvals(signed_by(0, 2, 3), FOUR.first_federation, FOUR, verifier(True))
    assert caught.value.author == 1


@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_bit_list_of_another_length_is_refused(length: int) -> None:
    signed = signed_by(0, 1, 2)
    odd = attrs.evolve(signed, approvals=Approvals((True,) * length, SIGNATURE))
    with pytest.raises(WrongApprovalLength) as caught:
        check_approvals(odd, FOUR.first_federation, FOUR, verifier(True))
    assert (caught.value.expected, caught.value.found) == (4, length)


def test_a_signature_that_proves_nothing_is_refused() -> None:
    with pytest.raises(BadApprovalSignature, match="3 approvals"):
        check_approvals(signed_by(0, 1, 2), FOUR.first_federation, FOUR, verifier(False))
