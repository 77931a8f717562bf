"""Blocks, states and proofs of work of a test chain, for tests of the rules.

The proofs of work are real. The hashes of blocks and the approvals are made up, so that a long chain can be made
quickly. `chain.ChainHand` makes blocks with real hashes, signatures and payloads.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import attrs

from alysd.consensus.auxpow import aux_hash, commitment, expected_index, merkle_root, next_bits, target_of
from alysd.consensus.federation import federation_at
from alysd.consensus.genesis import genesis_state
from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.testing.chain import chain_spec
from alysd.types.auxpow import AuxPow, AuxPowHeader, BitcoinHeader, Coinbase, MerkleBranch
from alysd.types.block import Approvals, Block, ExecutionPayload, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.hashes import (
    BURN_ADDRESS,
    AuxHash,
    BitcoinHash,
    BlockHash,
    BlsPublicKey,
    BlsSignature,
    EvmAddress,
    PayloadHash,
    sha256d,
)
from alysd.types.units import Height, Slot, Wei
from alysd.wire.auxpow import decode_auxpow
from alysd.wire.bitcoin_block import compact_size

CHAIN_ID = 121212
MINER = EvmAddress(b"\x11" * 20)
FIRST_SLOT = Slot(850_000_000)
GENESIS = BlockHash(b"\x99" * 32)
SIGNATURE = BlsSignature(b"\xaa" * 96)


def make_spec(members: int = 3, **changes: Any) -> ChainSpec:
    """`chain.chain_spec` with made-up keys, which take no time to compute; `changes` replace its fields."""
    spec = chain_spec(
        name="test",
        chain_id=CHAIN_ID,
        authorities=tuple(BlsPublicKey(bytes([place]) * 48) for place in range(members)),
        federation_fee_addresses=(EvmAddress(b"\x21" * 20), EvmAddress(b"\x22" * 20), EvmAddress(b"\x23" * 20)),
        auxpow_spacing_slots=30,
        execution_genesis={},
    )
    return attrs.evolve(spec, **changes)


def context_of(spec: ChainSpec) -> ChainContext:
    """The context of the chain with `spec` and the genesis hash `GENESIS`."""
    return ChainContext(spec, GENESIS)


def digest(*words: object) -> bytes:
    """32 bytes that depend on `words`."""
    return hashlib.sha256(repr(words).encode()).digest()


def make_payload(**changes: Any) -> ExecutionPayload:
    """A payload without transactions; `changes` replace its fields."""
    payload = ExecutionPayload(
        parent_hash=PayloadHash(bytes(32)),
        fee_recipient=BURN_ADDRESS,
        state_root=digest("state"),
        receipts_root=digest("receipts"),
        logs_bloom=bytes(256),
        prev_randao=bytes(32),
        block_number=Height(0),
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=0,
        extra_data=b"",
        base_fee_per_gas=Wei(7),
        block_hash=PayloadHash(digest("payload")),
        transactions=(),
        withdrawals=(),
        blob_gas_used=0,
        excess_blob_gas=0,
    )
    return attrs.evolve(payload, **changes)


def genesis(spec: ChainSpec) -> ChainState:
    """The state after a genesis block with the hash `GENESIS`."""
    return genesis_state(context_of(spec), make_payload(block_hash=PayloadHash(digest("genesis payload"))))


def make_block(parent: ChainState, slot: Slot, spec: ChainSpec, header: AuxPowHeader | None = None) -> Block:
    """A valid child of `parent`."""
    attributes = payload_attributes(parent, slot, header, context_of(spec))
    payload = make_payload(
        parent_hash=attributes.parent,
        prev_randao=attributes.prev_randao,
        block_number=Height(parent.height + 1),
        timestamp=attributes.timestamp,
        block_hash=PayloadHash(digest("payload", parent.hash, slot)),
        withdrawals=attributes.withdrawals,
    )
    return Block(parent_hash=parent.hash, slot=slot, payload=payload, auxpow_header=header)


def approve(block: Block, spec: ChainSpec, signers: Sequence[int] | None = None) -> SignedBlock:
    """The block with approvals of `signers` (by default all authorities) that are not real signatures."""
    count = len(federation_at(genesis(spec), context_of(spec)).authorities)
    chosen = range(count) if signers is None else signers
    bits = tuple(place in chosen for place in range(count))
    return SignedBlock(BlockHash(digest("block", block)), block, Approvals(bits, SIGNATURE))


def extend(parent: ChainState, slots: Sequence[int], spec: ChainSpec, fees: int = 0) -> list[ChainState]:
    """The states of a chain of blocks on `parent`. `slots` are their slots, counted from FIRST_SLOT."""
    states: list[ChainState] = []
    for offset in slots:
        signed = approve(make_block(parent, Slot(FIRST_SLOT + offset), spec), spec)
        parent = apply_block(parent, signed, Wei(fees), ()).state
        states.append(parent)
    return states


def make_coinbase(script_sig: bytes, outputs: Sequence[bytes]) -> Coinbase:
    """A coinbase transaction without witness, whose outputs all have 0 sat."""
    sized = [compact_size(len(script)) + script for script in (script_sig, *outputs)]
    raw = (
        bytes([1, 0, 0, 0, 1])
        + bytes(32)
        + b"\xff" * 4
        + sized[0]
        + b"\xff" * 4
        + compact_size(len(outputs))
        + b"".join(bytes(8) + script for script in sized[1:])
        + bytes(4)
    )
    return Coinbase(raw, script_sig, tuple(outputs))


def mine(
    work: AuxHash,
    target: int,
    *,
    chain_branch: MerkleBranch | None = None,
    script_sig: bytes | None = None,
    outputs: Sequence[bytes] = (),
    others: Sequence[bytes] = (),
    version: int = 0x20000000,
    meets: bool = True,
) -> AuxPow:
    """A proof of work: a Bitcoin header that commits to `work`, with a hash that meets the target.

    With `meets=False` the header's hash is above the target. `script_sig` replaces the coinbase's script, which
    contains the commitment. `outputs` are the coinbase's outputs. `others` are the siblings in the coinbase's
    branch of the transaction tree.
    """
    chain = chain_branch or MerkleBranch((), 0)
    script = (
        commitment(AuxHash(merkle_root(work, chain)), 2 ** len(chain.siblings))
        if script_sig is None
        else script_sig
    )
    coinbase = make_coinbase(script, outputs)
    branch = MerkleBranch(tuple(others), 0)
    root = merkle_root(coinbase.txid, branch)
    for nonce in range(10_000):
        raw = (version % 2**32).to_bytes(4, "little") + bytes(32) + root + bytes(8) + nonce.to_bytes(4, "little")
        if (int.from_bytes(sha256d(raw), "little") <= target) == meets:
            parent = BitcoinHeader(raw, version, BitcoinHash(bytes(32)), root, 0, 0, nonce)
            return AuxPow(coinbase, branch, chain, parent)
    raise AssertionError("no nonce found: the target is too hard for a test")


def tree_branch(height: int, chain_id: int = CHAIN_ID, nonce: int = 0) -> MerkleBranch:
    """The chain branch in a tree of 2^height chains, in which the chain has the index that its id requires."""
    return MerkleBranch(
        tuple(digest("sibling", level) for level in range(height)), expected_index(nonce, chain_id, height)
    )


def parse_coinbase(raw: bytes) -> Coinbase:
    """The coinbase transaction `raw`, read from a proof of work without branches. Raises `Malformed`."""
    no_branch, parent_header = bytes(1 + 4), bytes(80)
    return decode_auxpow(raw + bytes(32) + 2 * no_branch + parent_header).coinbase


def make_header(parent: ChainState, ancestry: Sequence[ChainState], spec: ChainSpec, length: int) -> AuxPowHeader:
    """A header with a proof that is valid in a child of `parent` and makes `length` blocks of `ancestry` final."""
    covered = ancestry[:length]
    bits = next_bits(parent.bits, covered[-1].slot - parent.last_final_slot, spec)
    work = aux_hash([state.hash for state in covered], MINER)
    return AuxPowHeader(
        range_start=covered[0].hash,
        range_end=covered[-1].hash,
        bits=bits,
        chain_id=spec.chain_id,
        fee_recipient=MINER,
        auxpow=mine(work, target_of(bits)),
    )
