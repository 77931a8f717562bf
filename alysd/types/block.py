"""The block and its parts (docs/protocol.md, "Block")."""

import attrs

from alysd.types.auxpow import AuxPowHeader
from alysd.types.hashes import BitcoinHash, BlockHash, BlsSignature, EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Slot, Wei


@attrs.frozen
class Withdrawal:
    """Money that the consensus layer mints into an account (EIP-4895); `amount` in gwei."""

    index: int
    validator_index: int
    address: EvmAddress
    amount: Gwei


@attrs.frozen
class ExecutionPayload:
    """A Cancun `ExecutionPayloadV3` (Engine API); transactions are their EIP-2718 bytes."""

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
    """What the protocol fixes of the payload of `parent`'s child (docs/protocol.md, "Block")."""

    parent: PayloadHash
    parent_beacon_block_root: BlockHash
    timestamp: int
    prev_randao: bytes
    fee_recipient: EvmAddress
    withdrawals: tuple[Withdrawal, ...]


@attrs.frozen
class PegIn:
    """A Bitcoin deposit that this block mints: where it is found, not how much it is."""

    txid: BitcoinHash
    bitcoin_block: BitcoinHash


@attrs.frozen
class Block:
    """What is hashed and approved. `peg_out_proposal` and `finalized_peg_outs` are Bitcoin transactions."""

    parent_hash: BlockHash
    slot: Slot
    payload: ExecutionPayload
    peg_ins: tuple[PegIn, ...] = ()
    peg_out_proposal: bytes | None = None
    auxpow_header: AuxPowHeader | None = None
    finalized_peg_outs: tuple[bytes, ...] = ()

    @property
    def height(self) -> Height:
        """The block's number on its branch: the execution block number."""
        return self.payload.block_number


@attrs.frozen
class Approvals:
    """The aggregate of the approvals given so far; bit i of `signers` is the i-th authority."""

    signers: tuple[bool, ...]
    signature: BlsSignature

    @property
    def count(self) -> int:
        """How many authorities have approved."""
        return sum(self.signers)


@attrs.frozen
class SignedBlock:
    """A block, its hash (computed by whoever made this value, from the block) and its approvals."""

    hash: BlockHash
    block: Block
    approvals: Approvals
