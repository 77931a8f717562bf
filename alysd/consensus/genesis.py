"""The genesis block, whose hash identifies the chain (docs/protocol.md, "Chain specification")."""

import json

import attrs

from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, ExecutionPayload, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.federation_update import GovernanceState, Holders
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsSignature, EvmAddress, sha256
from alysd.types.peg import PegTotals
from alysd.types.units import Slot, Wei

_NO_SIGNATURE = BlsSignature(b"\xc0" + bytes(95))
"""The aggregate of no signatures: the point at infinity."""


def specification_hash(spec: ChainSpec) -> BlockHash:
    """The SHA-256 of the canonical JSON of all parameters (docs/protocol.md, "Specification hash").

    The value of `execution_genesis` there is its object `config`. The payload of the genesis block has the rest of
    the execution genesis.
    """
    values = attrs.asdict(spec, recurse=False)
    values["execution_genesis"] = spec.execution_genesis.get("config")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=_hex)
    return BlockHash(sha256(text.encode("ascii")))


def _hex(value: bytes) -> str:
    """Encode a value that JSON has no type for: the bytes of a key, a proof or an address."""
    return "0x" + value.hex()


def genesis_block(spec: ChainSpec, payload: ExecutionPayload) -> Block:
    """The block of slot 0 with the execution genesis `payload`. Its parent hash is the specification hash."""
    header = AuxPowHeader(
        range_start=ZERO_HASH,
        range_end=ZERO_HASH,
        bits=spec.bits,
        chain_id=spec.chain_id,
        fee_recipient=EvmAddress(bytes(20)),
        auxpow=None,
    )
    return Block(parent_hash=specification_hash(spec), slot=Slot(0), payload=payload, auxpow_header=header)


def genesis_signed(context: ChainContext, block: Block) -> SignedBlock:
    """The genesis block as a `SignedBlock` without approvals: all nodes know it from the chain specification."""
    signers = (False,) * len(context.first_federation.authorities)
    return SignedBlock(context.genesis, block, Approvals(signers, _NO_SIGNATURE))


def genesis_state(context: ChainContext, payload: ExecutionPayload) -> ChainState:
    """The chain's state after the genesis block, which is final by definition, with no fees and no withdrawals."""
    return ChainState(
        hash=context.genesis,
        parent_hash=specification_hash(context.spec),
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
        peg=PegTotals(),
        governance=_governance(context) if context.spec.governance_keys else None,
    )


def _governance(context: ChainContext) -> GovernanceState:
    first = context.first_federation
    holders = () if context.peg is None else (Holders(first.bitcoin_keys),)
    return GovernanceState(0, first, None, holders=holders)
