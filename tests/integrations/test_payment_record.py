"""The record of signed payments: what a crash leaves, what damage is noticed, and what it remembers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.errors import ConfigError, Corrupt, PaymentRecordMissing, StoreError
from alysd.integrations.payment_record import PaymentRecord, SignedPayment, locked_record
from alysd.types.hashes import BitcoinHash, sha256
from alysd.types.units import Sat
from alysd.wire.plain_text import sentence
from tests.peg.payment_kit import member_keys, outpoint
from tests.peg.record_kit import Records, open_records

KEY, OTHER_KEY = member_keys(2)


def signed(number: int, *, time: int = 1_000, version: int = 0) -> SignedPayment:
    """A line for the payment `number`, which spends two outputs of its own."""
    return SignedPayment(
        BitcoinHash(sha256(b"version %d %d" % (number, version))),
        sha256(b"payment %d" % number),
        time,
        Sat(10_000 + number),
        (outpoint(2 * number), outpoint(2 * number + 1)),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an empty record."""
    path = tmp_path / "signed-payments"
    PaymentRecord.create(path, KEY)
    return path


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with open_records(tmp_path) as opened:
        yield opened


def filled(path: Path, count: int = 3) -> None:
    record = PaymentRecord.open(path, KEY)
    for number in range(count):
        record.add(signed(number))
    record.close()


def test_a_record_remembers_after_a_restart(path: Path, records: Records) -> None:
    filled(path)
    record = records.open(path.name, KEY)
    assert record.has(signed(2).txid)
    assert not record.has(signed(3).txid)
    assert record.other_payment(sha256(b"payment 9"), (outpoint(99), outpoint(3))) == outpoint(3)
    assert record.other_payment(signed(1).digest, signed(1).outputs) is None
    assert record.other_payment(sha256(b"payment 9"), (outpoint(99),)) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_payment_counts_once_and_for_a_time(path: Path, records: Records) -> None:
    """A replacement pays nobody a second time."""
    record = records.open(path.name, KEY)
    record.add(signed(1, time=100))
    record.add(signed(2, time=200))
    record.add(signed(1, time=300, version=1))
    assert record.paid_since(99, but=b"") == 10_001 + 10_002
    assert record.paid_since(100, but=b"") == 10_002
    assert record.paid_since(99, but=signed(2).digest) == 10_001


