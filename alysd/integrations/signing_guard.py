"""The signing guard: a file, separate from the database, that records the last signature of a key.

The file is text, so that an operator can read it. The last line is a checksum, which detects damage:

    alysd signing guard 1
    key 8f31…
    slot 891234567
    block 5d11…
    check 02ab…
"""

import os
import re
from pathlib import Path

import attrs

from alysd.errors import Corrupt, StoreError
from alysd.types.hashes import BlockHash, BlsPublicKey, sha256
from alysd.types.units import Slot

_MAX_BYTES = 1024
"""The maximum number of bytes to read. A guard takes about 300; a longer file is not a guard."""

_FORM = re.compile(
    r"(alysd signing guard 1\nkey ([0-9a-f]{96})\nslot ([0-9]{1,20})\nblock ([0-9a-f]{64})\n)"
    r"check ([0-9a-f]{64})\n"
)


@attrs.frozen
class SignedSlot:
    """The last signature of `key`, which was for `block` in `slot`."""

    key: BlsPublicKey
    slot: Slot
    block: BlockHash


def read_guard(path: Path, key: BlsPublicKey) -> SignedSlot | None:
    """Read the guard of `key`; None if there is no file.

    Raises `Corrupt` for a file that is damaged or belongs to another key, and `StoreError` when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read the signing guard {path}: {error.strerror}") from error
    found = _FORM.fullmatch(text)
    if found is None or sha256(found[1].encode()).hex() != found[5]:
        raise Corrupt(
            f"the signing guard {path} is damaged, and without it this key could sign twice in one slot: stop the "
            f"node, wait for at least one slot after its last signature, then remove the file"
        )
    if found[2] != key.hex():
        raise Corrupt(
            f"the signing guard {path} belongs to the key {found[2]}, but this node's key is {key.hex()}: "
            "use the data folder of this key"
        )
    return SignedSlot(key, Slot(int(found[3])), BlockHash(bytes.fromhex(found[4])))


def write_guard(path: Path, record: SignedSlot) -> None:
    """Replace the guard atomically. It is on disk when this returns; a crash leaves the old or the new file.

    Raises `StoreError` when the disk fails.
    """
    text = f"alysd signing guard 1\nkey {record.key.hex()}\nslot {record.slot}\nblock {record.block.hex()}\n"
    text += f"check {sha256(text.encode()).hex()}\n"
    fresh = path.with_name(path.name + ".new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        # The rename is on disk only after its folder has been synced.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"cannot write the signing guard {path}: {error.strerror}") from error
