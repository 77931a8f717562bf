"""The record of the payments that a Bitcoin key has signed: a file of lines, which only grows.

The first lines name the key. Each further line was written and synced before a signature was made:

    alysd payment record 1
    key 8f31…
    signed <version> <payment> <Unix time> <sat> <outputs spent, with commas> <check>

`version` is the txid of the signed transaction as Bitcoin displays it. `payment` is the digest of the parts that
all versions of the payment have in common (`peg.versions.payment_digest`). `check` is a checksum over the line and
the check of the line before, so that a damaged or foreign line is noticed, and a missing one unless it was the
last. A crash can leave an incomplete last line. No signature followed this line, so the next start removes it.
"""

import fcntl
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import attrs

from alysd.config.regular_file import open_regular, read_regular
from alysd.errors import ConfigError, Corrupt, PaymentRecordMissing, StoreError
from alysd.integrations.durable import create_file
from alysd.types.hashes import BitcoinHash, XOnlyKey, displayed, sha256
from alysd.types.peg import OutPoint
from alysd.types.units import Sat

_LINE = re.compile(
    r"signed ([0-9a-f]{64}) ([0-9a-f]{64}) ([0-9]{1,12}) ([0-9]{1,16}) "
    r"([0-9a-f]{64}:[0-9]{1,10}(?:,[0-9a-f]{64}:[0-9]{1,10})*) ([0-9a-f]{16})"
)

_CHECK_DIGITS = 16

_MOST_BYTES = 2**30
"""The largest record that is read. A line has some 250 bytes: a payment per minute for eight years."""


@attrs.frozen
class SignedPayment:
    """One line of the record: a version `txid` of the payment with this `digest`.

    `time` is the time of the signature, in Unix seconds. `amount` is the sat that leave the federation, fee
    included.
    """

    txid: BitcoinHash
    digest: bytes
    time: int
    amount: Sat
    outputs: tuple[OutPoint, ...]


class PaymentRecord:
    """The record of one key, open for writing. Only one process at a time may open it.

    All methods but those that only read must be called in a worker thread. Its owner closes it.
    """

    def __init__(self, path: Path, descriptor: int, last_check: str) -> None:
        self._path = path
        self._descriptor = descriptor
        self._last_check = last_check
        self._spent_by: dict[OutPoint, bytes] = {}
        self._versions: dict[BitcoinHash, bytes] = {}
        self._firsts: dict[bytes, SignedPayment] = {}
        self._broken = False

    @staticmethod
    def create(path: Path, key: XOnlyKey) -> None:
        """Write an empty record. It is safe only if no payment of the key can be in flight.

        Raises `ConfigError` if the file exists or its folder is missing, `StoreError` when the disk fails.
        """
        try:
            create_file(path, _head(key).encode())
        except FileExistsError:
            raise ConfigError(
                f"the payment record {path} exists: keep it, and start without making a new one"
            ) from None
        except FileNotFoundError:
            raise ConfigError(f"the folder of the payment record {path} does not exist: create it") from None
        except OSError as error:
            raise StoreError(f"cannot write the payment record {path}: {error.strerror}") from error

    @staticmethod
    def missing(path: Path, key: XOnlyKey) -> PaymentRecordMissing:
        """The error for a record that is missing."""
        return PaymentRecordMissing(
            f"the record {path} of payments signed with the key {key.hex()[:16]}… is missing: without it this "
            'key could pay twice\nrestore its newest copy; if it is lost, see "A lost record" in docs/peg.md\n'
            "`alysd keys record` makes one for a key that has never signed"
        )

    @classmethod
    def open(cls, path: Path, key: XOnlyKey) -> Self:
        """Open the record of `key`.

        Raises `PaymentRecordMissing`, `Corrupt` if it is damaged or belongs to another key, and `StoreError` when
        the disk fails.
        """
        head = _head(key)
        try:
            content = read_regular(path, _MOST_BYTES)
        except FileNotFoundError:
            raise cls.missing(path, key) from None
        except OSError as error:
            raise StoreError(f"cannot read the payment record {path}: {error.strerror}") from error
        lines = content.decode("ascii", errors="replace").split("\n")
        if lines[:2] != head.split("\n")[:2] or len(lines) < 3:
            raise Corrupt(f"the payment record {path} is damaged, or not that of the key {key.hex()}: restore it")
        check, signed = _check("", head), list[SignedPayment]()
        for number, line in enumerate(lines[2:-1], 3):
            one, check = _parse(line, check, f"{path}, line {number}")
            signed.append(one)
        record = cls(path, _opened(path, content.rfind(b"\n") + 1), check)
        for one in signed:
            record._remember(one)
        return record

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def has(self, txid: BitcoinHash) -> bool:
        """Whether this version has been recorded."""
        return txid in self._versions

    def digest_of(self, txid: BitcoinHash) -> bytes | None:
        """The digest under which this version has been recorded, or None."""
        return self._versions.get(txid)

    def other_payment(self, digest: bytes, outputs: tuple[OutPoint, ...]) -> OutPoint | None:
        """The first of these outputs that a recorded payment with another digest spends, or None."""
        return next((one for one in outputs if self._spent_by.get(one, digest) != digest), None)

    def paid_since(self, time: int, but: bytes) -> Sat:
        """The sum of the payments first recorded after `time`, except the one with the digest `but`.

        Later versions of a payment pay the same amount, and do not count.
        """
        return Sat(sum(one.amount for one in self._others(time, but)))

    def room_for(self, amount: Sat, limit: Sat, since: int, but: bytes) -> int | None:
        """The Unix time of the payment that leaves room for `amount` as soon as it counts no more.

        The payments recorded after `since` count, except the one with the digest `but`. Together with `amount`
        they exceed the `limit`. None if `amount` alone exceeds it.
        """
        others = sorted(self._others(since, but), key=lambda one: one.time)
        left = amount + sum(one.amount for one in others)
        for one in others:
            left -= one.amount
            if left <= limit:
                return one.time
        return None

    def add(self, signed: SignedPayment) -> None:
        """Write a line. It is on disk when this returns.

        Raises `StoreError` when the disk fails. Then the record accepts no more lines until it is opened again,
        because the content on disk is unknown.
        """
        if self._broken:
            raise StoreError(f"an earlier write to the payment record {self._path} failed: restart the process")
        text = _text(signed)
        check = _check(self._last_check, text)
        self._broken = True
        try:
            line = f"{text} {check}\n".encode()
            if os.write(self._descriptor, line) != len(line):
                raise StoreError(f"cannot write the payment record {self._path}: the disk is full")
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreError(f"cannot write the payment record {self._path}: {error.strerror}") from error
        self._broken = False
        self._last_check = check
        self._remember(signed)

    def _others(self, time: int, but: bytes) -> list[SignedPayment]:
        return [one for digest, one in self._firsts.items() if one.time > time and digest != but]

    def _remember(self, signed: SignedPayment) -> None:
        self._versions[signed.txid] = signed.digest
        self._spent_by |= dict.fromkeys(signed.outputs, signed.digest)
        self._firsts.setdefault(signed.digest, signed)


