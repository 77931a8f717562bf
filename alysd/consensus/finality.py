"""The proof that a block is final, for people without a node (docs/protocol.md, "Proof of finality")."""

from collections.abc import Sequence

from alysd.consensus.auxpow import aux_hash
from alysd.errors import Corrupt, NoProof, NotFinal
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import FinalityProof, PlacedBlock
from alysd.types.hashes import BlockHash, displayed
from alysd.types.tables import Proof


def covering_proof(placed: PlacedBlock) -> Proof:
    """The proof of work that covers a block.

    Raises `NotFinal` if no proof on the head's branch covers the block yet. Raises `NoProof` if no proof ever
    will: for the genesis block, and for a block that fork choice has abandoned.
    """
    block, final, name = placed.signed.block, placed.tip.finalized, displayed(placed.signed.hash)
    if placed.proof is not None:
        return placed.proof
    if block.height == 0:
        raise NoProof(
            f"block {name} is the genesis block, which no proof of work covers: it is final by definition"
        )
    if block.height > final.height:
        raise NotFinal(
            f"block {name} at height {block.height} is not final: the last final block has height {final.height}"
        )
    if not placed.canonical:
        raise NoProof(f"block {name} at height {block.height} is abandoned: it is not on the branch of the head")
    raise NotFinal(
        f"block {name} at height {block.height} is final, but the proof is in a block that is not on the branch "
        "of the head; another proof will follow"
    )


def finality_proof(proof: Proof, header: AuxPowHeader | None, hashes: Sequence[BlockHash]) -> FinalityProof:
    """The proof of finality from the `header` that `proof.block` includes and the `hashes` of its range.

    Raises `Corrupt` if the proven work is not for these blocks: the database was damaged.
    """
    if header is None or header.auxpow is None or aux_hash(hashes, header.fee_recipient) != proof.aux_hash:
        raise Corrupt(
            f"block {displayed(proof.block)} does not include the proof of the work {displayed(proof.aux_hash)} "
            f"for the {len(hashes)} blocks that are canonical at its range"
        )
    return FinalityProof(tuple(hashes), header, header.auxpow, proof)
