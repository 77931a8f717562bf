"""The JSON of the Engine API: payloads, payload attributes, forkchoice and verdicts (execution-apis, "Cancun").

The execution client is not trusted: the first invalid field of its answer raises a `Malformed` that names the
field. Unknown fields are ignored, because clients add their own.
"""

from typing import Any

from alysd.errors import Malformed
from alysd.types.block import ExecutionPayload, PayloadAttributes, Withdrawal
from alysd.types.hashes import EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Wei
from alysd.types.verdict import Invalid, Syncing, Valid, Verdict
from alysd.wire.block_ssz import MAX_TRANSACTIONS
from alysd.wire.hex import to_hex
from alysd.wire.json_input import bytes_field, data_field, list_field, object_of, quantity_field, text_field

MAX_TRANSACTION_BYTES = 16 * 1024 * 1024
"""The maximum size of a transaction. 60 million gas pay for at most 15 million bytes, at 4 gas each (EIP-2028)."""

MAX_WITHDRAWALS = 65_536
"""The maximum number of withdrawals that are read. The rules check each chain's far lower `max_withdrawals`."""

MAX_REASON = 300
"""The maximum length, in characters, of a client's reason in logs and errors."""

_PAYLOAD_ID_BYTES = 8


def payload_to_json(payload: ExecutionPayload) -> dict[str, Any]:
    """Write an `ExecutionPayloadV3`; `payload_from_json` is the inverse."""
    return {
        "parentHash": to_hex(payload.parent_hash),
        "feeRecipient": to_hex(payload.fee_recipient),
        "stateRoot": to_hex(payload.state_root),
        "receiptsRoot": to_hex(payload.receipts_root),
        "logsBloom": to_hex(payload.logs_bloom),
        "prevRandao": to_hex(payload.prev_randao),
        "blockNumber": hex(payload.block_number),
        "gasLimit": hex(payload.gas_limit),
        "gasUsed": hex(payload.gas_used),
        "timestamp": hex(payload.timestamp),
        "extraData": to_hex(payload.extra_data),
        "baseFeePerGas": hex(payload.base_fee_per_gas),
        "blockHash": to_hex(payload.block_hash),
        "transactions": [to_hex(raw) for raw in payload.transactions],
        "withdrawals": [_withdrawal_to_json(each) for each in payload.withdrawals],
        "blobGasUsed": hex(payload.blob_gas_used),
        "excessBlobGas": hex(payload.excess_blob_gas),
    }


def payload_from_json(value: object) -> ExecutionPayload:
    """Read an `ExecutionPayloadV3`. Raises `Malformed`, naming the field."""
    fields = object_of(value, "payload")
    transactions = list_field(fields, "transactions", MAX_TRANSACTIONS)
    withdrawals = list_field(fields, "withdrawals", MAX_WITHDRAWALS)
    return ExecutionPayload(
        parent_hash=PayloadHash(data_field(fields, "parentHash", 32)),
        fee_recipient=EvmAddress(data_field(fields, "feeRecipient", 20)),
        state_root=data_field(fields, "stateRoot", 32),
        receipts_root=data_field(fields, "receiptsRoot", 32),
        logs_bloom=data_field(fields, "logsBloom", 256),
        prev_randao=data_field(fields, "prevRandao", 32),
        block_number=Height(quantity_field(fields, "blockNumber")),
        gas_limit=quantity_field(fields, "gasLimit"),
        gas_used=quantity_field(fields, "gasUsed"),
        timestamp=quantity_field(fields, "timestamp"),
        extra_data=bytes_field(fields, "extraData", 32),
        base_fee_per_gas=Wei(quantity_field(fields, "baseFeePerGas", bits=256)),
        block_hash=PayloadHash(data_field(fields, "blockHash", 32)),
        transactions=tuple(_transaction(raw, at) for at, raw in enumerate(transactions)),
        withdrawals=tuple(_withdrawal_from_json(each, at) for at, each in enumerate(withdrawals)),
        blob_gas_used=quantity_field(fields, "blobGasUsed"),
        excess_blob_gas=quantity_field(fields, "excessBlobGas"),
    )


def built_payload_from_json(value: object) -> ExecutionPayload:
    """Read the payload in the answer to `engine_getPayloadV3`. Raises `Malformed`."""
    return payload_from_json(object_of(value, "answer").get("executionPayload"))