def _head(key: XOnlyKey) -> str:
    return f"alysd payment record 1\nkey {key.hex()}\n"


def _opened(path: Path, length: int) -> int:
    """Open the file for writing at its end, after `length` bytes; the rest is removed. Raises `StoreError`."""
    try:
        descriptor = open_regular(path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
            os.lseek(descriptor, 0, os.SEEK_END)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise StoreError(f"cannot write the payment record {path}: {error.strerror}") from error
    return descriptor


def _text(signed: SignedPayment) -> str:
    outputs = ",".join(f"{displayed(one.txid)}:{one.index}" for one in signed.outputs)
    return f"signed {displayed(signed.txid)} {signed.digest.hex()} {signed.time} {signed.amount} {outputs}"


def _check(before: str, text: str) -> str:
    return sha256(f"{before}\n{text}".encode()).hex()[:_CHECK_DIGITS]


def _parse(line: str, before: str, place: str) -> tuple[SignedPayment, str]:
    found = _LINE.fullmatch(line)
    if found is None or _check(before, line[: -_CHECK_DIGITS - 1]) != found[6]:
        raise Corrupt(
            f"{place}: this line is damaged, and without it the key could pay twice from one output: restore the "
            "file from a backup"
        )
    outputs = tuple(
        OutPoint(BitcoinHash(bytes.fromhex(one[:64])[::-1]), int(one[65:])) for one in found[5].split(",")
    )
    txid = BitcoinHash(bytes.fromhex(found[1])[::-1])
    return SignedPayment(txid, bytes.fromhex(found[2]), int(found[3]), Sat(int(found[4])), outputs), found[6]


@contextmanager
def locked_record(record: Path) -> Generator[None]:
    """Lock the record, so that no second process writes to it: the lines of one would replace those of the other.

    A missing record is not locked, because opening it is an error. Raises `ConfigError` if the record is
    locked, `StoreError` if it cannot be read.
    """
    try:
        descriptor = open_regular(record)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise StoreError(f"cannot read the payment record {record}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"the record {record} is in use: another signer or node runs with it") from None
    finally:
        os.close(descriptor)
