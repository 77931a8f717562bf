"""The database of the Bitcoin watch: what is kept, what a crash leaves, and which databases are refused."""

from collections.abc import Generator
from pathlib import Path

import pytest

from alysd.errors import ConfigError, Corrupt
from alysd.integrations import lmdb_bitcoin
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.integrations.lmdb_records import Records, RecordTransaction
from alysd.messages.codec import ValueCodec
from alysd.types.bitcoin_watch import (
    ConfirmedPayment,
    Expected,
    Finding,
    ReadBlock,
    SeenDeposit,
    Spend,
    SpendingDeposit,
    SpendPage,
    Uncredited,
)
from alysd.types.hashes import BitcoinHash, EvmAddress, sha256
from alysd.types.peg import DepositOutput, OutPoint, PegIn, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bitcoin"


@pytest.fixture
def records(folder: Path) -> Generator[LmdbBitcoinRecords]:
    opened = LmdbBitcoinRecords.open(folder, "chain", map_bytes=64 * 1024)
    yield opened
    opened.close()


def digest(text: str) -> BitcoinHash:
    return BitcoinHash(sha256(text.encode()))


def block(height: int, *findings: Finding, branch: str = "") -> ReadBlock:
    median = 1_000 + 10 * height
    return ReadBlock(height, digest(f"{branch}{height}"), digest(f"{branch}{height - 1}"), median, findings)


def deposit(name: str) -> PegIn:
    return PegIn(digest(name), digest("block"), EvmAddress(bytes(20)), (DepositOutput(0, 0, Sat(7)),))


def lost(name: str) -> Expected:
    return Expected(digest(name), Sat(7))


def uncredited(name: str) -> Uncredited:
    return Uncredited(digest(name), digest("block"), Sat(7), "no address")


def test_blocks_stand_on_each_other(records: LmdbBitcoinRecords) -> None:
    assert records.newest() is None
    records.add([block(5), block(6)], 1)
    assert records.newest() == (6, digest("6"))
    assert [records.hash_at(height) for height in (4, 5, 6, 7)] == [None, digest("5"), digest("6"), None]
    with pytest.raises(ValueError, match="the Bitcoin block 8 is not on top of block 6"):
        records.add([block(8)], 1)
    with pytest.raises(ValueError, match="the Bitcoin block 8 is not on top of block 7"):
        records.add([block(7), block(8, branch="other")], 1)
    assert records.newest() == (6, digest("6"))  # the first of the two was not written either


def test_removing_undoes_exactly_one_block(records: LmdbBitcoinRecords) -> None:
    records.add(
        [block(1, deposit("a"), uncredited("b")), block(2, deposit("c"), uncredited("d"), deposit("e"))], 1
    )
    records.remove_newest()
    assert records.newest() == (1, digest("1"))
    assert records.deposits(0, 100, 100) == (SeenDeposit(1, 1, deposit("a"), 1_010),)
    assert [one.payment for one in records.uncredited(0, 100)] == [uncredited("b")]
    assert records.find([digest(name) for name in "cde"]) == (None, None, None)
    assert set(records.lost(b"", 100, 100)) == {lost("c"), lost("e")}
    records.remove_newest()
    assert records.newest() is None
    with pytest.raises(ValueError, match="there is no Bitcoin block to remove"):
        records.remove_newest()


def test_the_first_block_of_a_median_time_is_found(records: LmdbBitcoinRecords) -> None:
    assert records.first_from(0) is None
    records.add([block(height) for height in range(5, 40)], 1)
    for median, first in ((0, 5), (1_050, 5), (1_051, 6), (1_240, 24), (1_390, 39), (1_391, None)):
        assert records.first_from(median) == first
    assert [records.median_at(height) for height in (4, 5, 39, 40)] == [None, 1_050, 1_390, None]


