"""Reads Bitcoin blocks as a node sends them: the header, and the places of the transactions."""

import re
from collections.abc import Sequence
from hashlib import sha256

import attrs

from alysd.errors import Malformed
from alysd.types.hashes import BitcoinHash, sha256d
from alysd.wire.auxpow import HEADER_BYTES
from alysd.wire.bitcoin_block import merkle_root
from alysd.wire.bitcoin_transaction import SEGWIT_MARKER

MAX_BLOCK_BYTES = 4_000_000
"""The maximum size of a block: it has at most 4,000,000 weight units (BIP-141)."""

_WIDE = 0xFD
"""The first byte from which on a compact size has more bytes than one."""

_PREVIOUS = slice(4, 36)
_MERKLE_ROOT = slice(36, 68)


def check_header(data: bytes, expected: BitcoinHash) -> BitcoinHash:
    """Check that a block begins with the header that has the hash `expected`; return the previous block's hash.

    Raises `Malformed` for another header, and for a block without transactions or above the maximum size.
    """
    if not HEADER_BYTES < len(data) <= MAX_BLOCK_BYTES:
        raise Malformed(f"a Bitcoin block has {HEADER_BYTES + 1} to {MAX_BLOCK_BYTES} bytes, found {len(data)}")
    found = sha256d(data[:HEADER_BYTES])
    if found != expected:
        raise Malformed(f"the Bitcoin block {expected[::-1].hex()} was requested, found {found[::-1].hex()}")
    return BitcoinHash(data[_PREVIOUS])


def _usual_transactions() -> re.Pattern[bytes]:
    """Matches most transactions of most blocks: 1 to 3 inputs and outputs. The only group is where the body ends.

    Each input has an empty script and spends a P2WPKH output, or a P2TR output with its key. The outputs are
    P2PKH, P2SH, P2WPKH, P2WSH or P2TR. All sizes are single bytes, so the bytes have no other reading.
    """
    spend = rb".{36}\x00.{4}"
    pay = rb".{8}(?:\x16.{22}|\x22.{34}|\x19.{25}|\x17.{23})"
    signed = rb"(?:\x02(?:\x47.{71}|\x48.{72}|\x46.{70})\x21.{33}|\x01(?:\x40.{64}|\x41.{65}))"
    pays = b"|".join(b"\\x0%d(?:%b){%d}" % (count, pay, count) for count in (1, 2, 3))
    kinds = (
        b"\\x0%d(?:%b){%d}(?:%b)()(?:%b){%d}" % (count, spend, count, pays, signed, count) for count in (1, 2, 3)
    )
    return re.compile(rb".{4}\x00\x01(?:" + b"|".join(kinds) + rb").{4}", re.DOTALL)


_USUAL = _usual_transactions()


@attrs.frozen
class LocatedTransactions:
    """The places of a block's transactions: the one with the number n is from `borders[n]` to `borders[n + 1]`.

    `txids` are theirs, in the same order. `wtxids` are their hashes with witness. For a transaction without
    witness, this hash is the txid.
    """

    borders: Sequence[int]
    txids: Sequence[bytes]
    wtxids: Sequence[bytes]


def locate_transactions(block: bytes) -> LocatedTransactions:
    """Find the borders of all transactions, and check that the header commits to exactly these, and to none twice.

    Amounts and scripts are not looked at. This does not check the witnesses, which `check_witnesses` does. Takes
    3 ms per 1,000 transactions, a seventh of a parser's time: call it in a thread. Raises `Malformed`.
    """
    try:
        located = _locate(block)
    except IndexError:
        raise Malformed(f"the Bitcoin block has {len(block)} bytes, and ends within a transaction") from None
    end = located.borders[-1]
    if end != len(block):
        raise Malformed(f"the Bitcoin block has {len(block)} bytes, and its transactions end at position {end}")
    root, txids = block[_MERKLE_ROOT], located.txids
    computed = merkle_root(txids) if txids else None
    if computed != root:
        raise Malformed(
            f"the header of the Bitcoin block does not commit to its transactions ({len(txids)}): its Merkle root "
            f"is {root[::-1].hex()}, and theirs is {'none' if computed is None else computed[::-1].hex()}"
        )
    if len(set(txids)) < len(txids):
        raise Malformed("the Bitcoin block has a transaction twice, which its Merkle root does not show")
    return located


