"""Values that tests of the wire formats, of their clients and of the pool miner share."""

from typing import Any

from alysd.consensus.auxpow import commitment
from alysd.testing.blocks import digest
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace, TemplateTransaction
from alysd.types.block import ExecutionPayload, Withdrawal
from alysd.types.hashes import AuxHash, BitcoinHash, EvmAddress, PayloadHash, sha256d
from alysd.types.units import Gwei, Height, Sat, Wei
from alysd.wire.bitcoin_block import ParentCandidate, build_candidate

WORK = AuxHash(digest("work"))
PAYOUT = bytes.fromhex("0014") + bytes(20)


def template(height: int = 840_000, transactions: tuple[TemplateTransaction, ...] = ()) -> BlockTemplate:
    """Return a template with the easiest target of regtest."""
    return BlockTemplate(
        version=0x20000000,
        previous=BitcoinHash(digest("previous")),
        height=height,
        time=1_700_000_000,
        bits=0x207FFFFF,
        target=2**255,
        coinbase_value=Sat(312_500_000),
        transactions=transactions,
    )


def transaction(number: int) -> TemplateTransaction:
    """Return a small transaction without witness, a different one per number."""
    spent = sha256d(number.to_bytes(4, "little"))
    raw = bytes.fromhex("0200000001") + spent + bytes(4) + b"\x00" + b"\xff" * 4
    raw += b"\x01" + (1000).to_bytes(8, "little") + b"\x01\x51" + bytes(4)
    txid = BitcoinHash(sha256d(raw))
    return TemplateTransaction(txid, txid, raw)


def candidate(transactions: int, place: CommitmentPlace = CommitmentPlace.SCRIPT_SIG) -> ParentCandidate:
    """Return a parent block with so many transactions that commits to WORK."""
    filled = template(transactions=tuple(transaction(number) for number in range(transactions)))
    return build_candidate(filled, PAYOUT, commitment(WORK), place, 1)


HASH = "00" * 31 + "0a"
"""A Bitcoin block's hash as JSON shows it."""

TRANSACTION_JSON: dict[str, Any] = {
    "data": "0200",
    "txid": "11" * 32,
    "hash": "22" * 32,
    "fee": 141,
    "depends": [],
}

TEMPLATE_JSON: dict[str, Any] = {
    "version": 0x20000000,
    "previousblockhash": HASH,
    "transactions": [TRANSACTION_JSON],
    "coinbasevalue": 5_000_000_141,
    "target": "7fffff" + "00" * 29,
    "curtime": 1_700_000_000,
    "bits": "207fffff",
    "height": 111,
}

OFFER_JSON: dict[str, Any] = {
    "hash": "0b" + "00" * 31,
    "chainid": 121212,
    "previousblockhash": "0c" * 32,
    "coinbasevalue": 6,
    "bits": "207fffff",
    "height": 9,
    "_target": "00" * 29 + "ffff7f",
}

PAYLOAD = ExecutionPayload(
    parent_hash=PayloadHash(b"\x01" * 32),
    fee_recipient=EvmAddress(b"\x02" * 20),
    state_root=b"\x03" * 32,
    receipts_root=b"\x04" * 32,
    logs_bloom=b"\x05" * 256,
    prev_randao=b"\x06" * 32,
    block_number=Height(7),
    gas_limit=30_000_000,
    gas_used=21_000,
    timestamp=1_700_000_000,
    extra_data=b"geth",
    base_fee_per_gas=Wei(10**9),
    block_hash=PayloadHash(b"\x08" * 32),
    transactions=(b"\x02\x09",),
    withdrawals=(Withdrawal(1, 0, EvmAddress(b"\x0a" * 20), Gwei(5)),),
    blob_gas_used=0,
    excess_blob_gas=0,
)
