"""Blocks, transactions, receipts and logs as Ethereum JSON-RPC shows them (execution-apis, and geth)."""

from typing import Any

from alysd.api.hex_values import to_data, to_quantity
from alysd.embedded.engine.transaction import BLOB, FEE_MARKET, LEGACY, AccessList, SignedTransaction
from alysd.embedded.engine.values import (
    ExecutionBlock,
    ExecutionReceipt,
    FoundLog,
    IncludedTransaction,
)
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader

View = dict[str, Any]


def header_view(header: ExecutionHeader) -> View:
    """A header, as in a `newHeads` subscription."""
    return {
        "number": to_quantity(header.number),
        "hash": to_data(header.hash),
        "parentHash": to_data(header.parent_hash),
        "nonce": to_data(header.nonce),
        "mixHash": to_data(header.prev_randao),
        "sha3Uncles": to_data(header.ommers_hash),
        "logsBloom": to_data(header.logs_bloom),
        "stateRoot": to_data(header.state_root),
        "miner": to_data(header.coinbase),
        "difficulty": to_quantity(header.difficulty),
        "extraData": to_data(header.extra_data),
        "gasLimit": to_quantity(header.gas_limit),
        "gasUsed": to_quantity(header.gas_used),
        "timestamp": to_quantity(header.timestamp),
        "transactionsRoot": to_data(header.transactions_root),
        "receiptsRoot": to_data(header.receipts_root),
        "baseFeePerGas": to_quantity(header.base_fee),
        "withdrawalsRoot": to_data(header.withdrawals_root),
        "blobGasUsed": to_quantity(header.blob_gas_used),
        "excessBlobGas": to_quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": to_data(header.parent_beacon_block_root),
    }


def block_view(block: ExecutionBlock, *, full: bool) -> View:
    """A block, with full transactions or their hashes."""
    transactions: list[Any] = [
        transaction_view(transaction, block.header, index) if full else to_data(transaction.hash)
        for index, transaction in enumerate(block.transactions)
    ]
    return {
        **header_view(block.header),
        "size": to_quantity(block.size),
        "transactions": transactions,
        "uncles": [],
        "withdrawals": [_withdrawal_view(withdrawal) for withdrawal in block.withdrawals],
    }


def _withdrawal_view(withdrawal: Withdrawal) -> View:
    return {
        "index": to_quantity(withdrawal.index),
        "validatorIndex": to_quantity(withdrawal.validator_index),
        "address": to_data(withdrawal.address),
        "amount": to_quantity(withdrawal.amount),
    }


def transaction_view(
    transaction: SignedTransaction, header: ExecutionHeader | None = None, index: int | None = None
) -> View:
    """A transaction with its position in the chain. The position is null for a transaction of the pool."""
    price = transaction.max_fee if header is None else transaction.price(header.base_fee)
    view: View = {
        "blockHash": None if header is None else to_data(header.hash),
        "blockNumber": None if header is None else to_quantity(header.number),
        "blockTimestamp": None if header is None else to_quantity(header.timestamp),
        "transactionIndex": None if index is None else to_quantity(index),
        "hash": to_data(transaction.hash),
        "type": to_quantity(transaction.type),
        "from": to_data(transaction.sender),
        "to": None if transaction.to is None else to_data(transaction.to),
        "nonce": to_quantity(transaction.nonce),
        "gas": to_quantity(transaction.gas),
        "gasPrice": to_quantity(price),
        "value": to_quantity(transaction.value),
        "input": to_data(transaction.data),
        "v": to_quantity(transaction.v),
        "r": to_quantity(transaction.r),
        "s": to_quantity(transaction.s),
    }
    if transaction.chain_id is not None:
        view["chainId"] = to_quantity(transaction.chain_id)
    return view | _typed_fields(transaction)


def _typed_fields(transaction: SignedTransaction) -> View:
    """The fields of the typed transactions (EIP-2930, EIP-1559, EIP-4844)."""
    view: View = {}
    if transaction.type > LEGACY:
        view["accessList"] = access_list_view(transaction.access_list)
        view["yParity"] = to_quantity(transaction.v)
    if transaction.type >= FEE_MARKET:
        view["maxFeePerGas"] = to_quantity(transaction.max_fee)
        view["maxPriorityFeePerGas"] = to_quantity(transaction.max_priority_fee)
    if transaction.type == BLOB:
        view["maxFeePerBlobGas"] = to_quantity(transaction.max_blob_fee)
        view["blobVersionedHashes"] = [to_data(hash_) for hash_ in transaction.blob_hashes]
    return view


def access_list_view(entries: AccessList) -> list[View]:
    """An access list (EIP-2930)."""
    return [
        {"address": to_data(address), "storageKeys": [to_data(key) for key in keys]} for address, keys in entries
    ]


def receipt_view(found: IncludedTransaction) -> View:
    """The receipt of an included transaction."""
    header, transaction, receipt = found.header, found.transaction, found.receipt
    return {
        "blockHash": to_data(header.hash),
        "blockNumber": to_quantity(header.number),
        "transactionHash": to_data(transaction.hash),
        "transactionIndex": to_quantity(found.index),
        "from": to_data(transaction.sender),
        "to": None if transaction.to is None else to_data(transaction.to),
        "gasUsed": to_quantity(receipt.gas_used),
        "cumulativeGasUsed": to_quantity(receipt.cumulative_gas_used),
        "contractAddress": None if receipt.contract is None else to_data(receipt.contract),
        "logs": [log_view(log) for log in _logs_of(found)],
        "logsBloom": to_data(receipt.logs_bloom),
        "status": to_quantity(int(receipt.succeeded)),
        "type": to_quantity(receipt.type),
        "effectiveGasPrice": to_quantity(receipt.effective_gas_price),
    }


def _logs_of(found: IncludedTransaction) -> list[FoundLog]:
    return [
        FoundLog(
            header=found.header,
            transaction_hash=found.transaction.hash,
            transaction_index=found.index,
            log_index=found.first_log_index + position,
            log=log,
        )
        for position, log in enumerate(found.receipt.logs)
    ]


def receipts_views(block: ExecutionBlock, receipts: tuple[ExecutionReceipt, ...]) -> list[View]:
    """The receipts of all transactions of a block, in order."""
    views: list[View] = []
    first_log = 0
    for index, (transaction, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        found = IncludedTransaction(
            header=block.header, index=index, transaction=transaction, receipt=receipt, first_log_index=first_log
        )
        views.append(receipt_view(found))
        first_log += len(receipt.logs)
    return views


def log_view(found: FoundLog, *, removed: bool = False) -> View:
    """A log; `removed` when a reorganisation removed its block."""
    return {
        "address": to_data(found.log.address),
        "topics": [to_data(topic) for topic in found.log.topics],
        "data": to_data(found.log.data),
        "blockHash": to_data(found.header.hash),
        "blockNumber": to_quantity(found.header.number),
        "blockTimestamp": to_quantity(found.header.timestamp),
        "transactionHash": to_data(found.transaction_hash),
        "transactionIndex": to_quantity(found.transaction_index),
        "logIndex": to_quantity(found.log_index),
        "removed": removed,
    }