def attributes_to_json(attributes: PayloadAttributes) -> dict[str, Any]:
    """Write a `PayloadAttributesV3`. It does not contain the parent, which is in the forkchoice state."""
    return {
        "timestamp": hex(attributes.timestamp),
        "prevRandao": to_hex(attributes.prev_randao),
        "suggestedFeeRecipient": to_hex(attributes.fee_recipient),
        "withdrawals": [_withdrawal_to_json(each) for each in attributes.withdrawals],
        "parentBeaconBlockRoot": to_hex(attributes.parent_beacon_block_root),
    }


def forkchoice_to_json(head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> dict[str, str]:
    """Write a `ForkchoiceStateV1`."""
    return {"headBlockHash": to_hex(head), "safeBlockHash": to_hex(safe), "finalizedBlockHash": to_hex(finalized)}


def forkchoice_from_json(value: object) -> tuple[Verdict, bytes | None]:
    """Read the answer to `engine_forkchoiceUpdatedV3`: the head's verdict and the `payloadId`, if there is one.

    Raises `Malformed`, naming the field.
    """
    fields = object_of(value, "answer")
    verdict = verdict_from_json(fields.get("payloadStatus"))
    identity = None if fields.get("payloadId") is None else data_field(fields, "payloadId", _PAYLOAD_ID_BYTES)
    return verdict, identity


def payload_verdict_from_json(value: object, block: PayloadHash) -> Verdict:
    """Read the answer to `engine_newPayloadV3` about the payload `block`. Raises `Malformed`, naming the field.

    A valid payload is itself the latest valid one: an answer that names another is about another payload.
    """
    verdict = verdict_from_json(value)
    fields = object_of(value, "payloadStatus")
    if isinstance(verdict, Valid) and fields.get("latestValidHash") is not None:
        found = data_field(fields, "latestValidHash", 32)
        if found != block:
            raise Malformed(f"latestValidHash: {to_hex(found)} is not the payload that was sent")
    return verdict


def verdict_from_json(value: object) -> Verdict:
    """Read a `PayloadStatusV1`. Raises `Malformed`, naming the field.

    ACCEPTED means that the payload is not on the canonical chain and has not been executed, so it is treated as
    SYNCING. INVALID_BLOCK_HASH, of the first version of the API, is treated as INVALID.
    """
    fields = object_of(value, "payloadStatus")
    status = text_field(fields, "status")
    words = fields.get("validationError")
    if words is not None and not isinstance(words, str):
        raise Malformed(f"validationError: not a string (found {str(words)[:40]})")
    match status:
        case "VALID":
            return Valid()
        case "SYNCING" | "ACCEPTED":
            return Syncing()
        case "INVALID" | "INVALID_BLOCK_HASH":
            reason = "".join(each if each.isprintable() else " " for each in (words or "")[:MAX_REASON])
            return Invalid(reason or "the execution client gives no reason")
        case _:
            raise Malformed(f"status: {status[:40]!r} is not a payload status of the Engine API")


def block_from_json(value: object) -> tuple[PayloadHash, Height]:
    """Read hash and number from the answer to `eth_getBlockBy…`. Raises `Malformed`, naming the field."""
    fields = object_of(value, "block")
    return PayloadHash(data_field(fields, "hash", 32)), Height(quantity_field(fields, "number"))


def chain_id_from_json(value: object) -> int:
    """Read the answer to `eth_chainId`. Raises `Malformed`."""
    return quantity_field({"chainId": value}, "chainId")


def _withdrawal_to_json(withdrawal: Withdrawal) -> dict[str, str]:
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator_index),
        "address": to_hex(withdrawal.address),
        "amount": hex(withdrawal.amount),
    }


def _withdrawal_from_json(value: object, at: int) -> Withdrawal:
    fields = object_of(value, f"withdrawals[{at}]")
    return Withdrawal(
        index=quantity_field(fields, "index"),
        validator_index=quantity_field(fields, "validatorIndex"),
        address=EvmAddress(data_field(fields, "address", 20)),
        amount=Gwei(quantity_field(fields, "amount")),
    )


def _transaction(raw: object, at: int) -> bytes:
    return bytes_field({f"transactions[{at}]": raw}, f"transactions[{at}]", MAX_TRANSACTION_BYTES)
