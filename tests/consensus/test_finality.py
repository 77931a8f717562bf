"""The proof of work that covers a block, and the errors when none does."""

import attrs
import pytest

from alysd.consensus.auxpow import aux_hash
from alysd.consensus.finality import covering_proof, finality_proof
from alysd.errors import Corrupt, NoProof, NotFinal
from alysd.testing.blocks import MINER, approve, digest, extend, genesis, make_block, make_header, make_spec
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState, FinalityProof, Forkchoice, PlacedBlock
from alysd.types.hashes import BlockHash, displayed
from alysd.types.tables import Proof
from alysd.types.units import Height, Slot

SPEC = make_spec()
ROOT = genesis(SPEC)
CHAIN = extend(ROOT, [1, 2, 3, 4], SPEC)
HEADER = make_header(CHAIN[3], CHAIN, SPEC, 2)
HASHES = [state.hash for state in CHAIN[:2]]
PROOF = Proof(BlockHash(digest("including")), Height(5), aux_hash(HASHES, MINER))


def at(state: ChainState, *, canonical: bool = True, proof: Proof | None = None) -> PlacedBlock:
    """A block of the height of `state`, in a chain whose second block is final."""
    signed = approve(make_block(ROOT, Slot(state.slot), SPEC), SPEC)
    payload = attrs.evolve(signed.block.payload, block_number=state.height)
    signed = attrs.evolve(signed, hash=state.hash, block=attrs.evolve(signed.block, payload=payload))
    return PlacedBlock(signed, Forkchoice(CHAIN[3], CHAIN[2], CHAIN[1]), canonical, proof, None)


def test_the_proof_of_the_heads_branch_covers_a_block() -> None:
    assert covering_proof(at(CHAIN[0], proof=PROOF)) == PROOF


@pytest.mark.parametrize(
    ("placed", "error", "words"),
    [
        (at(ROOT), NoProof, "is the genesis block"),
        (at(CHAIN[2]), NotFinal, "at height 3 is not final: the last final block has height 2"),
        (at(CHAIN[2], canonical=False), NotFinal, "is not final"),
        (at(CHAIN[0], canonical=False), NoProof, "at height 1 is abandoned"),
        (at(CHAIN[0]), NotFinal, "is final, but the proof is in a block that is not on the branch of the head"),
    ],
    ids=["genesis", "above the final block", "on another branch", "abandoned", "proof on another branch"],
)
def test_a_block_without_proof_says_why(placed: PlacedBlock, error: type[Exception], words: str) -> None:
    """A client could not tell a block that needs time from one that never becomes final."""
    with pytest.raises(error, match=words) as caught:
        covering_proof(placed)
    assert type(caught.value) is error
    assert displayed(placed.signed.hash) in str(caught.value)


def test_a_proof_comes_with_all_that_its_check_needs() -> None:
    assert HEADER.auxpow is not None
    assert finality_proof(PROOF, HEADER, HASHES) == FinalityProof(tuple(HASHES), HEADER, HEADER.auxpow, PROOF)


@pytest.mark.parametrize(
    ("header", "hashes"),
    [
        (None, HASHES),
        (attrs.evolve(HEADER, auxpow=None), HASHES),
        (HEADER, HASHES[:1]),
        (HEADER, HASHES[::-1]),
        (HEADER, []),
    ],
    ids=["no header", "no proof", "too few", "wrong order", "none"],
)
def test_a_proof_that_would_prove_nothing_is_damage(header: AuxPowHeader | None, hashes: list[BlockHash]) -> None:
    """The node would give out a proof that every check refuses, and nobody would learn of the damage."""
    with pytest.raises(Corrupt, match="does not include the proof of the work"):
        finality_proof(PROOF, header, hashes)
