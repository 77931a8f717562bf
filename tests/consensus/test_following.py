"""The proof that blocks are final, as a signer without a node checks it."""

from collections.abc import Callable

import attrs
import pytest

from alysd.consensus.following import MAX_PATH, check_step, first_followed, most_hashes
from alysd.consensus.violations import BadApprovalSignature, BelowQuorum, WrongApprovalLength
from alysd.consensus.work_violations import NotEnoughWork, WrongCommitment
from alysd.errors import NotFollowed
from alysd.integrations.bls import BLS
from alysd.testing.blocks import mine
from alysd.testing.chain import peg_chain_spec
from alysd.types.block import Approvals
from alysd.types.following import FinalityStep, Followed
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress
from alysd.wire.following import work_view_hash
from tests.peg.final_chain import FinalChain, ProvedRange, changed, proof_of

THREE = peg_chain_spec(3)


def check(chain: FinalChain, step: FinalityStep, at: Followed | None = None) -> Followed:
    known = at or first_followed(chain.context)
    return check_step(step, work_view_hash(step.carrier), known, chain.federation, chain.context, BLS.verify)


def made() -> tuple[FinalChain, ProvedRange]:
    """A chain of three members with two final blocks."""
    chain = FinalChain.of(THREE)
    chain.block()
    chain.block(skip=4)
    return chain, chain.prove()


def test_steps_lead_from_the_genesis_block_to_the_last_final_block() -> None:
    """Also with empty slots between the blocks, and a target that changes with the distance."""
    chain, first = made()
    at = check(chain, first.step)
    assert at == chain.end
    assert at.height == 2
    chain.block(skip=70)
    second = chain.prove(gap=2)
    assert len(second.step.path) == 2
    at = check(chain, second.step, at)
    assert (at, at.height) == (chain.end, 5)


def test_a_quorum_is_enough() -> None:
    chain, made_range = made()
    step = made_range.step
    two = chain.approved(step.path[-1].hash, [0, 2])
    assert check(chain, changed(step, approvals=two)) == chain.end


LIES: dict[str, tuple[Callable[[FinalChain, FinalityStep], FinalityStep], type[Exception], str]] = {
    "no header": (lambda _, step: changed(step, carrier_auxpow_header=None), NotFollowed, "includes no proof"),
    "no proof in the header": (lambda _, step: changed(step, header_auxpow=None), NotFollowed, "no proof of work"),
    "no blocks": (lambda _, step: changed(step, hashes=()), NotFollowed, "covers 1 to"),
    "too many blocks": (
        lambda _, step: changed(step, hashes=step.hashes * (most_hashes(THREE))),
        NotFollowed,
        "covers 1 to 101 blocks, found 202",
    ),
    "another first block": (
        lambda _, step: changed(step, first=attrs.evolve(step.first, inner=bytes(32))),
        NotFollowed,
        "are not those of the range",
    ),
    "another end of the header's range": (
        lambda _, step: changed(step, header_range_end=step.hashes[0]),
        NotFollowed,
        "are not those of the range",
    ),
    "another recipient of the work": (
        lambda _, step: changed(step, header_fee_recipient=EvmAddress(bytes(20))),
        WrongCommitment,
        "",
    ),
    "a block left out": (
        lambda _, step: changed(step, hashes=(step.hashes[0], BlockHash(bytes(32)), step.hashes[1])),
        WrongCommitment,
        "",
    ),
    "an easier target": (lambda _, step: changed(step, header_bits=0x20FFFFFF), NotFollowed, "the target of"),
    "too little work": (
        lambda _, step: changed(step, header_auxpow=mine(AuxHash(bytes(32)), 2**255 - 1, meets=False)),
        NotEnoughWork,
        "",
    ),
    "nothing after the proof": (lambda _, step: changed(step, path=()), NotFollowed, "1 to 64 blocks must follow"),
    "too much after the proof": (
        lambda _, step: changed(step, path=step.path * (MAX_PATH + 1)),
        NotFollowed,
        "found 65",
    ),
    "a path from another block": (
        lambda _, step: changed(step, path=(proof_of(bytes(32), step.carrier.slot + 1),)),
        NotFollowed,
        "are not a chain",
    ),
    "a carrier with other contents": (
        lambda _, step: changed(step, carrier_peg_ins=bytes(32)),
        NotFollowed,
        "are not a chain",
    ),
    "a path that commits nothing": (
        lambda _, step: changed(step, path=(*step.path, proof_of(step.path[-1].hash, step.path[-1].slot + 2))),
        NotFollowed,
        "does not commit",
    ),
    "slots that go back": (
        lambda _, step: changed(step, path=(*step.path, proof_of(step.path[-1].hash, step.path[-1].slot))),
        NotFollowed,
        "does not commit",
    ),
    "too few bits": (
        lambda _, step: changed(step, approvals=attrs.evolve(step.approvals, signers=(True, True))),
        WrongApprovalLength,
        "",
    ),
    "one member of three": (
        lambda chain, step: changed(step, approvals=chain.approved(step.path[-1].hash, [1])),
        BelowQuorum,
        "",
    ),
    "a bit without a signature": (
        lambda chain, step: changed(
            step, approvals=Approvals((True,) * 3, chain.approved(step.path[-1].hash, [0, 1]).signature)
        ),
        BadApprovalSignature,
        "",
    ),
    "approvals of another block": (
        lambda chain, step: changed(step, approvals=chain.approved(step.hashes[0])),
        BadApprovalSignature,
        "",
    ),
    "approvals of another chain": (
        lambda _, step: changed(
            step, approvals=FinalChain.of(peg_chain_spec(3, slot_seconds=3)).approved(step.path[-1].hash)
        ),
        BadApprovalSignature,
        "",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused(lie: str) -> None:
    """Each part of a step is covered by the work, by the approvals, or by what the signer follows."""
    tell, error, words = LIES[lie]
    chain, one = made()
    with pytest.raises(error, match=words or None):
        check(chain, tell(chain, one.step))


def test_blocks_that_do_not_follow_are_refused() -> None:
    """A node that leaves out blocks, or is on another chain, learns where the signer is."""
    chain, _ = made()
    chain.block()
    second = chain.prove()
    with pytest.raises(NotFollowed, match=r"at height 0: the blocks between are left out"):
        check(chain, second.step)


def test_slots_that_do_not_follow_are_refused() -> None:
    chain, one = made()
    at = attrs.evolve(first_followed(chain.context), slot=one.step.first.slot)
    with pytest.raises(NotFollowed, match="do not follow the slot"):
        check(chain, one.step, at)
