"""The database of the Bitcoin watch in LMDB: the blocks that the watch has read, and its findings.

    blocks      height (4, BE)  -> block hash | median time past (4, BE)
    deposits    number (8, BE)  -> height (4, BE) | median time past (4, BE) | the deposit
    uncredited  number (8, BE)  -> height (4, BE) | median time past (4, BE) | the payment that is not credited
    payments    number (8, BE)  -> height (4, BE) | median time past (4, BE) | the federation's own payment
    spends      number (8, BE)  -> the txid of a payment or deposit, and the outputs of the ledger that it spends
    places      txid            -> number (8, BE) | height (4, BE) | amount (8, BE) | the name of its table; the
                                   amount of a payment is 0
    lost        key (Expected)  -> amount of a deposit (8, BE), or nothing: transactions that the ledger may rely
                                   on and Bitcoin has lost
    signed      txid            -> height (4, BE): at which the watch was first told of a payment's witnesses
    meta        "identity", "next" (the next number), "watched" (the later federations), "told" (the federations
                of the newest branch), and "again" after a block was read again: the numbers of findings are not in
                the order of their heights then

The watch can find everything in the database again on Bitcoin, so the database needs no backup. Only the heights
of `signed` are lost then, and payments that are stuck wait once more before they are replaced.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import attrs

from alysd.errors import REBUILD_BITCOIN, ConfigError, Corrupt
from alysd.integrations.lmdb_records import FIRST_MAP_BYTES, Records, RecordTransaction
from alysd.messages.codec import PAYLOADS
from alysd.types.bitcoin_watch import (
    ConfirmedPayment,
    Expected,
    Finding,
    ReadBlock,
    Seen,
    SeenDeposit,
    SeenUncredited,
    Spend,
    SpendingDeposit,
    SpendPage,
    Uncredited,
    WatchedFederation,
    expected_of,
    finding_of,
    found_txid,
    may_be_minted,
    page_of,
    seen_of,
    spends_of,
    txid_of,
)
from alysd.types.federation_update import Holders
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegIn
from alysd.types.units import Sat
from alysd.wire.records import RecordCodec, record_codec

KINDS: Mapping[type[Any], str] = MappingProxyType(
    {
        PegIn: "deposits",
        SpendingDeposit: "deposits",
        Uncredited: "uncredited",
        ConfirmedPayment: "payments",
    }
)
"""The table of each kind of finding. The kinds are apart, so that many findings of one kind slow down no other."""

FOUND = tuple(dict.fromkeys(KINDS.values()))
"""The tables of findings."""

TABLES = (*FOUND, "spends", "blocks", "places", "lost", "signed", "meta")

VERSION = 5
"""The version of the tables' contents."""

MAX_SIGNED = 1_024
"""The maximum number of heights that are kept in `signed`, of the newest payments.

At most four payments of the newest federation and five of each former one are in flight, so 319 with 64
federations. Federations that sign have some of them."""

_HEIGHT_BYTES = 4
_TIME_BYTES = 4
_HASH_BYTES = 32
_NUMBER_BYTES = 8
_AMOUNT_BYTES = 8
_TXID_BYTES = 32