def _locate(block: bytes) -> LocatedTransactions:
    """Find the borders and txids. Raises `IndexError` if the block ends early; the last border may be beyond it.

    The loops here and below index and hash the bytes directly: a call per field would take most of the time. Most
    transactions have a usual form, of which one regular expression finds the end.
    """
    count, at = _size(block, HEADER_BYTES)
    borders, txids, wtxids = [at], list[bytes](), list[bytes]()
    usual_at = _USUAL.match
    for _ in range(count):
        start = at
        usual = usual_at(block, start)
        if usual is not None:
            at = usual.end()
            whole, end_of_body = block[start:at], usual.end(usual.lastindex or 0) - start
            stripped = whole[:4] + whole[6:end_of_body] + whole[-4:]
            txids.append(sha256(sha256(stripped).digest()).digest())
            wtxids.append(sha256(sha256(whole).digest()).digest())
            borders.append(at)
            continue
        body = at + 4
        with_witness = block[body] == 0 and block[body + 1] == 1
        if with_witness:
            body += len(SEGWIT_MARKER)
        inputs, at = _after_inputs(block, body)
        at = _after_outputs(block, at)
        if with_witness:
            end_of_body = at
            at = _after_witness(block, at, inputs)
            stripped = block[start : start + 4] + block[body:end_of_body] + block[at : at + 4]
            at += 4
            txids.append(sha256(sha256(stripped).digest()).digest())
            wtxids.append(sha256(sha256(block[start:at]).digest()).digest())
        else:
            at += 4
            txids.append(sha256(sha256(block[start:at]).digest()).digest())
            wtxids.append(txids[-1])
        borders.append(at)
    return LocatedTransactions(borders, txids, wtxids)


def _after_inputs(block: bytes, at: int) -> tuple[int, int]:
    """The number of inputs, and the position after them."""
    count, at = (block[at], at + 1) if block[at] < _WIDE else _size(block, at)
    if not count:
        raise _no_transaction(at)
    for _ in range(count):
        size = block[at + 36]
        if size < _WIDE:
            at += size + 41
        else:
            size, at = _size(block, at + 36)
            at += size + 4
    return count, at


def _after_outputs(block: bytes, at: int) -> int:
    count, at = (block[at], at + 1) if block[at] < _WIDE else _size(block, at)
    if not count:
        raise _no_transaction(at)
    for _ in range(count):
        size = block[at + 8]
        if size < _WIDE:
            at += size + 9
        else:
            size, at = _size(block, at + 8)
            at += size
    return at


def _after_witness(block: bytes, at: int, inputs: int) -> int:
    some = False
    for _ in range(inputs):
        items, at = (block[at], at + 1) if block[at] < _WIDE else _size(block, at)
        some = some or items > 0
        for _ in range(items):
            size = block[at]
            if size < _WIDE:
                at += size + 1
            else:
                size, at = _size(block, at)
                at += size
    if not some:
        raise Malformed("the witness of a Bitcoin transaction is present, but empty")
    return at


def _size(block: bytes, at: int) -> tuple[int, int]:
    """The compact size at a position, in its shortest form, and the position after it."""
    first = block[at]
    if first < _WIDE:
        return first, at + 1
    width = 2 << (first - _WIDE)
    end = at + 1 + width
    size = int.from_bytes(block[at + 1 : end], "little")
    if size > len(block) - end:
        raise Malformed(f"the count before position {end} is {size}, but only {len(block) - end} bytes follow")
    if size < (_WIDE if width == 2 else 1 << 4 * width):
        raise Malformed(f"the count {size} is not in its shortest form")
    return size, end


def _no_transaction(at: int) -> Malformed:
    return Malformed(f"a Bitcoin transaction must have an input and an output: none before position {at}")
