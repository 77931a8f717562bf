"""A block's identity against a second SSZ library, and its bytes against whatever a stranger may send."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.genesis import genesis_block
from alysd.errors import Malformed
from alysd.testing.blocks import digest, make_payload, make_spec
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock, Withdrawal
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash, BlsSignature, EvmAddress
from alysd.types.peg import PegOutProposal
from alysd.types.units import Gwei, Slot
from alysd.wire.auxpow import decode_auxpow, encode_auxpow
from alysd.wire.bitcoin_transaction import encode_transaction
from alysd.wire.block_ssz import MAX_ENCODED_BYTES, block_hash, decode_block, encode_block
from tests.wire.block_strategies import AUXPOW, approvals, blocks
from tests.wire.ssz_oracle import (
    Bitlist,
    ByteList,
    ByteVector,
    List,
    container,
    uint8,
    uint16,
    uint32,
    uint64,
    uint256,
)

hash32 = ByteVector[32]
OracleWithdrawal = container(
    "OracleWithdrawal", index=uint64, validator_index=uint64, address=ByteVector[20], amount=uint64
)
OraclePayload = container(
    "OraclePayload",
    parent_hash=hash32,
    fee_recipient=ByteVector[20],
    state_root=hash32,
    receipts_root=hash32,
    logs_bloom=ByteVector[256],
    prev_randao=hash32,
    block_number=uint64,
    gas_limit=uint64,
    gas_used=uint64,
    timestamp=uint64,
    extra_data=ByteList[32],
    base_fee_per_gas=uint256,
    block_hash=hash32,
    transactions=List[ByteList[2**30], 2**20],
    withdrawals=List[OracleWithdrawal, 16],
    blob_gas_used=uint64,
    excess_blob_gas=uint64,
)
OracleDepositOutput = container("OracleDepositOutput", index=uint32, federation=uint32, amount=uint64)
OraclePegIn = container(
    "OraclePegIn",
    txid=hash32,
    bitcoin_block=hash32,
    recipient=ByteVector[20],
    outputs=List[OracleDepositOutput, 64],
)
OracleProposal = container(
    "OracleProposal", transaction=ByteList[2**13], reserve_fee=uint64, replaces=List[hash32, 1]
)
OracleConfirmed = container("OracleConfirmed", txid=hash32, bitcoin_block=hash32)
OracleHeader = container(
    "OracleHeader",
    range_start=hash32,
    range_end=hash32,
    bits=uint32,
    chain_id=uint32,
    fee_recipient=ByteVector[20],
    auxpow=List[ByteList[2**17], 1],
)
OracleMember = container(
    "OracleMember",
    authority=ByteVector[48],
    authority_proof=ByteVector[96],
    bitcoin_key=hash32,
    bitcoin_proof=ByteVector[64],
)
OracleGovernanceSignature = container("OracleGovernanceSignature", index=uint16, signature=ByteVector[64])
OracleUpdate = container(
    "OracleUpdate",
    sequence=uint64,
    effective_height=uint64,
    kind=uint8,
    members=List[OracleMember, 32],
    fee_addresses=List[ByteVector[20], 16],
    signatures=List[OracleGovernanceSignature, 32],
)
OracleBlock = container(
    "OracleBlock",
    parent_hash=hash32,
    slot=uint64,
    execution_payload=OraclePayload,
    peg_ins=List[OraclePegIn, 64],
    peg_out_proposal=List[OracleProposal, 1],
    auxpow_header=List[OracleHeader, 1],
    finalized_peg_outs=List[ByteList[2**18], 1],
    confirmed_peg_outs=List[OracleConfirmed, 4],
    federation_update=List[OracleUpdate, 1],
)
OracleApprovals = container("OracleApprovals", signers=Bitlist[2**10], signature=ByteVector[96])
OracleSigned = container("OracleSigned", block=OracleBlock, approvals=OracleApprovals)


def fields(value: attrs.AttrsInstance) -> dict[str, Any]:
    return attrs.asdict(value, recurse=False)


def oracle(block: Block) -> Any:
    header = block.auxpow_header
    return oracle_with_proof(block, encode_auxpow(header.auxpow) if header and header.auxpow else None)


def oracle_with_proof(block: Block, proof: bytes | None) -> Any:
    payload, header = block.payload, block.auxpow_header
    headers: list[Any] = []
    if header is not None:
        headers = [OracleHeader(**{**fields(header), "auxpow": [] if proof is None else [proof]})]
    withdrawals = [OracleWithdrawal(**fields(one)) for one in payload.withdrawals]
    return OracleBlock(
        parent_hash=block.parent_hash,
        slot=block.slot,
        execution_payload=OraclePayload(**{**fields(payload), "withdrawals": withdrawals}),
        peg_ins=[
            OraclePegIn(**{**fields(one), "outputs": [OracleDepositOutput(**fields(out)) for out in one.outputs]})
            for one in block.peg_ins
        ],
        peg_out_proposal=[] if block.peg_out_proposal is None else [oracle_proposal(block.peg_out_proposal)],
        auxpow_header=headers,
        finalized_peg_outs=[encode_transaction(one) for one in block.finalized_peg_outs],
        confirmed_peg_outs=[OracleConfirmed(**fields(one)) for one in block.confirmed_peg_outs],
        federation_update=[] if block.federation_update is None else [oracle_update(block.federation_update)],
    )


def oracle_proposal(proposal: PegOutProposal) -> Any:
    return OracleProposal(
        transaction=encode_transaction(proposal.transaction),
        reserve_fee=proposal.reserve_fee,
        replaces=[] if proposal.replaces is None else [proposal.replaces],
    )


def oracle_update(update: FederationUpdate) -> Any:
    return OracleUpdate(
        sequence=update.sequence,
        effective_height=update.effective_height,
        kind={"members": 1, "halt": 2, "resume": 3}[update.kind],
        members=[OracleMember(**fields(one)) for one in update.members],
        fee_addresses=update.fee_addresses,
        signatures=[OracleGovernanceSignature(**fields(one)) for one in update.signatures],
    )


def signed(block: Block, given: Approvals | None = None) -> SignedBlock:
    return SignedBlock(block_hash(block), block, given or Approvals((True,), BlsSignature(bytes(96))))


@given(blocks, approvals)
def test_hash_and_bytes_agree_with_a_second_library(block: Block, given_approvals: Approvals) -> None:
    expected = oracle(block)
    value = signed(block, given_approvals)
    assert value.hash == expected.hash_tree_root()
    data = encode_block(value)
    assert (
        data == OracleSigned(block=expected, approvals=OracleApprovals(**fields(given_approvals))).encode_bytes()
    )
    assert decode_block(data) == value


def test_a_block_of_two_hundred_transactions_agrees_too() -> None:
    transactions = tuple(digest("transaction", place) * 4 for place in range(200))
    block = Block(BlockHash(bytes(32)), Slot(7), make_payload(transactions=transactions))
    assert block_hash(block) == oracle(block).hash_tree_root()
    assert decode_block(encode_block(signed(block))) == signed(block)


def test_the_hash_of_a_known_genesis_block_never_changes() -> None:
    """The hash identifies the chain: if it changes, nodes no longer recognise existing chains."""
    block = genesis_block(make_spec(), make_payload())
    assert block_hash(block).hex() == "f071723d0f9366d22cafcbc23874812328dffdd516d4af6c73bc40cc6a57d13c"


@given(blocks, approvals, st.data())
def test_changed_bytes_are_another_block_or_malformed(
    block: Block, given_approvals: Approvals, data: st.DataObject
) -> None:
    """Any other error would crash the actor that reads a peer's bytes."""
    raw = bytearray(encode_block(signed(block, given_approvals)))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(len(raw) // 2, len(raw)))])
    for candidate in (bytes(raw), cut):
        try:
            decoded = decode_block(candidate)
        except Malformed:
            continue
        assert encode_block(decoded) == candidate
        assert decoded.hash == block_hash(decoded.block)


@given(st.binary(max_size=600))
def test_random_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_block(data)


def test_a_proof_with_witness_is_another_form_of_the_same_and_refused() -> None:
    """Only one form may be hashed, or a relay could change a block's hash without touching its content."""
    header = AuxPowHeader(BlockHash(bytes(32)), BlockHash(bytes(32)), 0, 0, EvmAddress(bytes(20)), AUXPOW)
    value = signed(Block(BlockHash(bytes(32)), Slot(1), make_payload(), auxpow_header=header))
    proof, coinbase = encode_auxpow(AUXPOW), AUXPOW.coinbase.raw
    witness = b"\x01\x20" + bytes(32)
    longer = proof.replace(coinbase, coinbase[:4] + b"\x00\x01" + coinbase[4:-4] + witness + coinbase[-4:])
    assert decode_auxpow(longer) == AUXPOW
    odd = OracleSigned(
        block=oracle_with_proof(value.block, longer), approvals=OracleApprovals(**fields(value.approvals))
    )
    data = odd.encode_bytes()
    with pytest.raises(Malformed, match="canonical encoding"):
        decode_block(data)


def test_size_is_bounded_before_anything_is_read() -> None:
    with pytest.raises(Malformed, match="at most"):
        decode_block(bytes(MAX_ENCODED_BYTES + 1))


def test_a_value_that_does_not_fit_is_malformed_in_writing_too() -> None:
    """An execution client's answer becomes a block: what it says is checked here at the latest."""
    for payload in (
        make_payload(state_root=b"short"),
        make_payload(gas_used=2**64),
        make_payload(timestamp=-1),
        make_payload(extra_data=bytes(33)),
        make_payload(withdrawals=(Withdrawal(0, 0, EvmAddress(bytes(20)), Gwei(1)),) * 17),
    ):
        block = Block(BlockHash(bytes(32)), Slot(1), payload)
        with pytest.raises(Malformed):
            block_hash(block)
        with pytest.raises(Malformed):
            encode_block(SignedBlock(BlockHash(bytes(32)), block, Approvals((), BlsSignature(bytes(96)))))