class LmdbBitcoinRecords:
    """Implements `bitcoin_ports.BitcoinRecords`."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @classmethod
    def open(cls, folder: Path, identity: str, map_bytes: int = FIRST_MAP_BYTES) -> "LmdbBitcoinRecords":
        """Open the database in `folder`, or create it.

        `identity` names everything that determines the findings: the chain, its federations and their parameters.
        Raises `ConfigError` for a database with another identity or version, or a folder that cannot be accessed;
        `Corrupt` for a damaged one; and `StoreError` when the disk fails.
        """
        expected = f"{VERSION} {identity}".encode()
        records = Records.find(folder, TABLES) or Records.open(folder, TABLES, map_bytes)
        with ExitStack() as unless_it_is_ours:
            unless_it_is_ours.callback(records.close)
            found = records.read(lambda txn: txn.get("meta", b"identity"))
            if found is None:
                if records.read(lambda txn: any(txn.count(table) for table in TABLES)):
                    raise _damaged(folder, "it does not say to which chain it belongs")
                records.write(lambda txn: txn.put("meta", b"identity", expected))
            elif found != expected:
                raise ConfigError(
                    f"the database in {folder} was made by another version of alysd, or for another chain: "
                    f"{REBUILD_BITCOIN}"
                )
            unless_it_is_ours.pop_all()
        return cls(records)

    def newest(self) -> tuple[int, BitcoinHash] | None:
        """Height and hash of the newest block; None if there is none."""
        return self._records.read(_newest)

    def hash_at(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height`, or None."""
        found = self._records.read(lambda txn: txn.get("blocks", _height_key(height)))
        return None if found is None else BitcoinHash(found[:_HASH_BYTES])

    def median_at(self, height: int) -> int | None:
        """The median time past of the block at `height`, or None."""
        found = self._records.read(lambda txn: txn.get("blocks", _height_key(height)))
        return None if found is None else _median_of_block(found)

    def first_from(self, median_time: int) -> int | None:
        """The height of the first block whose median time past is at least this, or None. Halves the range."""

        def read(txn: RecordTransaction) -> int | None:
            newest = _newest(txn)
            if newest is None:
                return None
            lowest = next(int.from_bytes(key, "big") for key, _ in txn.scan("blocks", b""))
            found = bisect_left(
                range(lowest, newest[0] + 1), median_time, key=lambda height: _median_at(txn, height)
            )
            return None if lowest + found > newest[0] else lowest + found

        return self._records.read(read)

    def add(self, blocks: Sequence[ReadBlock], confirmations: int) -> None:
        """Add blocks on top of the newest, and forget lost transactions that have enough `confirmations` again."""

        def write(txn: RecordTransaction) -> None:
            below, number = _newest(txn), _next_number(txn)
            for block in blocks:
                if below is not None and (block.height - 1, block.previous) != below:
                    raise ValueError(f"the Bitcoin block {block.height} is not on top of block {below[0]}")
                below = (block.height, block.hash)
                median_time = block.median_time.to_bytes(_TIME_BYTES, "big")
                txn.put("blocks", _height_key(block.height), block.hash + median_time)
                for finding in block.findings:
                    _put(txn, number, block, finding)
                    number += 1
            txn.put("meta", b"next", _number_key(number))
            if below is not None:
                _forget_found(txn, below[0] - confirmations + 1)

        self._records.write(write)

    def add_again(self, block: ReadBlock) -> None:
        """Put the findings of a block that was read again in place of those before."""

        def write(txn: RecordTransaction) -> None:
            stored = txn.get("blocks", _height_key(block.height))
            if stored is None or stored[:_HASH_BYTES] != block.hash:
                raise ValueError(f"the Bitcoin block {block.height} was not added with this hash")
            number = _next_number(txn)
            for finding in block.findings:
                before = _seen(txn, found_txid(finding))
                if before is not None and finding_of(before) == finding:
                    continue
                if before is not None:
                    _delete(txn, before)
                _put(txn, number, block, finding)
                number += 1
            txn.put("meta", b"next", _number_key(number))
            txn.put("meta", b"again", b"1")

        self._records.write(write)

    def watched(self) -> tuple[WatchedFederation, ...]:
        """The later federations."""
        stored = self._records.read(lambda txn: txn.get("meta", b"watched"))
        return () if stored is None else _WATCHED.decode(stored).federations

    def note_watched(self, federations: Sequence[WatchedFederation]) -> None:
        """Keep the later federations in place of those before."""
        value = _WATCHED.encode(_Watched(tuple(federations)))
        self._records.write(lambda txn: txn.put("meta", b"watched", value))

    def told(self) -> tuple[Holders, ...]:
        """The federations of the newest branch that the watch was told of."""
        stored = self._records.read(lambda txn: txn.get("meta", b"told"))
        return () if stored is None else _TOLD.decode(stored).holders

    def note_told(self, holders: Sequence[Holders]) -> None:
        """Keep the federations of a branch in place of those before."""
        value = _TOLD.encode(_Told(tuple(holders)))
        self._records.write(lambda txn: txn.put("meta", b"told", value))

    def remove_newest(self) -> None:
        """Remove the newest block; its deposits and payments become lost."""

        def write(txn: RecordTransaction) -> None:
            newest = _newest(txn)
            if newest is None:
                raise ValueError("there is no Bitcoin block to remove")
            height = newest[0]
            for table in FOUND:
                for seen in _at_newest(txn, table, height):
                    _delete(txn, seen)
                    if (expected := expected_of(seen)) is not None:
                        _put_lost(txn, expected)
            txn.delete("blocks", _height_key(height))

        self._records.write(write)

    def deposits(self, after: int, highest: int, limit: int) -> tuple[SeenDeposit, ...]:
        """At most `limit` deposits up to the height `highest`, with a number above `after`."""

        def read(txn: RecordTransaction) -> tuple[SeenDeposit, ...]:
            found = (cast("SeenDeposit", seen) for seen in _scan(txn, "deposits", after))
            return tuple(islice(takewhile(lambda seen: seen.height <= highest, found), limit))

        return self._records.read(read)

    def uncredited(self, after: int, limit: int) -> tuple[SeenUncredited, ...]:
        """At most `limit` payments that are not credited, with a number above `after`."""

        def read(txn: RecordTransaction) -> tuple[SeenUncredited, ...]:
            found = (cast("SeenUncredited", seen) for seen in _scan(txn, "uncredited", after))
            return tuple(islice(found, limit))

        return self._records.read(read)

    def spends(self, after: int, limit: int) -> SpendPage:
        """The spends with a number above `after`, until they have `limit` outputs."""

        def read(txn: RecordTransaction) -> SpendPage:
            stored = txn.scan("spends", _number_key(after + 1))
            spends = ((int.from_bytes(key, "big"), _SPEND.decode(value)) for key, value in stored)
            return page_of(spends, after, limit)

        return self._records.read(read)

    def find(self, txids: Sequence[BitcoinHash]) -> tuple[Seen | None, ...]:
        """The findings in these transactions; None for a transaction without one."""
        return self._records.read(lambda txn: tuple(_seen(txn, txid) for txid in txids))

    def missing(self, expected: Sequence[Expected], highest: int) -> tuple[Expected, ...]:
        """The expected transactions that no block up to the height `highest` has."""
        return self._records.read(lambda txn: tuple(one for one in expected if _is_missing(txn, one, highest)))

    def note_lost(self, expected: Sequence[Expected]) -> None:
        """Keep these transactions as lost."""

        def write(txn: RecordTransaction) -> None:
            for one in expected:
                _put_lost(txn, one)

        self._records.write(write)

    def lost(self, after: bytes, highest: int, limit: int) -> tuple[Expected, ...]:
        """At most `limit` lost transactions with a key above `after`."""

        def read(txn: RecordTransaction) -> tuple[Expected, ...]:
            found = (one for one in _scan_lost(txn, after) if _is_missing(txn, one, highest))
            return tuple(islice(found, limit))

        return self._records.read(read)

    def note_signed(self, txids: Sequence[BitcoinHash], height: int) -> tuple[int, ...]:
        """Note `height` for each payment that has no noted height. Returns the noted heights, in order."""

        def read(txn: RecordTransaction) -> dict[BitcoinHash, int]:
            stored = ((txid, txn.get("signed", txid)) for txid in txids)
            return {txid: int.from_bytes(found, "big") for txid, found in stored if found is not None}

        def write(txn: RecordTransaction) -> None:
            for txid in txids:
                if txid not in noted:
                    txn.put("signed", txid, _height_key(height))
            kept = sorted(txn.scan("signed", b""), key=lambda entry: entry[1])
            for txid, _ in kept[: max(0, len(kept) - MAX_SIGNED)]:
                txn.delete("signed", txid)

        noted = self._records.read(read)
        if len(noted) < len(set(txids)):
            self._records.write(write)
        return tuple(noted.get(txid, height) for txid in txids)

    def close(self) -> None:
        """Close the database."""
        self._records.close()


