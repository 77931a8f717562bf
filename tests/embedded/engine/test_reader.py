"""Reads for the RPC: canonical blocks, blocks by hash, old states, logs and fees, also after a reorganisation."""

from pathlib import Path

import lmdb
import pytest

from alysd.embedded.engine.log_filter import LogFilter, TooManyLogs
from alysd.embedded.engine.reader import rewards_at
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.errors import Corrupt
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.types.verdict import Valid
from alysd.wire.keccak import keccak256
from alysd.wire.receipts import proven_gas
from tests.embedded.engine.kit import (
    COUNTER,
    COUNTER_CODE,
    GWEI,
    OTHER,
    RICH,
    SPLITTER,
    Sandbox,
    minted,
    read,
    transfer,
)


def count(signer_nonce: int, **options: object) -> bytes:
    return transfer(RICH, signer_nonce, to=COUNTER, gas=100_000, value=0, **options)  # type: ignore[arg-type]


def test_blocks_are_found_by_number_and_by_hash(sandbox: Sandbox) -> None:
    payload = sandbox.make(count(0), transfer(OTHER, 0), withdrawals=[minted(b"\1" * 20, 5)])
    reader = sandbox.chain.reader
    assert reader.hash_at(1) == payload.block_hash
    block = reader.block(payload.block_hash)
    assert block is not None
    assert reader.block(payload.block_hash) is block, "decoded once"
    assert [one.sender for one in block.transactions] == [RICH.address, OTHER.address]
    assert [one.raw for one in block.transactions] == list(payload.transactions)
    assert block.withdrawals == payload.withdrawals
    assert reader.canonical_header(1) == block.header == reader.header(payload.block_hash)
    assert reader.is_canonical(block.header)
    receipts = reader.trie_receipts(payload.block_hash)
    assert receipts is not None
    assert proven_gas(receipts, payload) == (block.header.gas_used - 21_000, 21_000)


def test_what_is_not_there_is_none(sandbox: Sandbox) -> None:
    reader = sandbox.chain.reader
    nowhere = b"\x99" * 32
    assert reader.block(nowhere) is None
    assert reader.header(nowhere) is None
    assert reader.receipts(nowhere) is None
    assert reader.trie_receipts(nowhere) is None
    assert reader.transaction(nowhere) is None
    assert reader.canonical_header(5) is None
    with pytest.raises(Corrupt, match="block 9999[0-9a-f]* is missing"):
        reader.needed_header(nowhere)
    with pytest.raises(Corrupt, match="the body of block .* is missing"):
        reader.raw_transactions(nowhere)
    with pytest.raises(Corrupt, match="the receipts of block .* are missing"):
        reader.encoded_receipts(nowhere)


def test_a_transaction_is_found_with_its_receipt_and_place(sandbox: Sandbox) -> None:
    sandbox.make(count(0))
    sandbox.make(count(1), transfer(OTHER, 0), count(2))
    found = sandbox.chain.reader.transaction(keccak256(count(2)))
    assert found is not None
    assert (found.header.number, found.index, found.first_log_index) == (2, 2, 1)
    assert found.receipt.succeeded
    assert int.from_bytes(found.receipt.logs[0].data, "big") == 3
    assert found.receipt.logs[0].topics == (bytes(12) + RICH.address,)
    assert found.transaction.raw == count(2)


def test_accounts_of_any_block_can_be_read(sandbox: Sandbox) -> None:
    genesis = sandbox.head
    sandbox.make(count(0))
    reader = sandbox.chain.reader
    assert reader.account(genesis, RICH.address).nonce == 0
    assert reader.account(sandbox.head, RICH.address).nonce == 1
    assert reader.account(sandbox.head, EvmAddress(b"\x99" * 20)) == EMPTY_STATE
    assert reader.code(sandbox.head, COUNTER) == bytes.fromhex(COUNTER_CODE[2:])
    assert reader.code(sandbox.head, RICH.address) == b""
    assert reader.storage(sandbox.head, COUNTER, 0) == bytes(31) + b"\1"
    assert reader.storage(genesis, COUNTER, 0) == reader.storage(sandbox.head, SPLITTER, 7) == bytes(32)


