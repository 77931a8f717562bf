"""The chain's state after a block, as a function of the block and of its parent's state."""

from collections.abc import Sequence

from alysd.consensus.auxpow_header import covered
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock
from alysd.types.tables import Change, Proof, Table
from alysd.types.units import Wei


def apply_block(
    parent: ChainState, signed: SignedBlock, priority_fees: Wei, ancestry: Sequence[ChainState]
) -> ExecutedBlock:
    """A valid block whose transactions paid `priority_fees`, with the state and the changes that it makes.

    `ancestry` as in `check_block`. Raises a subclass of `InvalidWork` when the block's header covers nothing in
    `ancestry`: a block that `check_block` has not seen.
    """
    block, header = signed.block, signed.block.auxpow_header
    if header is None:
        bits, last_final, final_height = parent.bits, parent.last_final, parent.last_final_height
        # Slot 0 of the genesis block lies decades before block 1: the first target counts from there instead.
        final_slot = parent.last_final_slot if parent.height else block.slot
        unpaid = parent.unpaid_fees + priority_fees
        changes: tuple[Change, ...] = ()
    else:
        final = covered(header, ancestry)
        end = final.end
        bits, last_final, final_height, final_slot = header.bits, end.hash, end.height, end.slot
        # This block mints what was unpaid: what its own transactions pay is the first of the next sum.
        unpaid = priority_fees
        proof = Proof(signed.hash, block.height)
        changes = tuple(Change(Table.PROOFS, block_hash, proof) for block_hash in final.hashes)
    state = ChainState(
        hash=signed.hash,
        parent_hash=parent.hash,
        height=block.height,
        slot=block.slot,
        payload_hash=block.payload.block_hash,
        timestamp=block.payload.timestamp,
        bits=bits,
        last_final=last_final,
        last_final_height=final_height,
        last_final_slot=final_slot,
        unpaid_fees=Wei(unpaid),
        next_withdrawal=parent.next_withdrawal + len(block.payload.withdrawals),
    )
    return ExecutedBlock(signed, state, changes)
