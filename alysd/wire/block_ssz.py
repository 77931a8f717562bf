"""Blocks in SSZ: their hash, and their encoding on disk and between nodes (docs/protocol.md, "Block")."""

import attrs

from alysd.errors import Malformed
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, ExecutionPayload, SignedBlock, Withdrawal
from alysd.types.hashes import BlockHash
from alysd.types.peg import (
    MAX_CONFIRMED_PAYMENTS,
    MAX_DEPOSIT_OUTPUTS,
    MAX_PEG_INS,
    MAX_SIGNED_PAYMENTS,
    ConfirmedPegOut,
    DepositOutput,
    PegIn,
    PegOutProposal,
)
from alysd.types.slot_proof import SlotProof
from alysd.wire.auxpow import MAX_AUXPOW_BYTES, decode_auxpow, encode_auxpow
from alysd.wire.bitcoin_transaction import decode_transaction, encode_transaction
from alysd.wire.federation_update import FEDERATION_UPDATE
from alysd.wire.ssz import BitList, ByteList, Bytes, UInt, merkleize
from alysd.wire.ssz_composite import Container, Foreign, ListOf, Option

MAX_ENCODED_BYTES = 2**24
"""The maximum size, in bytes, of an encoded signed block. A chain's `max_block_bytes` is at most this."""

MAX_TRANSACTIONS = 2**12
"""The maximum number of transactions in a block.

Each uses at least 16,800 gas: 21,000, less a refund of a fifth (EIP-2, EIP-3529). The largest gas limit with which
a chain can begin, 66,060,288, is enough for 3,932.
"""

MIN_TRANSACTION_BYTES = 12
"""The size of the smallest transaction that can be valid: a legacy transaction with a list header of 1 byte, a gas
limit of at least 21,000 in 3 bytes, and 8 other fields of 1 byte."""

MAX_AUTHORITIES = 2**10
"""The maximum number of bits in the list of approvals."""

MAX_PAYMENT_BYTES = 2**13
"""The maximum size of a proposed payment in bytes. One with 100 inputs and 65 outputs has 6,925."""

MAX_SIGNED_PAYMENT_BYTES = 2**18
"""The maximum size of a payment with its witnesses in bytes.

100 inputs of a federation of 21 members, with 14 signatures each, have 171 KB.
"""

_UINT64 = UInt(8)
_HASH = Bytes(32)
_ADDRESS = Bytes(20)

_WITHDRAWAL = Container(Withdrawal, index=_UINT64, validator_index=_UINT64, address=_ADDRESS, amount=_UINT64)

_PAYLOAD = Container(
    ExecutionPayload,
    parent_hash=_HASH,
    fee_recipient=_ADDRESS,
    state_root=_HASH,
    receipts_root=_HASH,
    logs_bloom=Bytes(256),
    prev_randao=_HASH,
    block_number=_UINT64,
    gas_limit=_UINT64,
    gas_used=_UINT64,
    timestamp=_UINT64,
    extra_data=ByteList(32),
    base_fee_per_gas=UInt(32),
    block_hash=_HASH,
    transactions=ListOf(ByteList(2**30, MIN_TRANSACTION_BYTES), 2**20, MAX_TRANSACTIONS),
    withdrawals=ListOf(_WITHDRAWAL, 16),
    blob_gas_used=_UINT64,
    excess_blob_gas=_UINT64,
)
"""`ExecutionPayload` of Ethereum's Deneb specification (Cancun in the execution layer), limits included.

Those limits determine the block's hash. `MAX_TRANSACTIONS` and `MIN_TRANSACTION_BYTES` bound the work of hashing a
payload: even the smallest transaction takes 27 hashes.
"""

_DEPOSIT_OUTPUT = Container(DepositOutput, index=UInt(4), federation=UInt(4), amount=_UINT64)

_PEG_IN = Container(
    PegIn,
    txid=_HASH,
    bitcoin_block=_HASH,
    recipient=_ADDRESS,
    outputs=ListOf(_DEPOSIT_OUTPUT, MAX_DEPOSIT_OUTPUTS),
)

