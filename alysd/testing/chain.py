"""A chain for tests with known keys: its specification, and blocks with real hashes, payloads and signatures."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

import attrs

from alysd.config.bridge import bridge_account
from alysd.config.chain_spec import make_spec
from alysd.consensus.federation import approval_message, federation_at
from alysd.consensus.genesis import genesis_block, genesis_signed, genesis_state
from alysd.consensus.payload import payload_attributes
from alysd.integrations import bls
from alysd.integrations.possession import prove_bitcoin_key, x_only_key
from alysd.testing.engine import FakeEngine
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext, ChainParameters, ChainSpec
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.units import Sat, Slot
from alysd.wire.block_ssz import block_hash
from alysd.wire.execution_genesis import genesis_payload

EXECUTION_GENESIS: Mapping[str, Any] = {
    "config": {
        "chainId": 4242,
        "homesteadBlock": 0,
        "eip150Block": 0,
        "eip155Block": 0,
        "eip158Block": 0,
        "byzantiumBlock": 0,
        "constantinopleBlock": 0,
        "petersburgBlock": 0,
        "istanbulBlock": 0,
        "berlinBlock": 0,
        "londonBlock": 0,
        "mergeNetsplitBlock": 0,
        "terminalTotalDifficulty": 0,
        "terminalTotalDifficultyPassed": True,
        "shanghaiTime": 0,
        "cancunTime": 0,
        "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}},
    },
    "nonce": "0x0",
    "timestamp": "0x0",
    "extraData": "0x",
    "gasLimit": "0x1c9c380",
    "difficulty": "0x0",
    "mixHash": "0x" + "00" * 32,
    "coinbase": "0x" + "00" * 20,
    "baseFeePerGas": "0x3b9aca00",
    "alloc": {"0x" + "11" * 20: {"balance": hex(10**21)}},
}
"""A minimal Cancun genesis with one account, for engines that execute few transactions or none."""


EASY_BITS = 0x207FFFFF
"""Regtest's target: every second hash meets it."""


def authority_secret(authority: int) -> bytes:
    """The BLS secret of a test chain's authority, by its index."""
    return sha256(b"alysd test authority %d" % authority).digest()[:31].rjust(32, b"\0")


def bitcoin_secret(member: int) -> bytes:
    """The secret of the Bitcoin key of a test chain's member, by its index."""
    return sha256(b"alysd test member %d" % member).digest()


@attrs.frozen
class MemberKeys:
    """The keys of a member of a federation, and the proofs that it has their secrets."""

    authority: BlsPublicKey
    authority_proof: BlsSignature
    bitcoin_key: XOnlyKey
    bitcoin_proof: SchnorrSignature


def member_keys(authority: bytes, bitcoin: bytes, chain_id: int) -> MemberKeys:
    """The keys of a member with these two secrets, and the proofs for the chain `chain_id`."""
    key = bls.public_key(authority)
    return MemberKeys(
        key,
        bls.prove_possession(authority),
        x_only_key(bitcoin),
        prove_bitcoin_key(bitcoin, chain_id, key),
    )


@cache
def _member_keys(member: int, chain_id: int) -> MemberKeys:
    return member_keys(authority_secret(member), bitcoin_secret(member), chain_id)


def chain_spec(authorities: int | tuple[BlsPublicKey, ...] = 1, **changes: Any) -> ChainSpec:
    """The specification of the test chain, with easy work; `changes` replace its fields.

    `authorities` is the number of members, or their public keys. In the second case, members have no Bitcoin keys
    and no proofs. Parameters that are not set here have the defaults of a chain specification's file.
    """
    members: list[MemberKeys] = []
    if isinstance(authorities, int):
        members = [_member_keys(index, changes.get("chain_id", 4242)) for index in range(authorities)]
        authorities = tuple(member.authority for member in members)
    parameters = ChainParameters(
        name="alys-test",
        chain_id=4242,
        authorities=authorities,
        authority_proofs=tuple(member.authority_proof for member in members),
        federation_fee_addresses=(EvmAddress(b"\xfe" * 20),),
        federation_bitcoin_keys=tuple(member.bitcoin_key for member in members),
        federation_bitcoin_proofs=tuple(member.bitcoin_proof for member in members),
        bitcoin_network="regtest",
        peg_in_minimum=Sat(100_000),
        peg_out_minimum=Sat(100_000),
        bits=EASY_BITS,
        pow_limit=EASY_BITS,
        auxpow_spacing_slots=10,
        max_blocks_without_auxpow=100,
        max_block_bytes=2 * 2**20,
    )
    return attrs.evolve(make_spec(parameters, EXECUTION_GENESIS), **changes)


def peg_chain_spec(authorities: int = 1, **changes: Any) -> ChainSpec:
    """The specification of the test chain with a peg, which the bridge contract in its genesis turns on."""
    account = {"0x" + BRIDGE_ADDRESS.hex(): bridge_account(peg=True)}
    changes = {"peg_out_max_fee_rate": 200_000, **changes}  # what the minimums pay for
    return chain_spec(authorities, execution_genesis={**EXECUTION_GENESIS, "alloc": account}, **changes)


@attrs.frozen
class ChainHand:
    """Makes signed blocks of a test chain, on any parent, with payloads from its own embedded engine."""

    context: ChainContext
    genesis: SignedBlock
    genesis_state: ChainState
    engine: FakeEngine

    @classmethod
    def of(cls, spec: ChainSpec) -> "ChainHand":
        """A builder for the chain of `spec`."""
        payload = genesis_payload(spec.execution_genesis)
        block = genesis_block(spec, payload)
        context = ChainContext(spec, block_hash(block))
        state = genesis_state(context, payload)
        return cls(context, genesis_signed(context, block), state, FakeEngine.of(spec.execution_genesis))

    @property
    def spec(self) -> ChainSpec:
        """The chain's parameters."""
        return self.context.spec

    async def block(self, parent: ChainState, slot: Slot, work: AuxPowHeader | None = None) -> SignedBlock:
        """An empty block on `parent`, approved by all authorities."""
        attributes = payload_attributes(parent, slot, work, self.context)
        head = parent.payload_hash
        payload = await self.engine.build_payload(head, head, head, attributes)
        self.engine.blocks[payload.block_hash] = payload
        return self.sign(Block(parent.hash, slot, payload, auxpow_header=work))

    def sign(self, block: Block) -> SignedBlock:
        """The block, valid or not, with the approvals of all authorities."""
        identity: BlockHash = block_hash(block)
        message = approval_message(self.context.genesis, identity)
        count = len(federation_at(self.genesis_state, self.context).authorities)
        signatures = [bls.sign(authority_secret(index), message) for index in range(count)]
        return SignedBlock(identity, block, Approvals((True,) * count, bls.aggregate(signatures)))
