"""The construction of a parent block for the miner: coinbase with commitment, Merkle tree, header and proof.

All hashes are in internal byte order.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import attrs

from alysd.types.auxpow import AuxPow, BitcoinHeader, Coinbase, MerkleBranch
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace, TemplateTransaction
from alysd.types.hashes import sha256d
from alysd.types.units import Sat


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root of the tree over `leaves`, at least one."""
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def merkle_branch(leaves: Sequence[bytes], index: int) -> MerkleBranch:
    """The branch of the leaf `index`: its siblings from the leaf up to the root."""
    siblings: list[bytes] = []
    level, position = list(leaves), index
    while len(level) > 1:
        siblings.append(level[min(position ^ 1, len(level) - 1)])
        level, position = _level_above(level), position // 2
    return MerkleBranch(tuple(siblings), index)


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    below = iter([*level, level[-1]] if len(level) % 2 else level)
    # The double hash of `sha256d`, without a call for each: a block of Bitcoin has thousands of leaves.
    return [sha256(sha256(left + right).digest()).digest() for left, right in zip(below, below, strict=True)]


_VERSION = (2).to_bytes(4, "little")
_LOCKTIME = bytes(4)
_FINAL_SEQUENCE = b"\xff" * 4
NULL_OUTPOINT = bytes(32) + b"\xff" * 4
"""The outpoint of a coinbase's only input, which refers to no transaction."""

SEGWIT_MARKER = b"\x00\x01"
"""The two bytes in a transaction with witness where others have the number of inputs, which is not 0 (BIP-144)."""

_WITNESS_NONCE = bytes(32)
"""The only stack item of a coinbase's witness (BIP-141 "Commitment structure"). BIP-141 allows any 32 bytes."""
_WITNESS_COMMITMENT_HEADER = bytes.fromhex("6a24aa21a9ed")
_EXTRA_NONCE_BYTES = 8

_OP_RETURN = b"\x6a"
_OP_PUSHDATA1 = 0x4C
_LARGEST_SMALL_NUMBER = 16
_OP_SMALL_NUMBER_BASE = 0x50


@attrs.frozen
class BuiltCoinbase:
    """A coinbase in both serializations: `raw` is part of the block; `stripped`, without witness, is hashed."""

    stripped: Coinbase
    raw: bytes


def build_coinbase(
    template: BlockTemplate, payout_script: bytes, commitment: bytes, place: CommitmentPlace, extra_nonce: int
) -> BuiltCoinbase:
    """Build a coinbase that pays the template's value to `payout_script` and has `commitment` in `place`.

    When all nonces of a header have been tried, another `extra_nonce` (64 bits) gives another coinbase and header.
    """
    script_sig = height_push(template.height) + push(extra_nonce.to_bytes(_EXTRA_NONCE_BYTES, "little"))
    outputs = [(template.coinbase_value, payout_script)]
    if place is CommitmentPlace.SCRIPT_SIG:
        script_sig += push(commitment)
    elif place is CommitmentPlace.OP_RETURN:
        outputs.append((Sat(0), _OP_RETURN + push(commitment)))
    else:
        outputs.append((Sat(0), commitment))
    outputs.append((Sat(0), _WITNESS_COMMITMENT_HEADER + witness_commitment(template.transactions)))
    body = (
        compact_size(1)
        + NULL_OUTPOINT
        + _with_size(script_sig)
        + _FINAL_SEQUENCE
        + compact_size(len(outputs))
        + b"".join(value.to_bytes(8, "little") + _with_size(script) for value, script in outputs)
    )
    witness = compact_size(1) + _with_size(_WITNESS_NONCE)
    return BuiltCoinbase(
        stripped=Coinbase(_VERSION + body + _LOCKTIME, script_sig, tuple(script for _, script in outputs)),
        raw=_VERSION + SEGWIT_MARKER + body + witness + _LOCKTIME,
    )