_PROPOSAL = Container(
    PegOutProposal,
    transaction=Foreign(encode_transaction, decode_transaction, MAX_PAYMENT_BYTES),
    reserve_fee=_UINT64,
    replaces=Option(_HASH),
)

_CONFIRMED = Container(ConfirmedPegOut, txid=_HASH, bitcoin_block=_HASH)

AUXPOW_HEADER = Container(
    AuxPowHeader,
    range_start=_HASH,
    range_end=_HASH,
    bits=UInt(4),
    chain_id=UInt(4),
    fee_recipient=_ADDRESS,
    auxpow=Option(Foreign(encode_auxpow, decode_auxpow, MAX_AUXPOW_BYTES)),
)
"""The merged-mining header. Its proof is in Namecoin's serialization; the coinbase in the proof has no witness."""

PEG_INS = ListOf(_PEG_IN, MAX_PEG_INS)
PEG_OUT_PROPOSAL = Option(_PROPOSAL)
CONFIRMED_PEG_OUTS = ListOf(_CONFIRMED, MAX_CONFIRMED_PAYMENTS)

BLOCK = Container(
    Block,
    parent_hash=_HASH,
    slot=_UINT64,
    payload=_PAYLOAD,
    peg_ins=PEG_INS,
    peg_out_proposal=PEG_OUT_PROPOSAL,
    auxpow_header=Option(AUXPOW_HEADER),
    finalized_peg_outs=ListOf(
        Foreign(encode_transaction, decode_transaction, MAX_SIGNED_PAYMENT_BYTES), MAX_SIGNED_PAYMENTS
    ),
    confirmed_peg_outs=CONFIRMED_PEG_OUTS,
    federation_update=Option(FEDERATION_UPDATE),
)
"""The block whose root is its hash."""

SLOT_PROOF = Container(SlotProof, parent=Bytes(32), slot=UInt(8), inner=Bytes(32), outer=Bytes(32), last=Bytes(32))

APPROVALS = Container(Approvals, signers=BitList(MAX_AUTHORITIES), signature=Bytes(96))


@attrs.frozen
class EncodedBlock:
    """The encoded fields of a signed block. Its hash is not encoded, because it is computed from the block."""

    block: Block
    approvals: Approvals

    @classmethod
    def of(cls, signed: SignedBlock) -> "EncodedBlock":
        """The encoded fields of `signed`."""
        return cls(signed.block, signed.approvals)

    def signed(self) -> SignedBlock:
        """The signed block, whose hash this method computes. Takes 0.14 s for 4,096 transactions."""
        return SignedBlock(block_hash(self.block), self.block, self.approvals)


ENCODED_BLOCK = Container(EncodedBlock, block=BLOCK, approvals=APPROVALS)
"""`SignedBlock` of docs/protocol.md, also as a part of messages between nodes."""


def block_hash(block: Block) -> BlockHash:
    """`hash_tree_root` of the block; 3 ms with 200 transactions. Raises `Malformed` for a field out of bounds."""
    return BlockHash(BLOCK.root(block))


def slot_proof(block: Block) -> SlotProof:
    """The parent and the slot of a block with their proof. This takes as long as `block_hash`.

    The tree of a block's 9 fields has 16 leaves. The parent hash and the slot are the first two of them.
    """
    roots = BLOCK.field_roots(block)
    siblings = (merkleize(roots[2:4], 2), merkleize(roots[4:8], 4), merkleize(roots[8:], 8))
    return SlotProof(block.parent_hash, block.slot, *siblings)


def encode_block(signed: SignedBlock) -> bytes:
    """Encode a block and its approvals. Raises `Malformed` for a field out of bounds."""
    return ENCODED_BLOCK.encode(EncodedBlock.of(signed))


def decode_block(data: bytes) -> SignedBlock:
    """Decode a block and its approvals, and compute its hash.

    Raises `Malformed` unless `encode_block` made the bytes.
    """
    if len(data) > MAX_ENCODED_BYTES:
        raise Malformed(f"a block must have at most {MAX_ENCODED_BYTES} bytes, found {len(data)}")
    return ENCODED_BLOCK.decode(data).signed()
