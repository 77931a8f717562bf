"""Signatures of the federation's payments (BIP-340, BIP-341, BIP-342; docs/protocol.md, "Peg-out").

Every input is spent with the script path of the federation's output: `multi_a(quorum, keys)`. The witness has one
item per key, in reverse order of the keys, each a signature or empty, then the script and the control block.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import attrs
from btclib_secp256k1 import ssa
from btclib_secp256k1.keys import pubkey_tweak_add

from alysd.peg.federation import NUMS_KEY, TAPSCRIPT, output_script, spending_script
from alysd.types.federation import quorum_of
from alysd.types.hashes import SchnorrSignature, sha256
from alysd.types.peg import Transaction, TransactionOutput

SIGNATURE_BYTES = 64
"""The size of a signature over the default parts of a transaction (`SIGHASH_DEFAULT`)."""

_EPOCH_AND_TYPE = b"\x00\x00"
"""The epoch of the message, and `SIGHASH_DEFAULT`: all inputs and outputs are signed."""

_SCRIPT_PATH = b"\x02"
_KEY_VERSION = b"\x00"
_NO_CODE_SEPARATOR = b"\xff\xff\xff\xff"
_WITNESS_UNITS_PER_BYTE = 1
_BASE_UNITS_PER_BYTE = 4


@attrs.frozen
class Spending:
    """The keys, scripts and control block that are needed to spend the outputs of one federation."""

    keys: tuple[bytes, ...]
    threshold: int
    output_script: bytes
    leaf_script: bytes
    leaf_hash: bytes
    control_block: bytes

    @property
    def weight(self) -> int:
        """The weight of an input with a complete witness, in weight units (BIP-141)."""
        base = 32 + 4 + 1 + 4
        signatures = self.threshold * (1 + SIGNATURE_BYTES) + (len(self.keys) - self.threshold)
        witness = (
            _size_bytes(len(self.keys) + 2)
            + signatures
            + _size_bytes(len(self.leaf_script))
            + len(self.leaf_script)
            + _size_bytes(len(self.control_block))
            + len(self.control_block)
        )
        return base * _BASE_UNITS_PER_BYTE + witness * _WITNESS_UNITS_PER_BYTE


@lru_cache(maxsize=256)  # twice the federations of a chain, and those of pending updates
def spending_of(keys: tuple[bytes, ...]) -> Spending:
    """Derive the `Spending` of the federation with these keys. Takes about 10 ms at the first call for them."""
    script = spending_script(keys)
    leaf = tagged_hash("TapLeaf", bytes([TAPSCRIPT]) + _sized(script))
    tweak = tagged_hash("TapTweak", NUMS_KEY + leaf)
    point = pubkey_tweak_add(b"\x02" + NUMS_KEY, tweak)
    if output_script(keys) != b"\x51\x20" + point[1:]:
        raise ValueError("the two derivations of the federation's output key differ")
    control = bytes([TAPSCRIPT | (point[0] & 1)]) + NUMS_KEY
    return Spending(keys, quorum_of(len(keys)), b"\x51\x20" + point[1:], script, leaf, control)


def tagged_hash(tag: str, data: bytes) -> bytes:
    """The tagged hash of BIP-340."""
    name = sha256(tag.encode())
    return sha256(name + name + data)


def message_of(
    transaction: Transaction, spent: Sequence[TransactionOutput], place: int, leaf_hash: bytes
) -> bytes:
    """The message that a member signs for the input `place` (BIP-341 "Common signature message", BIP-342).

    `spent` are the outputs that the inputs spend, in the order of the inputs.
    """
    inputs, outputs = transaction.inputs, transaction.outputs
    parts = (
        _EPOCH_AND_TYPE,
        transaction.version.to_bytes(4, "little"),
        transaction.locktime.to_bytes(4, "little"),
        sha256(b"".join(one.spends.txid + one.spends.index.to_bytes(4, "little") for one in inputs)),
        sha256(b"".join(output.amount.to_bytes(8, "little") for output in spent)),
        sha256(b"".join(_sized(output.script) for output in spent)),
        sha256(b"".join(one.sequence.to_bytes(4, "little") for one in inputs)),
        sha256(b"".join(output.amount.to_bytes(8, "little") + _sized(output.script) for output in outputs)),
        _SCRIPT_PATH,
        place.to_bytes(4, "little"),
        leaf_hash,
        _KEY_VERSION,
        _NO_CODE_SEPARATOR,
    )
    return tagged_hash("TapSighash", b"".join(parts))


def signature_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is a valid BIP-340 signature of `message` by the x-only `key`. Takes about 0.1 ms."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return ssa.verify(message, key, signature)
    except ValueError:
        return False


def assemble_witness(spending: Spending, signatures: Mapping[int, SchnorrSignature]) -> tuple[bytes, ...]:
    """The witness of an input, from the signatures by member index. At least a quorum of them is needed.

    The script counts the signatures, so exactly a quorum is used: those of the lowest indices.
    """
    used = dict(sorted(signatures.items())[: spending.threshold])
    if len(used) < spending.threshold:
        raise ValueError(f"{spending.threshold} signatures are needed, found {len(used)}")
    items = [used.get(index, b"") for index in reversed(range(len(spending.keys)))]
    return (*items, spending.leaf_script, spending.control_block)


def witness_fault(spending: Spending, message: bytes, witness: Sequence[bytes]) -> str | None:
    """The reason why a witness does not spend the output, or None if it does."""
    if len(witness) != len(spending.keys) + 2:
        return f"it must have {len(spending.keys) + 2} items, found {len(witness)}"
    *items, script, control = witness
    if script != spending.leaf_script or control != spending.control_block:
        return "it does not have the federation's script and control block"
    given = [(key, item) for key, item in zip(spending.keys, reversed(items), strict=True) if item]
    if len(given) != spending.threshold:
        return f"it must have exactly {spending.threshold} signatures, found {len(given)}"
    if not all(signature_holds(key, message, item) for key, item in given):
        return "a signature does not match"
    return None


def _sized(data: bytes) -> bytes:
    size = len(data)
    return (bytes([size]) if size < 0xFD else b"\xfd" + size.to_bytes(2, "little")) + data


def _size_bytes(number: int) -> int:
    return 1 if number < 0xFD else 3
