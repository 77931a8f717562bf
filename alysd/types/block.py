"""The block and its parts (docs/protocol.md, "Block")."""

import attrs

from alysd.types.auxpow import AuxPowHeader
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash, BlsSignature, EvmAddress, PayloadHash
from alysd.types.peg import ConfirmedPegOut, PegContents, PegIn, PegOutProposal, Transaction
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Gwei, Height, Slot, Wei


@attrs.frozen
class Withdrawal:
    """An amount that the consensus layer mints into an account (EIP-4895); `amount` is in gwei."""

    index: int
    validator_index: int
    address: EvmAddress
    amount: Gwei


@attrs.frozen
class ExecutionPayload:
    """A Cancun `ExecutionPayloadV3` (Engine API); each transaction is in its EIP-2718 encoding."""

    parent_hash: PayloadHash
    fee_recipient: EvmAddress
    state_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    prev_randao: bytes
    block_number: Height
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    base_fee_per_gas: Wei
    block_hash: PayloadHash
    transactions: tuple[bytes, ...]
    withdrawals: tuple[Withdrawal, ...]
    blob_gas_used: int
    excess_blob_gas: int


@attrs.frozen
class PayloadAttributes:
    """The fields of a payload on `parent` that the protocol determines (docs/protocol.md, "Block")."""

    parent: PayloadHash
    parent_beacon_block_root: BlockHash
    timestamp: int
    prev_randao: bytes
    fee_recipient: EvmAddress
    withdrawals: tuple[Withdrawal, ...]


@attrs.frozen
class Block:
    """A block without its approvals: the part that is hashed and that authorities approve.

    `finalized_peg_outs` are payments of the federation with their witnesses. The fields of the peg are empty on a
    chain without a peg; `peg` has all of them.
    """

    parent_hash: BlockHash
    slot: Slot
    payload: ExecutionPayload
    peg_ins: tuple[PegIn, ...] = ()
    peg_out_proposal: PegOutProposal | None = None
    auxpow_header: AuxPowHeader | None = None
    finalized_peg_outs: tuple[Transaction, ...] = ()
    confirmed_peg_outs: tuple[ConfirmedPegOut, ...] = ()
    federation_update: FederationUpdate | None = None

    @classmethod
    def with_peg(
        cls,
        parent_hash: BlockHash,
        slot: Slot,
        payload: ExecutionPayload,
        header: AuxPowHeader | None,
        contents: PegContents,
        update: FederationUpdate | None = None,
    ) -> "Block":
        """A block with these `contents` of the peg, and this `update` of the federation."""
        return cls(
            parent_hash,
            slot,
            payload,
            contents.peg_ins,
            contents.proposal,
            header,
            contents.finalized,
            contents.confirmed,
            update,
        )

    @property
    def height(self) -> Height:
        """The block's number on its branch: the execution block number."""
        return self.payload.block_number

    @property
    def peg(self) -> PegContents:
        """The parts of the block that concern the peg."""
        return PegContents(self.peg_ins, self.peg_out_proposal, self.finalized_peg_outs, self.confirmed_peg_outs)


@attrs.frozen
class Approval:
    """One authority's approval of a block. `proof` proves the slot of the block."""

    proof: SlotProof
    signature: BlsSignature

    @property
    def block(self) -> BlockHash:
        """The hash of the block."""
        return self.proof.hash


@attrs.frozen
class Approvals:
    """The aggregate signature of the approvals so far. Bit i of `signers` is set if authority i has approved."""

    signers: tuple[bool, ...]
    signature: BlsSignature

    @property
    def count(self) -> int:
        """The number of authorities that have approved."""
        return sum(self.signers)


@attrs.frozen
class SignedBlock:
    """A block, its hash and its approvals. The code that makes this value computes the hash from the block."""

    hash: BlockHash
    block: Block
    approvals: Approvals