def test_a_deposit_that_spends_outputs_is_a_deposit_and_a_spend(records: LmdbBitcoinRecords) -> None:
    places = (OutPoint(digest("d"), 3),)
    found = SpendingDeposit(deposit("a"), (2, 5), places)
    records.add([block(1, deposit("b"), found)], 1)
    assert records.deposits(1, 9, 9) == (SeenDeposit(2, 1, deposit("a"), 1_010, (2, 5), places),)
    assert records.find([digest("a")]) == records.deposits(1, 9, 9)
    assert records.spends(0, 9) == SpendPage((Spend(digest("a"), places),), 2, more=False)
    assert records.missing([lost("a")], 9) == ()
    records.add_again(block(1, found))
    assert [one.number for one in records.deposits(0, 9, 9)] == [1, 2]
    records.remove_newest()
    assert records.spends(0, 9) == SpendPage((), 0, more=False)
    assert set(records.lost(b"", 9, 9)) == {lost("a"), lost("b")}


def payment(name: str, *places: int) -> ConfirmedPayment:
    spent = TransactionInput(OutPoint(digest(name), 0), b"", 0)
    made = make_transaction(2, [spent], [TransactionOutput(Sat(7), b"\x51")], 0)
    return ConfirmedPayment(made, digest("block"), tuple(OutPoint(digest(name), place) for place in places))


def spend(one: ConfirmedPayment) -> Spend:
    return Spend(one.transaction.txid, one.spends)


