"""Encodes and decodes Bitcoin transactions, with and without witness (BIP-144)."""

from collections.abc import Sequence

from alysd.errors import Malformed
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import MAX_SAT, Sat
from alysd.wire.auxpow import BitcoinReader
from alysd.wire.bitcoin_block import SEGWIT_MARKER, compact_size

MAX_TRANSACTION_BYTES = 4_000_000
"""The maximum size of a transaction: a block has at most 4,000,000 weight units (BIP-141)."""


def make_transaction(
    version: int, inputs: Sequence[TransactionInput], outputs: Sequence[TransactionOutput], locktime: int
) -> Transaction:
    """Make a transaction without witness from its fields."""
    raw = b"".join(
        (
            version.to_bytes(4, "little"),
            compact_size(len(inputs)),
            *(_encode_input(one) for one in inputs),
            compact_size(len(outputs)),
            *(one.amount.to_bytes(8, "little") + compact_size(len(one.script)) + one.script for one in outputs),
            locktime.to_bytes(4, "little"),
        )
    )
    return Transaction(raw, version, tuple(inputs), tuple(outputs), locktime)


def encode_transaction(transaction: Transaction) -> bytes:
    """Serialize a transaction, with its witness if it has one."""
    if not transaction.witness:
        return transaction.raw
    body, locktime = transaction.raw[4:-4], transaction.raw[-4:]
    witness = b"".join(
        compact_size(len(stack)) + b"".join(compact_size(len(item)) + item for item in stack)
        for stack in transaction.witness
    )
    return transaction.raw[:4] + SEGWIT_MARKER + body + witness + locktime


def decode_transaction(data: bytes) -> Transaction:
    """Parse a transaction, with or without witness.

    Raises `Malformed` unless the bytes are exactly one transaction with at least one input and one output, whose
    amounts are possible.
    """
    if len(data) > MAX_TRANSACTION_BYTES:
        raise Malformed(
            f"a Bitcoin transaction must have at most {MAX_TRANSACTION_BYTES} bytes, found {len(data)}"
        )
    reader = BitcoinReader(data)
    transaction = read_transaction(reader)
    reader.end()
    return transaction


def read_transaction(reader: BitcoinReader) -> Transaction:
    """Read the next transaction, with or without witness. Raises `Malformed` as `decode_transaction` does."""
    version = reader.take(4)
    with_witness = reader.skip_if(SEGWIT_MARKER)
    start = reader.at
    inputs = tuple(_read_input(reader) for _ in range(reader.count()))
    outputs = tuple(_read_output(reader) for _ in range(reader.count()))
    if not inputs or not outputs:
        raise Malformed("a Bitcoin transaction must have an input and an output")
    body = reader.since(start)
    witness: tuple[tuple[bytes, ...], ...] = ()
    if with_witness:
        witness = tuple(tuple(reader.take(reader.count()) for _ in range(reader.count())) for _ in inputs)
        if not any(witness):
            raise Malformed("the witness of a Bitcoin transaction is present, but empty")
    locktime = reader.take(4)
    return Transaction(
        raw=version + body + locktime,
        version=int.from_bytes(version, "little"),
        inputs=inputs,
        outputs=outputs,
        locktime=int.from_bytes(locktime, "little"),
        witness=witness,
    )


def _encode_input(one: TransactionInput) -> bytes:
    outpoint = one.spends.txid + one.spends.index.to_bytes(4, "little")
    return outpoint + compact_size(len(one.script_sig)) + one.script_sig + one.sequence.to_bytes(4, "little")


def _read_input(reader: BitcoinReader) -> TransactionInput:
    txid = BitcoinHash(reader.take(32))
    index = reader.number(4)
    script_sig = reader.take(reader.count())
    return TransactionInput(OutPoint(txid, index), script_sig, reader.number(4))


def _read_output(reader: BitcoinReader) -> TransactionOutput:
    amount = reader.number(8)
    if amount > MAX_SAT:
        raise Malformed(f"an output pays {amount} sat, more than the {MAX_SAT} sat that can exist")
    return TransactionOutput(Sat(amount), reader.take(reader.count()))
