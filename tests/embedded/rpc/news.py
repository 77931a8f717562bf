"""Invented events of a chain, for tests of listeners."""

from typing import Any

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import EvmLog, FoundLog
from alysd.embedded.rpc.news import ChainNews, PendingNews
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Wei

ANNA, BORIS = EvmAddress(b"\x0a" * 20), EvmAddress(b"\x0b" * 20)
TOPIC, OTHER_TOPIC = b"\x01" * 32, b"\x02" * 32


def header(number: int) -> ExecutionHeader:
    return ExecutionHeader(
        hash=PayloadHash(number.to_bytes(32, "big")),
        parent_hash=PayloadHash((number - 1).to_bytes(32, "big")),
        ommers_hash=bytes(32),
        coinbase=ANNA,
        state_root=bytes(32),
        transactions_root=bytes(32),
        receipts_root=bytes(32),
        logs_bloom=bytes(256),
        difficulty=0,
        number=number,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=2 * number,
        extra_data=b"",
        prev_randao=bytes(32),
        nonce=bytes(8),
        base_fee=Wei(7),
        withdrawals_root=bytes(32),
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_block_root=BlockHash(bytes(32)),
    )


def log(number: int, address: EvmAddress = ANNA, *topics: bytes) -> FoundLog:
    return FoundLog(header(number), bytes(32), 0, 0, EvmLog(address, topics, b"data"))


def block(number: int, *logs: FoundLog) -> ChainNews:
    return ChainNews(added=(header(number),), added_logs=logs)


def transaction(**fields: Any) -> SignedTransaction:
    filled: dict[str, Any] = {
        "hash": b"\x11" * 32,
        "raw": bytes(110),
        "type": 2,
        "chain_id": 7,
        "sender": ANNA,
        "nonce": 3,
        "max_fee": 100,
        "max_priority_fee": 10,
        "gas": 21_000,
        "to": BORIS,
        "value": 5,
        "data": b"\xda\x7a",
        "access_list": (),
        "v": 1,
        "r": 2,
        "s": 3,
        **fields,
    }
    return SignedTransaction(**filled)


def sent(*hashes: bytes) -> PendingNews:
    return PendingNews([transaction(hash=hash_) for hash_ in hashes])
