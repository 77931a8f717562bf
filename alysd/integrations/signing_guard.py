"""The file that remembers the newest signature of a key, on its own, outside the database.

A few lines of text, so that an operator can read it, with a checksum, so that nobody trusts a damaged one:

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
"""A guard takes about 300; whatever is longer is not one, and is not read further."""

_FORM = re.compile(
    r"(alysd signing guard 1\nkey ([0-9a-f]{96})\nslot ([0-9]{1,20})\nblock ([0-9a-f]{64})\n)"
    r"check ([0-9a-f]{64})\n"
)


@attrs.frozen
class SignedSlot:
    """The newest signature of `key`: for `block`, in `slot`."""

    key: BlsPublicKey
    slot: Slot
    block: BlockHash


def read_guard(path: Path, key: BlsPublicKey) -> SignedSlot | None:
    """What the guard of `key` says, or None where there is no file.

    Raises `Corrupt` for a file that is damaged or of another key, and `StoreError` when it cannot be read.
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
            f"the signing guard {path} is damaged, and without it a slot could be signed twice: wait until its "
            f"last signature is certainly past, a slot's length is enough, then remove the file"
        )
    if found[2] != key.hex():
        raise Corrupt(f"the signing guard {path} is of the key {found[2]}, this node's key is {key.hex()}")
    return SignedSlot(key, Slot(int(found[3])), BlockHash(bytes.fromhex(found[4])))


def write_guard(path: Path, record: SignedSlot) -> None:
    """Replace the guard, on disk when this returns; a crash at any moment leaves the old one or the new, whole.

    Raises `StoreError` when the disk refuses.
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
        # The new name itself is on disk only once its folder is.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"cannot write the signing guard {path}: {error.strerror}") from error