def test_spends_are_listed_without_their_transactions(
    records: LmdbBitcoinRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The witnesses of ten transactions made a page of the list take longer than its deadline."""
    first, second, third = payment("a", 0, 1), payment("b", 0), payment("c", 0)
    records.add([block(1, first, deposit("d"), second), block(2, third)], 1)
    monkeypatch.delattr(ValueCodec, "decode")
    assert records.spends(0, 1) == SpendPage((spend(first),), 1, more=True)
    assert records.spends(0, 3) == SpendPage((spend(first), spend(second)), 3, more=True)
    assert records.spends(1, 9) == SpendPage((spend(second), spend(third)), 4, more=False)
    assert records.spends(4, 9) == SpendPage((), 4, more=False)


def test_spends_of_removed_blocks_are_none(records: LmdbBitcoinRecords) -> None:
    records.add([block(1, payment("a", 0)), block(2, payment("b", 0))], 1)
    records.add_again(block(1, payment("a", 0, 1)))
    assert records.spends(0, 9) == SpendPage((spend(payment("b", 0)), spend(payment("a", 0, 1))), 3, more=False)
    records.remove_newest()
    assert records.spends(0, 9) == SpendPage((spend(payment("a", 0, 1)),), 3, more=False)


def test_numbers_are_never_used_again(records: LmdbBitcoinRecords) -> None:
    """A reader that has seen number 2 would miss what gets this number later."""
    records.add([block(1, deposit("a"), deposit("b"))], 1)
    records.remove_newest()
    records.add([block(1, deposit("b"))], 1)
    assert [one.number for one in records.deposits(0, 100, 100)] == [3]
    assert records.lost(b"", 1, 100) == (lost("a"),)


def test_lost_deposits_come_in_pages(records: LmdbBitcoinRecords) -> None:
    records.add([block(1, *(deposit(str(number)) for number in range(5)))], 1)
    records.remove_newest()
    first = records.lost(b"", 100, 2)
    rest = records.lost(first[-1].key, 100, 100)
    assert [*first, *rest] == sorted((lost(str(number)) for number in range(5)), key=lambda one: one.key)
    assert len(rest) == 3


def test_what_was_lost_is_forgotten_with_enough_confirmations_again(records: LmdbBitcoinRecords) -> None:
    """The list of what is lost would grow for ever."""
    records.add([block(1, deposit("a"), deposit("b"))], 3)
    records.remove_newest()
    records.add([block(1, deposit("a")), block(2)], 3)
    assert set(records.lost(b"", 0, 100)) == {lost("a"), lost("b")}, "block 1 has two of three confirmations"
    records.add([block(3)], 3)
    assert records.lost(b"", 0, 100) == (lost("b"),)


def test_a_transaction_is_missing_unless_it_is_there_as_expected(records: LmdbBitcoinRecords) -> None:
    records.add([block(1, uncredited("u")), block(2, deposit("a"))], 1)
    wrong = [Expected(digest("a"), Sat(8)), Expected(digest("a"), None), lost("u"), lost("none")]
    assert records.missing([lost("a"), *wrong], 2) == tuple(wrong)
    assert records.missing([lost("a")], 1) == (lost("a"),)


def test_everything_is_there_after_a_restart(folder: Path) -> None:
    opened = LmdbBitcoinRecords.open(folder, "chain")
    opened.add([block(1, deposit("a"))], 1)
    opened.close()
    again = LmdbBitcoinRecords.open(folder, "chain")
    assert again.newest() == (1, digest("1"))
    assert again.find([digest("a")]) == (SeenDeposit(1, 1, deposit("a"), 1_010),)
    again.close()


def test_a_database_for_other_federations_is_refused(folder: Path) -> None:
    """It would lack the deposits to the others."""
    LmdbBitcoinRecords.open(folder, "chain").close()
    with pytest.raises(ConfigError, match=r"or for another chain: stop the node and remove the folder `bitcoin`"):
        LmdbBitcoinRecords.open(folder, "another chain")


def damage(txn: RecordTransaction) -> None:
    txn.lmdb.put((1).to_bytes(8, "big"), b"other", db=txn.tables["deposits"])


def test_damage_is_named_with_the_right_advice(folder: Path) -> None:
    """The advice for the node's own database would make an operator restore a backup for nothing."""
    opened = LmdbBitcoinRecords.open(folder, "chain")
    opened.add([block(1, deposit("a"))], 1)
    opened.close()
    raw = Records.open(folder, ("deposits", "places", "meta"))
    raw.write(damage)
    raw.close()
    damaged = LmdbBitcoinRecords.open(folder, "chain")
    with pytest.raises(Corrupt, match="remove the folder `bitcoin`"):
        damaged.find([digest("a")])
    damaged.close()
    raw = Records.open(folder, ("deposits", "places", "meta"))
    raw.write(lambda txn: txn.delete("deposits", (1).to_bytes(8, "big")))
    raw.write(lambda txn: txn.delete("meta", b"next"))
    raw.close()
    missing = LmdbBitcoinRecords.open(folder, "chain")
    with pytest.raises(Corrupt, match="is missing: stop the node and remove the folder `bitcoin`"):
        missing.find([digest("a")])
    with pytest.raises(Corrupt, match="has no number for the next finding"):
        missing.add([block(2)], 1)
    missing.close()
    raw = Records.open(folder, ("deposits", "places", "meta"))
    raw.write(lambda txn: txn.delete("meta", b"identity"))
    raw.close()
    with pytest.raises(Corrupt, match="it does not say to which chain it belongs"):
        LmdbBitcoinRecords.open(folder, "chain")


def test_the_first_height_of_a_signed_payment_is_kept(
    records: LmdbBitcoinRecords, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_bitcoin, "MAX_SIGNED", 3)
    assert records.note_signed([digest("a"), digest("b")], 7) == (7, 7)
    assert records.note_signed([digest("c"), digest("a")], 9) == (9, 7)
    assert records.note_signed([], 9) == ()
    records.close()
    again = LmdbBitcoinRecords.open(folder, "chain")
    assert again.note_signed([digest("c"), digest("b")], 12) == (9, 7)
    assert again.note_signed([digest("d")], 13) == (13,)  # one of the oldest is forgotten for it
    assert sorted(again.note_signed([digest("a"), digest("b")], 14)) == [7, 14]
    assert again.note_signed([digest("d")], 15) == (13,)
    again.close()
