"""The genesis block, whose hash identifies the chain (docs/protocol.md, "Chain specification")."""

from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, ExecutionPayload, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.hashes import ZERO_HASH, BlsSignature, EvmAddress
from alysd.types.units import Slot, Wei

_NO_SIGNATURE = BlsSignature(b"\xc0" + bytes(95))
"""The aggregate of no signatures: the point at infinity."""


def genesis_block(spec: ChainSpec, payload: ExecutionPayload) -> Block:
    """The block of slot 0 with the execution genesis `payload`. Its header commits to `bits` and `chain_id`."""
    header = AuxPowHeader(
        range_start=ZERO_HASH,
        range_end=ZERO_HASH,
        bits=spec.bits,
        chain_id=spec.chain_id,
        fee_recipient=EvmAddress(bytes(20)),
        auxpow=None,
    )
    return Block(parent_hash=ZERO_HASH, slot=Slot(0), payload=payload, auxpow_header=header)


def genesis_signed(context: ChainContext, block: Block) -> SignedBlock:
    """The genesis block as a `SignedBlock` without approvals: all nodes know it from the chain specification."""
    signers = (False,) * len(context.first_federation.authorities)
    return SignedBlock(context.genesis, block, Approvals(signers, _NO_SIGNATURE))


def genesis_state(context: ChainContext, payload: ExecutionPayload) -> ChainState:
    """The chain's state after the genesis block, which is final by definition, with no fees and no withdrawals."""
    return ChainState(
        hash=context.genesis,
        parent_hash=ZERO_HASH,
        height=payload.block_number,
        slot=Slot(0),
        payload_hash=payload.block_hash,
        timestamp=payload.timestamp,
        bits=context.spec.bits,
        last_final=context.genesis,
        last_final_height=payload.block_number,
        last_final_slot=Slot(0),
        unpaid_fees=Wei(0),
        next_withdrawal=0,
    )
