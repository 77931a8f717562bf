"""The rules of the execution payload and of the fees that it mints (docs/protocol.md, "Block", "Fees").

`payload_attributes` defines the fields that the protocol determines. The author passes them to its execution
client, and every other node compares a block's payload with them.

The execution layer burns all fees. The chain keeps the sum of the priority fees since the last block with a proof
of work, and the next block with a proof mints them again: most to the miner, the rest to the federation.
"""

from collections.abc import Sequence

from alysd.consensus.aura import slot_start
from alysd.consensus.federation import federation_at
from alysd.consensus.payload_violations import (
    EmptyTransaction,
    GasAboveLimit,
    PriceBelowBaseFee,
    WrongBlobGas,
    WrongBlockNumber,
    WrongExecutionParent,
    WrongFeeRecipient,
    WrongGasUsed,
    WrongRandao,
    WrongTimestamp,
    WrongWithdrawals,
)
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Block, ExecutionPayload, PayloadAttributes, Withdrawal
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.fees import FeeFields
from alysd.types.hashes import BURN_ADDRESS, BlockHash, EvmAddress, sha256
from alysd.types.units import Gwei, Slot, Wei, wei_to_gwei_floor

MINER_PERCENT = 80


def priority_fees(payload: ExecutionPayload, fee_fields: Sequence[FeeFields], gas_used: Sequence[int]) -> Wei:
    """The sum that the transactions of a payload pay above its base fee, in wei.

    `fee_fields` and `gas_used` have one entry per transaction, in the same order. A faulty execution client must
    not be able to mint money, so the function also checks that the senders can have paid the sum. Raises
    `WrongGasUsed`, `GasAboveLimit` or `PriceBelowBaseFee`, and `ValueError` if the lengths differ.
    """
    if sum(gas_used) != payload.gas_used:
        raise WrongGasUsed(payload.gas_used, sum(gas_used))
    total = 0
    for place, (fees, gas) in enumerate(zip(fee_fields, gas_used, strict=True)):
        above = fees.max_fee_per_gas - payload.base_fee_per_gas
        if above < 0:
            raise PriceBelowBaseFee(place, payload.base_fee_per_gas, fees.max_fee_per_gas)
        if gas > fees.gas_limit:
            raise GasAboveLimit(place, fees.gas_limit, gas)
        total += min(fees.max_priority_fee_per_gas, above) * gas
    return Wei(total)


def miner_share(total: Wei) -> Gwei:
    """The miner's share of `total`, rounded down to gwei."""
    return wei_to_gwei_floor(Wei(total * MINER_PERCENT // 100))


def federation_share(total: Wei, members: int) -> Gwei:
    """The part of `total` that each fee address of a federation of n `members` gets, rounded down to gwei."""
    return wei_to_gwei_floor(Wei(total * (100 - MINER_PERCENT) // (100 * members)))


def fee_shares(
    total: Wei, recipient: EvmAddress, addresses: Sequence[EvmAddress]
) -> tuple[tuple[EvmAddress, Gwei], ...]:
    """The shares of `total`: the miner's `recipient` first, then the federation's fee `addresses` in their order.

    Every share is rounded down to gwei, so that the minted sum never exceeds the burned sum. Shares of 0 gwei are
    left out.
    """
    shares = [(recipient, miner_share(total))]
    shares += [(address, federation_share(total, len(addresses))) for address in addresses]
    return tuple((address, amount) for address, amount in shares if amount)


def fee_withdrawals(
    parent: ChainState, auxpow_header: AuxPowHeader | None, context: ChainContext
) -> tuple[tuple[EvmAddress, Gwei], ...]:
    """The recipients and amounts of the fees that a child of `parent` with this `auxpow_header` mints.

    A block without a proof mints no fees.
    """
    if auxpow_header is None:
        return ()
    addresses = federation_at(parent, context).fee_addresses
    return fee_shares(parent.unpaid_fees, auxpow_header.fee_recipient, addresses)


def expected_withdrawals(
    parent: ChainState,
    auxpow_header: AuxPowHeader | None,
    context: ChainContext,
    mints: Sequence[tuple[EvmAddress, Gwei]] = (),
) -> tuple[Withdrawal, ...]:
    """The withdrawals that a child of `parent` with this `auxpow_header` must have, no more and no fewer.

    Those of the fees come first, then the `mints` of the peg. The indices continue from `parent.next_withdrawal`.
    """
    shares = (*fee_withdrawals(parent, auxpow_header, context), *mints)
    return tuple(
        Withdrawal(index=parent.next_withdrawal + place, validator_index=0, address=address, amount=amount)
        for place, (address, amount) in enumerate(shares)
    )


def prev_randao(parent: BlockHash, slot: Slot) -> bytes:
    """The block's `PREVRANDAO`: sha256 of the parent's hash and the slot in 8 bytes, little-endian.

    It gives contracts a number that differs between blocks. It is not secret, and authors can predict it.
    """
    return sha256(parent + slot.to_bytes(8, "little"))


def payload_attributes(
    parent: ChainState,
    slot: Slot,
    auxpow_header: AuxPowHeader | None,
    context: ChainContext,
    mints: Sequence[tuple[EvmAddress, Gwei]] = (),
) -> PayloadAttributes:
    """The fields that a payload must have if its block is a child of `parent`, in `slot`, with `auxpow_header`.

    `mints` are the withdrawals of the peg.
    """
    return PayloadAttributes(
        parent=parent.payload_hash,
        parent_beacon_block_root=parent.hash,
        timestamp=slot_start(slot, context.spec.slot_seconds),
        prev_randao=prev_randao(parent.hash, slot),
        fee_recipient=BURN_ADDRESS,
        withdrawals=expected_withdrawals(parent, auxpow_header, context, mints),
    )


def check_payload(block: Block, parent: ChainState, context: ChainContext) -> None:
    """Check the payload's required fields except the withdrawals, and that no transaction is empty.

    Each field that differs raises its own subclass of `InvalidBlock`.
    """
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
    if not all(payload.transactions):
        raise EmptyTransaction(payload.transactions.index(b""))


def check_withdrawals(
    block: Block, parent: ChainState, context: ChainContext, mints: Sequence[tuple[EvmAddress, Gwei]] = ()
) -> None:
    """Check that the withdrawals are exactly the expected ones, in order. Raises `WrongWithdrawals`."""
    expected = payload_attributes(parent, block.slot, block.auxpow_header, context, mints).withdrawals
    if block.payload.withdrawals != expected:
        raise WrongWithdrawals(expected, block.payload.withdrawals)
