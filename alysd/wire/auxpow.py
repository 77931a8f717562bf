"""Encodes and decodes proofs of work in Namecoin's serialization of `CAuxPow` (docs/protocol.md, "Merged mining").

    coinbase transaction | parent block hash (32) | coinbase branch | its index (4)
    chain branch | its index (4) | parent header (80)

A branch is the number of its hashes, followed by these hashes of 32 bytes each. Numbers are little-endian. This
module checks only the form, not the rules.
"""

from alysd.errors import Malformed
from alysd.types.auxpow import AuxPow, BitcoinHeader, Coinbase, MerkleBranch
from alysd.types.hashes import BitcoinHash
from alysd.wire.bitcoin_block import NULL_OUTPOINT, SEGWIT_MARKER, compact_size

_WIDER = {0xFD: 2, 0xFE: 4, 0xFF: 8}
"""For a compact size above 252, maps its first byte to the number of bytes that follow."""


class BitcoinReader:
    """Reads `data` from the position `at` onwards. Every method raises `Malformed` if too few bytes are left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        end = self.at + length
        if end > len(self._data):
            raise Malformed(
                f"{length} bytes expected at position {self.at}, but {len(self._data) - self.at} are left"
            )
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def number(self, width: int) -> int:
        """The next unsigned number of `width` bytes, little-endian."""
        return int.from_bytes(self.take(width), "little")

    def count(self) -> int:
        """The next compact size. It is a count or length, and cannot exceed the number of remaining bytes.

        As in Bitcoin, only the shortest form is accepted.
        """
        first = self.number(1)
        value = first
        if first in _WIDER:
            width = _WIDER[first]
            value = self.number(width)
            if value < (0xFD if width == 2 else 1 << 4 * width):
                raise Malformed(f"the count {value} is not in its shortest form")
        if value > len(self._data) - self.at:
            left = len(self._data) - self.at
            raise Malformed(f"the count before position {self.at} is {value}, but only {left} bytes follow")
        return value

    def skip_if(self, marker: bytes) -> bool:
        """Skip `marker` if it comes next, and return whether it did."""
        found = self._data.startswith(marker, self.at)
        if found:
            self.at += len(marker)
        return found

    def since(self, start: int) -> bytes:
        """The bytes read since the position `start`."""
        return self._data[start : self.at]

    def end(self) -> None:
        """Check that nothing is left."""
        if self.at != len(self._data):
            raise Malformed(f"{len(self._data) - self.at} bytes follow the end at position {self.at}")


MAX_AUXPOW_BYTES = 2**17
"""The maximum size of a proof, enough for a coinbase with 3,000 outputs. Reading it takes 20 ms.

Most proofs take a few hundred bytes."""

MAX_BRANCH = 64
"""The maximum number of siblings in a branch, far more than the rules allow: a tree of 2^64 leaves."""

HEADER_BYTES = 80
"""The size of a Bitcoin header."""

_HASH_BYTES = 32


def encode_auxpow(auxpow: AuxPow) -> bytes:
    """Encode a proof; `decode_auxpow` is the inverse."""
    return b"".join(
        (
            auxpow.coinbase.raw,
            auxpow.parent.hash,
            _encode_branch(auxpow.coinbase_branch),
            _encode_branch(auxpow.chain_branch),
            auxpow.parent.raw,
        )
    )


def decode_auxpow(data: bytes) -> AuxPow:
    """Parse a proof. A witness of the coinbase is dropped, because the txid does not cover it.

    The field with the parent's hash is also dropped, because the header determines the hash and pools fill the
    field in various ways. So all encodings of a proof give the same value. `encode_auxpow` writes only one of
    these encodings.

    Raises `Malformed` unless the bytes are exactly one proof, of at most `MAX_AUXPOW_BYTES`.
    """
    if len(data) > MAX_AUXPOW_BYTES:
        raise Malformed(f"a proof of work must have at most {MAX_AUXPOW_BYTES} bytes, found {len(data)}")
    reader = BitcoinReader(data)
    coinbase = _read_coinbase(reader)
    reader.take(_HASH_BYTES)
    auxpow = AuxPow(
        coinbase=coinbase,
        coinbase_branch=_read_branch(reader),
        chain_branch=_read_branch(reader),
        parent=decode_header(reader.take(HEADER_BYTES)),
    )
    reader.end()
    return auxpow


def decode_header(raw: bytes) -> BitcoinHeader:
    """Parse the 80 bytes of a Bitcoin block header; raises `Malformed`."""
    if len(raw) != HEADER_BYTES:
        raise Malformed(f"a Bitcoin header must have {HEADER_BYTES} bytes, found {len(raw)}")
    return BitcoinHeader(
        raw=raw,
        version=int.from_bytes(raw[:4], "little", signed=True),
        previous=BitcoinHash(raw[4:36]),
        merkle_root=raw[36:68],
        time=int.from_bytes(raw[68:72], "little"),
        bits=int.from_bytes(raw[72:76], "little"),
        nonce=int.from_bytes(raw[76:80], "little"),
    )


def _read_coinbase(reader: BitcoinReader) -> Coinbase:
    version = reader.take(4)
    # A transaction with witness has a zero in place of the number of inputs (BIP 144).
    with_witness = reader.skip_if(SEGWIT_MARKER)
    start = reader.at
    if reader.count() != 1 or reader.take(36) != NULL_OUTPOINT:
        raise Malformed("the transaction is not a coinbase: its only input must have the null outpoint")
    script_sig = reader.take(reader.count())
    reader.take(4)
    output_scripts: list[bytes] = []
    for _ in range(reader.count()):
        reader.take(8)
        output_scripts.append(reader.take(reader.count()))
    body = reader.since(start)
    if with_witness:
        for _ in range(reader.count()):
            reader.take(reader.count())
    return Coinbase(version + body + reader.take(4), script_sig, tuple(output_scripts))


def _encode_branch(branch: MerkleBranch) -> bytes:
    siblings = branch.siblings
    return compact_size(len(siblings)) + b"".join(siblings) + branch.index.to_bytes(4, "little")


def _read_branch(reader: BitcoinReader) -> MerkleBranch:
    count = reader.count()
    if count > MAX_BRANCH:
        raise Malformed(f"a merkle branch must have at most {MAX_BRANCH} siblings, found {count}")
    siblings = tuple(reader.take(32) for _ in range(count))
    return MerkleBranch(siblings, reader.number(4))