@pytest.mark.parametrize("left", [1, 60, 150])
def test_a_line_that_a_crash_has_cut_is_removed(path: Path, records: Records, left: int) -> None:
    """No signature followed it: the line was not synced yet."""
    filled(path, 2)
    content = path.read_bytes()
    whole = content.rindex(b"\n", 0, -1) + 1
    path.write_bytes(content[: whole + left])
    record = records.open(path.name, KEY)
    assert record.has(signed(0).txid)
    assert not record.has(signed(1).txid)
    record.add(signed(1))
    assert path.read_bytes() == content


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\xff\xfe", b"sig"])
def test_bytes_of_a_lost_write_are_removed(path: Path, tail: bytes) -> None:
    """After a power cut, a file system may show zeros where the last write was to go."""
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content + tail)
    PaymentRecord.open(path, KEY).close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("line", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("change", ["delete", "flip", "swap"])
def test_damage_is_noticed(path: Path, line: int, change: str) -> None:
    """A lost line would let the key sign a second payment from the outputs that it names."""
    filled(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    if change == "delete":
        del lines[line]
    elif change == "swap":
        lines[line], lines[line + 1] = lines[line + 1], lines[line]
    else:
        lines[line] = bytes([lines[line][0] ^ 1]) + lines[line][1:]
    path.write_bytes(b"".join(lines))
    with pytest.raises(Corrupt):
        PaymentRecord.open(path, KEY)


@pytest.mark.parametrize("content", [b"", b"alysd payment record 1\n", b"x" * 1000])
def test_a_file_that_is_no_record_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Corrupt, match="damaged, or not that of the key"):
        PaymentRecord.open(path, KEY)


def test_a_record_of_another_key_is_refused(path: Path) -> None:
    filled(path)
    with pytest.raises(Corrupt, match=OTHER_KEY.hex()):
        PaymentRecord.open(path, OTHER_KEY)


def test_a_disk_that_fails_is_an_error_and_ends_the_record(
    path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed sync, nobody knows what is on disk: the next line could follow a hole."""
    record = records.open(path.name, KEY)
    record.add(signed(0))
    with monkeypatch.context() as broken:

        def fail(_: int) -> None:
            raise OSError(5, "Input/output error")

        broken.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            record.add(signed(1))
    with pytest.raises(StoreError, match="restart the process"):
        record.add(signed(2))
    record = records.open(path.name, KEY)
    assert not record.has(signed(2).txid)
    record.add(attrs.evolve(signed(2)))


def test_a_full_disk_is_an_error(path: Path, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    record = records.open(path.name, KEY)
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        with pytest.raises(StoreError, match="the disk is full"):
            record.add(signed(0))
    assert not records.open(path.name, KEY).has(signed(0).txid)


def test_a_record_that_cannot_be_read_or_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        PaymentRecord.open(tmp_path, KEY)


def test_a_record_in_use_is_refused(tmp_path: Path) -> None:
    """A node and a signer with one record replaced each other's lines."""
    path = tmp_path / "record"
    PaymentRecord.create(path, KEY)
    with (
        locked_record(path),
        pytest.raises(ConfigError, match="is in use: another signer or node runs with it"),
        locked_record(path),
    ):
        pass
    with locked_record(path):
        pass


def test_a_missing_record_is_refused_and_never_made_anew(tmp_path: Path) -> None:
    """The key may have signed payments that only the lost file knows."""
    path = tmp_path / "record"
    with pytest.raises(PaymentRecordMissing, match=f"{KEY.hex()[:16]}.*could pay twice") as refused:
        PaymentRecord.open(path, KEY)
    shown = sentence(str(refused.value))
    assert 'restore its newest copy; if it is lost, see "A lost record" in docs/peg.md\n`alysd keys' in shown
    assert not path.exists()
    PaymentRecord.create(path, KEY)
    with pytest.raises(ConfigError, match="exists: keep it"):
        PaymentRecord.create(path, KEY)
    with pytest.raises(ConfigError, match="does not exist: create it"):
        PaymentRecord.create(tmp_path / "missing" / "record", KEY)
    with pytest.raises(StoreError, match="cannot write"):
        PaymentRecord.create(path / "below", KEY)


def test_a_record_that_cannot_be_opened_for_writing_leaves_no_open_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    real = os.close

    def fail(_descriptor: int, _length: int) -> None:
        raise OSError(5, "Input/output error")

    def close(descriptor: int) -> None:
        closed.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "ftruncate", fail)
    monkeypatch.setattr(os, "close", close)
    with pytest.raises(StoreError, match="cannot write"):
        PaymentRecord.open(path, KEY)
    assert len(closed) == 1


def test_when_there_is_room_for_a_payment(path: Path, records: Records) -> None:
    """The payment that makes room by its end is not always the oldest one."""
    record = records.open(path.name, KEY)
    for number, time in ((1, 100), (2, 200), (3, 300)):
        record.add(signed(number, time=time))  # 10,001, 10,002 and 10,003 sat
    assert record.room_for(Sat(5_000), Sat(30_000), since=0, but=b"") == 100
    assert record.room_for(Sat(15_000), Sat(30_000), since=0, but=b"") == 200
    assert record.room_for(Sat(15_000), Sat(30_000), since=0, but=signed(2).digest) == 100
    assert record.room_for(Sat(25_000), Sat(30_000), since=100, but=b"") == 300
    assert record.room_for(Sat(30_001), Sat(30_000), since=0, but=b"") is None
    assert record.room_for(Sat(9_997), Sat(30_002), since=0, but=b"") == 100, "the limit itself is allowed"
    assert record.room_for(Sat(9_997), Sat(30_001), since=0, but=b"") == 200


def test_a_line_is_removed_and_written_before_the_record_goes_on(
    path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut could otherwise bring the removed line back in front of a newer one, or lose the newer one."""
    steps: list[str] = []

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any) -> Any:
            steps.append(name)
            return real(*given)

        return step

    for name in ("ftruncate", "write", "fsync"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    record = records.open(path.name, KEY)
    assert steps == ["ftruncate", "fsync"]
    record.add(signed(0))
    assert steps[2:] == ["write", "fsync"]
