"""Proposals and approvals of a federation of four, with cheap signatures and real hashes, for tests of actors."""

import attrs

from alysd.consensus.federation import approval_message
from alysd.testing.blocks import context_of, genesis, make_block
from alysd.testing.chain import authority_secret, chain_spec
from alysd.testing.federation.keyed_signatures import KeyedSignatures
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash, slot_proof

SPEC = chain_spec(4)
CONTEXT = context_of(SPEC)
BLS = KeyedSignatures()
START = 1_700_000_000.0
"""The time at which a `VirtualClock` starts: the start of `FIRST`, a slot of authority 0."""

FIRST = Slot(int(START) // SPEC.slot_seconds)

AUTHOR = CONTEXT.first_federation.author_key(FIRST)
"""The key of the author of `FIRST`."""


def signature(authority: int, block: BlockHash) -> BlsSignature:
    """The approval of `block` by an authority."""
    return BLS.sign(authority_secret(authority), approval_message(CONTEXT.genesis, block))


def approvals(block: BlockHash, *authorities: int) -> Approvals:
    """The approvals of `block` by these authorities."""
    signers = tuple(index in authorities for index in range(len(SPEC.authorities)))
    return Approvals(signers, BLS.aggregate([signature(index, block) for index in authorities]))


def sign(block: Block, *authorities: int) -> SignedBlock:
    """The block with its real hash and these approvals; by default with that of its author."""
    identity = block_hash(block)
    return SignedBlock(
        identity, block, approvals(identity, *(authorities or (block.slot % len(SPEC.authorities),)))
    )


def child(parent: ChainState, slot: int, gas_limit: int = 30_000_000) -> Block:
    """A block on `parent`; blocks with different gas limits are different."""
    block = make_block(parent, Slot(slot), SPEC)
    return attrs.evolve(block, payload=attrs.evolve(block.payload, gas_limit=gas_limit))


PARENT_HASH = BlockHash(b"\x77" * 32)
PARENT = attrs.evolve(genesis(SPEC), hash=PARENT_HASH, slot=Slot(FIRST - 1))


def proposal(slot: int = FIRST, gas_limit: int = 30_000_000) -> Proposal:
    """A proposal of the author of `slot` on a block that a quorum has approved."""
    return Proposal(sign(child(PARENT, slot, gas_limit)), approvals(PARENT_HASH, 0, 1, 3))


def approval(proposed: Proposal, authority: int) -> SlotApproval:
    """The approval of a proposal by an authority."""
    signed = proposed.signed
    return SlotApproval(slot_proof(signed.block), authority, signature(authority, signed.hash))
