"""Bitcoin blocks of typical transactions, and a parser that reads every field of a block."""

from collections.abc import Sequence
from random import Random

import attrs

from alysd.errors import Malformed
from alysd.types.hashes import BitcoinHash, sha256d
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.auxpow import HEADER_BYTES, BitcoinReader
from alysd.wire.bitcoin_block import compact_size, merkle_root
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction, read_transaction
from alysd.wire.bitcoin_witnesses import COMMITMENT_HEADER

_FINAL = 0xFFFF_FFFD
_COINBASE = TransactionInput(OutPoint(BitcoinHash(bytes(32)), 0xFFFF_FFFF), b"\x51\x51", 0xFFFF_FFFF)
_RESERVED = bytes(32)
_LEGACY, _TAPROOT = 0.15, 0.3
"""The share of transactions without witness, and that of transactions with a single signature as witness."""


def parse_block(block: bytes) -> tuple[Transaction, ...]:
    """Parse all transactions of a block, the coinbase first.

    Raises `Malformed` unless the bytes are one block whose header commits to exactly these transactions.
    """
    reader = BitcoinReader(block)
    root = reader.take(HEADER_BYTES)[36:68]
    found = tuple(read_transaction(reader) for _ in range(reader.count()))
    reader.end()
    if not found or merkle_root([one.txid for one in found]) != root:
        raise Malformed(f"the header does not commit to the block's transactions ({len(found)})")
    return found


def block_of(transactions: Sequence[Transaction]) -> bytes:
    """A block with these transactions after a coinbase, which commits to their witnesses, without work."""
    every = (coinbase_of(_COINBASE, (), transactions), *transactions)
    body = compact_size(len(every)) + b"".join(encode_transaction(one) for one in every)
    return _header(merkle_root([one.txid for one in every])) + body


def coinbase_of(
    spent: TransactionInput, outputs: Sequence[TransactionOutput], others: Sequence[Transaction]
) -> Transaction:
    """A coinbase with this input, these outputs, and a commitment to the witnesses of the `others` (BIP-141)."""
    root = merkle_root([bytes(32), *(sha256d(encode_transaction(one)) for one in others)])
    commitment = TransactionOutput(Sat(0), COMMITMENT_HEADER + sha256d(root + _RESERVED))
    made = make_transaction(2, [spent], [*outputs, commitment], 0)
    return attrs.evolve(made, witness=((_RESERVED,),))


def hash_of(block: bytes) -> BitcoinHash:
    """The hash of a block."""
    return BitcoinHash(sha256d(block[:HEADER_BYTES]))


def typical_transaction(random: Random, scripts: Sequence[bytes] = ()) -> Transaction:
    """A transaction as most on mainnet: one to three inputs, some two outputs, and then outputs with `scripts`."""
    kind = random.random()
    inputs: list[TransactionInput] = []
    witness: list[tuple[bytes, ...]] = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        key, signature = random.randbytes(33), random.randbytes(71)
        legacy = kind < _LEGACY
        script_sig = b"\x47" + signature + b"\x21" + key if legacy else b""
        inputs.append(TransactionInput(OutPoint(BitcoinHash(random.randbytes(32)), 0), script_sig, _FINAL))
        witness.append((signature[:64],) if kind < _TAPROOT else (signature, key))
    outputs = [_output(random) for _ in range(random.choice((1, 2, 2, 2, 3)))]
    outputs += [TransactionOutput(Sat(100_000), script) for script in scripts]
    made = make_transaction(2, inputs, outputs, 0)
    if kind < _LEGACY:
        return made
    return Transaction(made.raw, 2, made.inputs, made.outputs, 0, tuple(witness))


def _output(random: Random) -> TransactionOutput:
    kind, size = (b"\x00\x14", 20) if random.random() < 0.6 else (b"\x51\x20", 32)
    return TransactionOutput(Sat(random.randrange(1_000, 10**8)), kind + random.randbytes(size))


def _header(root: bytes) -> bytes:
    return b"".join(((4).to_bytes(4, "little"), bytes(32), root, bytes(12)))