def test_the_accounts_and_headers_in_memory_are_bounded(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for other accounts each time must not fill the memory."""
    monkeypatch.setattr("alysd.embedded.engine.reader._ACCOUNTS_CACHED", 2)
    monkeypatch.setattr("alysd.embedded.engine.reader._HEADERS_CACHED", 2)
    reader, unread = sandbox.chain.reader, EvmAddress(b"\x33" * 20)
    blocks = [sandbox.make().block_hash for _ in range(4)]
    assert reader.known_account(unread) is None
    assert reader.account(reader.head(), unread) == reader.known_account(unread) == EMPTY_STATE
    rich = reader.account(reader.head(), RICH.address)
    assert rich == reader.account(reader.head(), RICH.address) != EMPTY_STATE
    reader.account(reader.head(), OTHER.address)
    assert reader.known_account(unread) is None, "forgotten, and read again"
    assert [reader.needed_header(block).number for block in blocks * 2] == [1, 2, 3, 4] * 2


def test_logs_of_a_range_follow_the_canonical_chain(sandbox: Sandbox) -> None:
    reader = sandbox.chain.reader
    base = sandbox.make(count(0))
    left = sandbox.make(count(1), count(2))
    wanted = LogFilter(frozenset({COUNTER}), (frozenset({bytes(12) + RICH.address}),))
    values = [int.from_bytes(one.log.data, "big") for one in reader.logs(0, 99, wanted, 10)]
    assert values == [1, 2, 3]
    assert reader.logs(2, 2, LogFilter(frozenset({RICH.address})), 10) == []
    right = sandbox.build(transfer(OTHER, 0), parent=base.block_hash, after=4)
    assert sandbox.give(right) == Valid()
    sandbox.follow(right.block_hash)
    assert [one.header.number for one in reader.logs(0, 99, wanted, 10)] == [1]
    header = reader.header(left.block_hash)
    assert header is not None
    assert [one.log_index for one in reader.logs_of(header, wanted)] == [0, 1], (
        "for those who must hear of the removal"
    )


def test_more_logs_than_allowed_are_refused(sandbox: Sandbox) -> None:
    sandbox.make(*(count(nonce) for nonce in range(4)))
    assert len(sandbox.chain.reader.logs(0, 1, LogFilter(), 4)) == 4
    with pytest.raises(TooManyLogs, match="more than 3 results"):
        sandbox.chain.reader.logs(0, 1, LogFilter(), 3)


def test_the_fee_history_ends_with_the_next_blocks_fee(sandbox: Sandbox) -> None:
    sandbox.make(count(0, tip=3 * GWEI), count(1, tip=GWEI))
    sandbox.make()
    history = sandbox.chain.reader.fee_history(2, 2, (0, 100))
    reader = sandbox.chain.reader
    headers = [reader.canonical_header(number) for number in (1, 2)]
    assert history.oldest == 1
    assert history.base_fees[:2] == tuple(header.base_fee for header in headers if header is not None)
    assert history.base_fees[2] == reader.next_base_fee(sandbox.head)
    assert history.gas_used_ratios[1] == 0.0
    assert 0 < history.gas_used_ratios[0] < 0.01
    assert history.rewards == ((GWEI, 3 * GWEI), (0, 0))
    assert reader.fee_history(100, 2, ()).oldest == 0
    assert reader.fee_history(100, 2, ()).rewards == ()


def test_a_lost_head_is_named(tmp_path: Path) -> None:
    Sandbox.open(tmp_path).chain.close()
    environment = lmdb.open(str(tmp_path), max_dbs=8)
    with environment.begin(write=True) as transaction:
        transaction.delete(b"head", db=environment.open_db(b"meta", txn=transaction))
    environment.close()
    with pytest.raises(Corrupt, match="the record of the head block is missing"):
        Sandbox.open(tmp_path)


def test_damage_is_named(tmp_path: Path) -> None:
    sandbox = Sandbox.open(tmp_path)
    payload = sandbox.make(count(0))
    sandbox.chain.close()
    environment = lmdb.open(str(tmp_path), max_dbs=8)
    for table in (b"headers", b"bodies"):
        with environment.begin(write=True) as transaction:
            transaction.put(payload.block_hash, b"\xc1\x80", db=environment.open_db(table, txn=transaction))
    environment.close()
    with pytest.raises(Corrupt, match=r"a record \(header\) cannot be decoded"):
        Sandbox.open(tmp_path)


def test_tips_are_weighted_by_gas() -> None:
    transactions = [read(transfer(RICH, n, tip=tip * GWEI)) for n, tip in enumerate((5, 1, 3))]
    gas_used = [10_000, 80_000, 10_000]
    assert rewards_at(transactions, gas_used, Wei(0), (0, 10, 80, 81, 90, 91, 100)) == tuple(
        tip * GWEI for tip in (1, 1, 1, 3, 3, 5, 5)
    )


def test_the_tip_is_what_the_fee_cap_leaves() -> None:
    capped = read(transfer(RICH, 0, max_fee=10 * GWEI, tip=5 * GWEI))
    assert rewards_at([capped], [21_000], Wei(8 * GWEI), (50,)) == (2 * GWEI,)


def test_a_block_without_transactions_rewards_nothing() -> None:
    assert rewards_at([], [], Wei(1), (10, 90)) == (0, 0)
