"""Hypothesis strategies for blocks and proposals with any values that their encodings allow."""

import attrs
from hypothesis import strategies as st

from alysd.testing.blocks import digest, mine, tree_branch
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, ExecutionPayload, SignedBlock, Withdrawal
from alysd.types.federation_update import FederationMember, FederationUpdate, GovernanceSignature
from alysd.types.hashes import (
    AuxHash,
    BitcoinHash,
    BlockHash,
    BlsPublicKey,
    BlsSignature,
    EvmAddress,
    PayloadHash,
    SchnorrSignature,
    XOnlyKey,
)
from alysd.types.peg import (
    ConfirmedPegOut,
    DepositOutput,
    OutPoint,
    PegIn,
    PegOutProposal,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.proposal import Proposal
from alysd.types.units import MAX_SAT, Gwei, Height, Sat, Slot, Wei
from alysd.wire.bitcoin_transaction import make_transaction
from alysd.wire.block_ssz import MIN_TRANSACTION_BYTES, block_hash
from alysd.wire.federation_update import KINDS

AUXPOW = mine(AuxHash(digest("work")), 2**255, chain_branch=tree_branch(2), others=(digest("tx"),))
_b32 = st.binary(min_size=32, max_size=32)
_b20 = st.binary(min_size=20, max_size=20)
_u64 = st.integers(0, 2**64 - 1)
withdrawals = st.builds(Withdrawal, _u64, _u64, _b20.map(EvmAddress), _u64.map(Gwei))
payloads = st.builds(
    ExecutionPayload,
    parent_hash=_b32.map(PayloadHash),
    fee_recipient=_b20.map(EvmAddress),
    state_root=_b32,
    receipts_root=_b32,
    logs_bloom=st.binary(min_size=256, max_size=256),
    prev_randao=_b32,
    block_number=_u64.map(Height),
    gas_limit=_u64,
    gas_used=_u64,
    timestamp=_u64,
    extra_data=st.binary(max_size=32),
    base_fee_per_gas=st.integers(0, 2**256 - 1).map(Wei),
    block_hash=_b32.map(PayloadHash),
    transactions=st.lists(st.binary(min_size=MIN_TRANSACTION_BYTES, max_size=100), max_size=5).map(tuple),
    withdrawals=st.lists(withdrawals, max_size=16).map(tuple),
    blob_gas_used=_u64,
    excess_blob_gas=_u64,
)
headers = st.builds(
    AuxPowHeader,
    range_start=_b32.map(BlockHash),
    range_end=_b32.map(BlockHash),
    bits=st.integers(0, 2**32 - 1),
    chain_id=st.integers(0, 2**32 - 1),
    fee_recipient=_b20.map(EvmAddress),
    auxpow=st.sampled_from([None, AUXPOW]),
)
_txids = _b32.map(BitcoinHash)
_u32 = st.integers(0, 2**32 - 1)
peg_ins = st.builds(
    PegIn,
    _txids,
    _txids,
    _b20.map(EvmAddress),
    st.lists(st.builds(DepositOutput, _u32, _u32, _u64.map(Sat)), max_size=3).map(tuple),
)
transactions = st.builds(
    make_transaction,
    _u32,
    st.lists(
        st.builds(TransactionInput, st.builds(OutPoint, _txids, _u32), st.binary(max_size=5), _u32),
        min_size=1,
        max_size=3,
    ),
    st.lists(
        st.builds(TransactionOutput, st.integers(0, MAX_SAT).map(Sat), st.binary(max_size=40)),
        min_size=1,
        max_size=3,
    ),
    _u32,
)


def witnessed(transaction: Transaction, data: st.DataObject) -> Transaction:
    """The transaction with any witness that is not empty."""
    stacks = st.lists(st.binary(max_size=70), min_size=1, max_size=4).map(tuple)
    return attrs.evolve(transaction, witness=tuple(data.draw(stacks) for _ in transaction.inputs))


_b64 = st.binary(min_size=64, max_size=64).map(SchnorrSignature)
updates = st.builds(
    FederationUpdate,
    _u64,
    _u64.map(Height),
    st.sampled_from(KINDS),
    st.lists(
        st.builds(
            FederationMember,
            st.binary(min_size=48, max_size=48).map(BlsPublicKey),
            st.binary(min_size=96, max_size=96).map(BlsSignature),
            _b32.map(XOnlyKey),
            _b64,
        ),
        max_size=3,
    ).map(tuple),
    st.lists(_b20.map(EvmAddress), max_size=3).map(tuple),
    st.lists(st.builds(GovernanceSignature, st.integers(0, 2**16 - 1), _b64), max_size=3).map(tuple),
)
blocks = st.builds(
    Block,
    parent_hash=_b32.map(BlockHash),
    slot=_u64.map(Slot),
    payload=payloads,
    peg_ins=st.lists(peg_ins, max_size=3).map(tuple),
    peg_out_proposal=st.none() | st.builds(PegOutProposal, transactions, _u64.map(Sat), st.none() | _txids),
    auxpow_header=st.none() | headers,
    finalized_peg_outs=st.lists(st.builds(witnessed, transactions, st.data()), max_size=1).map(tuple),
    confirmed_peg_outs=st.lists(st.builds(ConfirmedPegOut, _txids, _txids), max_size=4).map(tuple),
    federation_update=st.none() | updates,
)
approvals = st.builds(
    Approvals,
    st.lists(st.booleans(), max_size=20).map(tuple),
    st.binary(min_size=96, max_size=96).map(BlsSignature),
)

APPROVALS = Approvals((True, False), BlsSignature(b"\x02" * 96))


def sign(block: Block, given_approvals: Approvals) -> SignedBlock:
    return SignedBlock(block_hash(block), block, given_approvals)


signed_blocks = st.builds(sign, blocks, approvals)
proposals = st.builds(Proposal, signed_blocks, st.none() | approvals)