def witness_commitment(transactions: Iterable[TemplateTransaction]) -> bytes:
    """The commitment of a coinbase to the other transactions' witnesses (BIP-141 "Commitment structure").

    It is computed here, because the field is optional in a template (BIP-145).
    """
    wtxids: Sequence[bytes] = [bytes(32), *(transaction.wtxid for transaction in transactions)]
    return sha256d(merkle_root(wtxids) + _WITNESS_NONCE)


def height_push(height: int) -> bytes:
    """The start of the scriptSig: the block's height as a script number (BIP-34)."""
    if height == 0:
        return b"\x00"
    if height <= _LARGEST_SMALL_NUMBER:
        return bytes([_OP_SMALL_NUMBER_BASE + height])
    # The highest bit of a script number is its sign, so a height that sets this bit takes one byte more.
    return push(height.to_bytes(height.bit_length() // 8 + 1, "little"))


def push(data: bytes) -> bytes:
    """A script that pushes `data` (2 to 255 bytes) in the shortest form."""
    if len(data) < _OP_PUSHDATA1:
        return bytes([len(data)]) + data
    return bytes([_OP_PUSHDATA1, len(data)]) + data


def compact_size(number: int) -> bytes:
    """Encode `number` as Bitcoin's variable-length integer."""
    if number < 0xFD:
        return bytes([number])
    if number <= 0xFFFF:
        return b"\xfd" + number.to_bytes(2, "little")
    if number <= 0xFFFF_FFFF:
        return b"\xfe" + number.to_bytes(4, "little")
    return b"\xff" + number.to_bytes(8, "little")


def _with_size(data: bytes) -> bytes:
    return compact_size(len(data)) + data


ONLY_CHAIN = MerkleBranch(siblings=(), index=0)
"""The chain branch if the parent block commits only to Alys: the root of the commitment is the aux hash itself."""


@attrs.frozen
class ParentCandidate:
    """A parent block without its nonce. `header_start` is the first 76 bytes of the header, which has 80."""

    template: BlockTemplate
    coinbase: BuiltCoinbase
    header_start: bytes

    def header(self, nonce: int) -> bytes:
        """The header with this nonce: the 80 bytes that are hashed."""
        return self.header_start + nonce.to_bytes(4, "little")

    def block(self, nonce: int) -> bytes:
        """The block with this nonce, serialized for `submitblock`."""
        transactions = self.template.transactions
        return b"".join(
            (
                self.header(nonce),
                compact_size(1 + len(transactions)),
                self.coinbase.raw,
                *(transaction.raw for transaction in transactions),
            )
        )

    def auxpow(self, nonce: int) -> AuxPow:
        """Make the proof of work for Alys from the block with this nonce."""
        raw = self.header(nonce)
        parent = BitcoinHeader(
            raw=raw,
            version=self.template.version,
            previous=self.template.previous,
            merkle_root=raw[36:68],
            time=self.template.time,
            bits=self.template.bits,
            nonce=nonce,
        )
        return AuxPow(
            coinbase=self.coinbase.stripped,
            coinbase_branch=merkle_branch(self._txids(), 0),
            chain_branch=ONLY_CHAIN,
            parent=parent,
        )

    def _txids(self) -> list[bytes]:
        return [self.coinbase.stripped.txid, *(transaction.txid for transaction in self.template.transactions)]


def build_candidate(
    template: BlockTemplate, payout_script: bytes, commitment: bytes, place: CommitmentPlace, extra_nonce: int
) -> ParentCandidate:
    """Complete `template` to a block that pays `payout_script` and commits to Alys in `place`.

    `commitment` is the 44 bytes of `consensus.auxpow.commitment`; `extra_nonce` as in `build_coinbase`.
    """
    coinbase = build_coinbase(template, payout_script, commitment, place, extra_nonce)
    txids = [coinbase.stripped.txid, *(transaction.txid for transaction in template.transactions)]
    header_start = (
        template.version.to_bytes(4, "little", signed=True)
        + template.previous
        + merkle_root(txids)
        + template.time.to_bytes(4, "little")
        + template.bits.to_bytes(4, "little")
    )
    return ParentCandidate(template, coinbase, header_start)
