"""The signing guard: a file, separate from the database, that records the last approval of a key.

The file is text, so that an operator can read it. The last line is a checksum, which detects damage:

    alysd signing guard 2
    key 8f31…
    slot 891234567
    block 5d11…
    lock 891234566
    check 02ab…

A key that `joins` (`SignedSlot.joins`) has a line `joins others` after the lock. A key with an approval that the
guard did not know has a line `unknown SLOT BLOCK` after these (`SignedSlot.unknown`), and signs nothing more.
`lock` is the slot of the signed block's parent (`SignedSlot.lock`). A file of format 1 has no `lock`. Its slot is
used instead, so the database must contain the signed block itself.
"""

import re
from pathlib import Path

from alysd.config.regular_file import reading_regular
from alysd.errors import Corrupt, StoreError
from alysd.integrations.durable import replace_file
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, sha256
from alysd.types.signing import SignedSlot, UnknownApproval
from alysd.types.units import Slot

_MAX_BYTES = 1024
"""The maximum number of bytes to read. A guard takes up to 450; a longer file is not a guard."""

_FORM = re.compile(
    r"(alysd signing guard [12]\nkey ([0-9a-f]{96})\nslot ([0-9]{1,20})\nblock ([0-9a-f]{64})\n"
    r"(?:lock ([0-9]{1,20})\n(joins others\n)?)?(?:unknown ([0-9]{1,20}) ([0-9a-f]{64})\n)?)check ([0-9a-f]{64})\n"
)


def read_guard(path: Path, key: BlsPublicKey) -> SignedSlot | None:
    """Read the guard of `key`; None if there is no file.

    Raises `Corrupt` for a file that is damaged or belongs to another key, and `StoreError` when it cannot be read.
    """
    try:
        with reading_regular(path) as file:
            text = file.read(_MAX_BYTES).decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise Corrupt(f"the signing guard {path} is a folder: move it away, then run `alysd recover`") from None
    except OSError as error:
        raise StoreError(
            f"cannot read the signing guard {path}: {error.strerror}; check the disk and the mode of the file"
        ) from error
    found = _FORM.fullmatch(text)
    if found is None or sha256(found[1].encode()).hex() != found[9]:
        raise Corrupt(
            f"the signing guard {path} is damaged, and without it this key could sign twice in one slot: "
            "move the file away, then run `alysd recover`"
        )
    if found[2] != key.hex():
        raise Corrupt(
            f"the signing guard {path} belongs to the key {found[2]}, but this node's key is {key.hex()}: "
            "set storage.path to the data folder of this node's key, or chain.authority_key_file to the "
            "guard's key"
        )
    slot, lock = Slot(int(found[3])), Slot(int(found[5] or found[3]))
    unknown = None if found[7] is None else UnknownApproval(Slot(int(found[7])), _hash(found[8]))
    return SignedSlot(key, slot, _hash(found[4]), lock, joins=found[6] is not None, unknown=unknown)


def _hash(text: str) -> BlockHash:
    return BlockHash(bytes.fromhex(text))


def write_guard(path: Path, record: SignedSlot) -> None:
    """Replace the guard atomically. It is on disk when this returns; a crash leaves the old or the new file.

    Raises `StoreError` when the disk fails.
    """
    text = f"alysd signing guard 2\nkey {record.key.hex()}\nslot {record.slot}\nblock {record.block.hex()}\n"
    text += f"lock {record.lock}\n" + "joins others\n" * record.joins
    if record.unknown is not None:
        text += f"unknown {record.unknown.slot} {record.unknown.block.hex()}\n"
    text += f"check {sha256(text.encode()).hex()}\n"
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise StoreError(f"cannot write the signing guard {path}: {error.strerror}; check the disk") from error


def write_first_guard(path: Path, key: BlsPublicKey) -> SignedSlot:
    """Write and return the guard of a `key` that has never signed. It allows every slot.

    Raises `StoreError` when the disk fails.
    """
    first = SignedSlot(key, Slot(0), ZERO_HASH, Slot(0))
    write_guard(path, first)
    return first