@attrs.frozen
class _Watched:
    federations: tuple[WatchedFederation, ...]


@attrs.frozen
class _Told:
    holders: tuple[Holders, ...]


_TOLD: RecordCodec[_Told] = record_codec(_Told)
_WATCHED: RecordCodec[_Watched] = record_codec(_Watched)
_SPEND: RecordCodec[Spend] = record_codec(Spend)


def _seen(txn: RecordTransaction, txid: BitcoinHash) -> Seen | None:
    """The finding in a transaction, or None."""
    place = txn.get("places", txid)
    if place is None:
        return None
    key = place[:_NUMBER_BYTES]
    value = txn.get(_Place.of(place).table, key)
    if value is None:
        raise Corrupt(f"the record of the Bitcoin transaction {txid[::-1].hex()} is missing: {REBUILD_BITCOIN}")
    return _decode(key, value)


def _at_newest(txn: RecordTransaction, table: str, height: int) -> list[Seen]:
    """The findings of the newest block, at `height`.

    Their numbers are the highest, unless a block was read again. Then all findings are read, which takes some
    microseconds for each.
    """
    newest_first = txn.scan_back(table)
    if txn.get("meta", b"again") is None:
        newest_first = takewhile(lambda found: _height_of(found[1]) == height, newest_first)
    found = [(key, value) for key, value in newest_first if _height_of(value) == height]
    return [_decode(key, value) for key, value in found]


def _height_of(value: bytes) -> int:
    return int.from_bytes(value[:_HEIGHT_BYTES], "big")


def _median_of_block(value: bytes) -> int:
    return int.from_bytes(value[_HASH_BYTES:], "big")


def _median_at(txn: RecordTransaction, height: int) -> int:
    value = txn.get("blocks", _height_key(height))
    if value is None:
        raise Corrupt(f"the record of the Bitcoin block {height} is missing: {REBUILD_BITCOIN}")
    return _median_of_block(value)


