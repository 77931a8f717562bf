"""What the protocol fixes of an execution payload (docs/protocol.md, "Block").

One definition for both sides: the author hands `payload_attributes` to its execution client, every other node
compares a block's payload with it.
"""

from alysd.consensus.aura import slot_start
from alysd.consensus.fees import expected_withdrawals
from alysd.consensus.violations import (
    WrongBlobGas,
    WrongBlockNumber,
    WrongExecutionParent,
    WrongFeeRecipient,
    WrongRandao,
    WrongTimestamp,
    WrongWithdrawals,
)
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Block, PayloadAttributes
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BURN_ADDRESS, BlockHash, sha256
from alysd.types.units import Slot


def prev_randao(parent: BlockHash, slot: Slot) -> bytes:
    """The block's `PREVRANDAO`: sha256 of the parent's hash and the slot in 8 bytes, little-endian.

    Contracts get a number that differs between blocks; it is no secret, and authors can foresee it.
    """
    return sha256(parent + slot.to_bytes(8, "little"))


def payload_attributes(
    parent: ChainState, slot: Slot, auxpow_header: AuxPowHeader | None, context: ChainContext
) -> PayloadAttributes:
    """What the payload of `parent`'s child in `slot` must have, when the child includes `auxpow_header`."""
    return PayloadAttributes(
        parent=parent.payload_hash,
        parent_beacon_block_root=parent.hash,
        timestamp=slot_start(slot, context.spec.slot_seconds),
        prev_randao=prev_randao(parent.hash, slot),
        fee_recipient=BURN_ADDRESS,
        withdrawals=expected_withdrawals(parent, auxpow_header, context),
    )


def check_payload(block: Block, parent: ChainState, context: ChainContext) -> None:
    """Compare the payload's fixed fields but the withdrawals; each difference raises its own `InvalidBlock`."""
    payload = block.payload
    expected = payload_attributes(parent, block.slot, block.auxpow_header, context)
    if payload.parent_hash != expected.parent:
        raise WrongExecutionParent(expected.parent, payload.parent_hash)
    if payload.block_number != parent.height + 1:
        raise WrongBlockNumber(parent.height + 1, payload.block_number)
    if payload.timestamp != expected.timestamp:
        raise WrongTimestamp(expected.timestamp, payload.timestamp)
    if payload.prev_randao != expected.prev_randao:
        raise WrongRandao(expected.prev_randao, payload.prev_randao)
    if payload.fee_recipient != expected.fee_recipient:
        raise WrongFeeRecipient(expected.fee_recipient, payload.fee_recipient)
    if payload.blob_gas_used != 0:
        raise WrongBlobGas(0, payload.blob_gas_used)


def check_withdrawals(block: Block, parent: ChainState, context: ChainContext) -> None:
    """Exactly the expected withdrawals, in order: one more would mint money. Raises `WrongWithdrawals`."""
    expected = payload_attributes(parent, block.slot, block.auxpow_header, context).withdrawals
    if block.payload.withdrawals != expected:
        raise WrongWithdrawals(expected, block.payload.withdrawals)