def _put(txn: RecordTransaction, number: int, block: ReadBlock, finding: Finding) -> None:
    txid = found_txid(finding)
    key, table = _number_key(number), KINDS[type(finding)]
    place = _height_key(block.height) + block.median_time.to_bytes(_TIME_BYTES, "big")
    txn.put(table, key, place + PAYLOADS.encode(finding))
    if spends := spends_of(finding):
        txn.put("spends", key, _SPEND.encode(Spend(txid, spends)))
    amount = _amount(finding).to_bytes(_AMOUNT_BYTES, "big")
    txn.put("places", txid, key + _height_key(block.height) + amount + table.encode())


def _delete(txn: RecordTransaction, seen: Seen) -> None:
    key, table = _number_key(seen.number), KINDS[type(finding_of(seen))]
    txn.delete(table, key)
    txn.delete("places", txid_of(seen))
    if spends_of(finding_of(seen)):
        txn.delete("spends", key)


@attrs.frozen
class _Place:
    """The height, the amount and the table of a finding, without its record."""

    height: int
    amount: int
    table: str

    @classmethod
    def of(cls, value: bytes) -> "_Place":
        height_end = _NUMBER_BYTES + _HEIGHT_BYTES
        amount_end = height_end + _AMOUNT_BYTES
        return cls(
            int.from_bytes(value[_NUMBER_BYTES:height_end], "big"),
            int.from_bytes(value[height_end:amount_end], "big"),
            value[amount_end:].decode(),
        )


def _amount(finding: Finding) -> int:
    """The amount by which a transaction is compared with the ledger, which knows a payment by its txid alone."""
    if isinstance(finding, SpendingDeposit):
        return finding.peg_in.amount
    return 0 if isinstance(finding, ConfirmedPayment) else finding.amount


def _is_missing(txn: RecordTransaction, expected: Expected, highest: int) -> bool:
    stored = txn.get("places", expected.txid)
    if stored is None:
        return True
    place = _Place.of(stored)
    if place.height > highest:
        return True
    if expected.is_payment and place.table == KINDS[SpendingDeposit]:
        return txn.get("spends", stored[:_NUMBER_BYTES]) is None
    if place.table != KINDS[ConfirmedPayment if expected.is_payment else PegIn]:
        return True
    if expected.amount is None or place.amount == expected.amount:
        return False
    seen = _seen(txn, expected.txid)
    return not (isinstance(seen, SeenDeposit) and may_be_minted(seen.peg_in, expected.amount))


def _put_lost(txn: RecordTransaction, expected: Expected) -> None:
    amount = b"" if expected.amount is None else expected.amount.to_bytes(_AMOUNT_BYTES, "big")
    txn.put("lost", expected.key, amount)


def _scan_lost(txn: RecordTransaction, after: bytes) -> Iterator[Expected]:
    for key, value in txn.scan("lost", after):
        if key != after:
            amount = Sat(int.from_bytes(value, "big")) if value else None
            yield Expected(BitcoinHash(key[:_TXID_BYTES]), amount)


def _forget_found(txn: RecordTransaction, highest: int) -> None:
    for one in [lost for lost in _scan_lost(txn, b"") if not _is_missing(txn, lost, highest)]:
        txn.delete("lost", one.key)


def _scan(txn: RecordTransaction, table: str, after: int) -> Iterator[Seen]:
    return (_decode(key, value) for key, value in txn.scan(table, _number_key(after + 1)))


def _decode(key: bytes, value: bytes) -> Seen:
    number, height = int.from_bytes(key, "big"), _height_of(value)
    median_time = int.from_bytes(value[_HEIGHT_BYTES : _HEIGHT_BYTES + _TIME_BYTES], "big")
    finding = cast("Finding", PAYLOADS.decode(value[_HEIGHT_BYTES + _TIME_BYTES :]))
    return seen_of(number, height, median_time, finding)


def _newest(txn: RecordTransaction) -> tuple[int, BitcoinHash] | None:
    for key, value in txn.scan_back("blocks"):
        return int.from_bytes(key, "big"), BitcoinHash(value[:_HASH_BYTES])
    return None


def _next_number(txn: RecordTransaction) -> int:
    stored = txn.get("meta", b"next")
    if stored is None and txn.count("blocks"):
        raise Corrupt(f"the database of the Bitcoin watch has no number for the next finding: {REBUILD_BITCOIN}")
    return 1 if stored is None else int.from_bytes(stored, "big")


def _height_key(height: int) -> bytes:
    return height.to_bytes(_HEIGHT_BYTES, "big")


def _number_key(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big")


def _damaged(folder: Path, what: str) -> Corrupt:
    return Corrupt(f"the database in {folder} is damaged: {what}: {REBUILD_BITCOIN}")
