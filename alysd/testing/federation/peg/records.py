"""A member's data of the peg on its simulated disk: the database of the Bitcoin watch, and signed payments."""

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import cast

import attrs

from alysd.integrations.payment_record import PaymentRecord, SignedPayment
from alysd.testing.federation.disk import DiskSession
from alysd.types.bitcoin_watch import (
    Expected,
    ReadBlock,
    Seen,
    SeenDeposit,
    SeenUncredited,
    Spend,
    SpendPage,
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

_BITCOIN, _SIGNED = "bitcoin", "signed payments"


@attrs.frozen
class _Added:
    """Blocks that were read, and the confirmations with which a lost transaction counts as found again."""

    blocks: tuple[ReadBlock, ...]
    confirmations: int


@attrs.frozen
class _Again:
    """A block that was read again."""

    block: ReadBlock


@attrs.frozen
class _Watched:
    """The later federations that the watch looks for."""

    federations: tuple[WatchedFederation, ...]


@attrs.frozen
class _Told:
    """The federations of the newest branch that the watch was told of."""

    holders: tuple[Holders, ...]


@attrs.frozen
class _Lost:
    """Transactions that were found to be lost."""

    expected: tuple[Expected, ...]


@attrs.frozen
class _SignedSince:
    """Payments with witnesses, and the height of Bitcoin at which the watch was first told of them."""

    txids: tuple[BitcoinHash, ...]
    height: int


_Change = _Added | _Again | _Watched | _Told | _Lost | _SignedSince | None
"""An entry of the journal; None removes the newest block."""


class MemoryBitcoinRecords:
    """Implements `bitcoin_ports.BitcoinRecords` on a simulated disk. A write is durable after `session.sync()`."""

    def __init__(self, session: DiskSession) -> None:
        self._session = session
        self._blocks: list[tuple[ReadBlock, list[Seen]]] = []
        self._places: dict[BitcoinHash, Seen] = {}
        self._lost: dict[bytes, Expected] = {}
        self._signed: dict[BitcoinHash, int] = {}
        self._watched: tuple[WatchedFederation, ...] = ()
        self._told: tuple[Holders, ...] = ()
        self._next = 1
        for change in session.journal(_BITCOIN):
            self._apply(cast("_Change", change))

    def newest(self) -> tuple[int, BitcoinHash] | None:
        """Height and hash of the newest block; None if there is none."""
        return (self._blocks[-1][0].height, self._blocks[-1][0].hash) if self._blocks else None

    def hash_at(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height`, or None."""
        place = height - self._blocks[0][0].height if self._blocks else -1
        return self._blocks[place][0].hash if 0 <= place < len(self._blocks) else None

    def median_at(self, height: int) -> int | None:
        """The median time past of the block at `height`, or None."""
        place = height - self._blocks[0][0].height if self._blocks else -1
        return self._blocks[place][0].median_time if 0 <= place < len(self._blocks) else None

    def first_from(self, median_time: int) -> int | None:
        """The height of the first block whose median time past is at least this, or None."""
        return next((one.height for one, _ in self._blocks if one.median_time >= median_time), None)

    def add(self, blocks: Sequence[ReadBlock], confirmations: int) -> None:
        """Add blocks on top of the newest, and forget lost transactions that have enough confirmations again."""
        self._write(_Added(tuple(blocks), confirmations))

    def add_again(self, block: ReadBlock) -> None:
        """Put the findings of a block that was read again in place of those before."""
        self._write(_Again(block))

    def watched(self) -> tuple[WatchedFederation, ...]:
        """The later federations."""
        return self._watched

    def note_watched(self, federations: Sequence[WatchedFederation]) -> None:
        """Keep the later federations in place of those before."""
        self._write(_Watched(tuple(federations)))

    def told(self) -> tuple[Holders, ...]:
        """The federations of the newest branch that the watch was told of."""
        return self._told

    def note_told(self, holders: Sequence[Holders]) -> None:
        """Keep the federations of a branch in place of those before."""
        self._write(_Told(tuple(holders)))

    def remove_newest(self) -> None:
        """Remove the newest block; its deposits and payments become lost."""
        self._write(None)

    def deposits(self, after: int, highest: int, limit: int) -> tuple[SeenDeposit, ...]:
        """At most `limit` deposits up to the height `highest`, with a number above `after`."""
        found = (one for one in self._seen() if isinstance(one, SeenDeposit) and one.number > after)
        # As on disk: a deposit of a block above the height hides those that were read again after it.
        return tuple(islice(takewhile(lambda one: one.height <= highest, found), limit))

    def uncredited(self, after: int, limit: int) -> tuple[SeenUncredited, ...]:
        """At most `limit` payments that are not credited, with a number above `after`."""
        found = (one for one in self._seen() if isinstance(one, SeenUncredited))
        return tuple(one for one in found if one.number > after)[:limit]

    def spends(self, after: int, limit: int) -> SpendPage:
        """The spends with a number above `after`, until they have `limit` outputs."""
        found = ((one, spends_of(finding_of(one))) for one in self._seen() if one.number > after)
        numbered = ((one.number, Spend(txid_of(one), spends)) for one, spends in found if spends)
        return page_of(numbered, after, limit)

    def find(self, txids: Sequence[BitcoinHash]) -> tuple[Seen | None, ...]:
        """The findings in these transactions, in order; None for a transaction without a finding."""
        return tuple(self._places.get(txid) for txid in txids)

    def missing(self, expected: Sequence[Expected], highest: int) -> tuple[Expected, ...]:
        """The expected transactions that no block up to the height `highest` has."""
        return tuple(one for one in expected if self._is_missing(one, highest))

    def note_lost(self, expected: Sequence[Expected]) -> None:
        """Add transactions to those that are lost."""
        self._write(_Lost(tuple(expected)))

    def lost(self, after: bytes, highest: int, limit: int) -> tuple[Expected, ...]:
        """At most `limit` lost transactions with a key above `after`."""
        found = (self._lost[key] for key in sorted(self._lost) if key > after)
        return tuple(one for one in found if self._is_missing(one, highest))[:limit]

    def note_signed(self, txids: Sequence[BitcoinHash], height: int) -> tuple[int, ...]:
        """Note `height` for each payment that has no noted height. Returns the noted heights, in order."""
        unknown = tuple(txid for txid in txids if txid not in self._signed)
        if unknown:
            self._write(_SignedSince(unknown, height))
        return tuple(self._signed[txid] for txid in txids)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _write(self, change: _Change) -> None:
        self._session.append(_BITCOIN, change)
        self._apply(change)

    def _apply(self, change: _Change) -> None:
        match change:
            case None:
                for one in self._blocks.pop()[1]:
                    del self._places[txid_of(one)]
                    if (expected := expected_of(one)) is not None:
                        self._lost[expected.key] = expected
            case _Again(block):
                self._add_again(block)
            case _Watched(federations):
                self._watched = federations
            case _Told(holders):
                self._told = holders
            case _Lost(expected):
                self._lost |= {one.key: one for one in expected}
            case _SignedSince(txids, height):
                self._signed |= dict.fromkeys(txids, height)
            case _Added(blocks, confirmations):
                for block in blocks:
                    self._add(block)
                if self._blocks:
                    deep = self._blocks[-1][0].height - confirmations + 1
                    self._lost = {key: one for key, one in self._lost.items() if self._is_missing(one, deep)}

    def _add(self, block: ReadBlock) -> None:
        seen: list[Seen] = []
        for finding in block.findings:
            seen.append(seen_of(self._next, block.height, block.median_time, finding))
            self._places[txid_of(seen[-1])] = seen[-1]
            self._next += 1
        self._blocks.append((block, seen))

    def _add_again(self, block: ReadBlock) -> None:
        (findings,) = [found for one, found in self._blocks if one.hash == block.hash]
        for finding in block.findings:
            before = self._places.get(found_txid(finding))
            if before is not None and finding_of(before) == finding:
                continue
            if before is not None:
                findings.remove(before)
            findings.append(seen_of(self._next, block.height, block.median_time, finding))
            self._places[found_txid(finding)] = findings[-1]
            self._next += 1

    def _is_missing(self, expected: Expected, highest: int) -> bool:
        seen = self._places.get(expected.txid)
        if seen is None or seen.height > highest:
            return True
        if isinstance(seen, SeenDeposit) and expected.amount is not None:
            return not may_be_minted(seen.peg_in, expected.amount)
        if isinstance(seen, SeenDeposit):
            return not seen.spends
        return expected_of(seen) != expected

    def _seen(self) -> Iterator[Seen]:
        return iter(sorted((one for _, seen in self._blocks for one in seen), key=lambda one: one.number))


class SimulatedRecord(PaymentRecord):
    """The record of signed payments on a simulated disk. That of a `careless` signer forbids nothing."""

    def __init__(self, session: DiskSession, *, careless: bool = False) -> None:
        super().__init__(Path("signed-payments"), -1, "")
        self._session = session
        self._careless = careless
        for one in session.journal(_SIGNED):
            self._remember(cast("SignedPayment", one))

    def add(self, signed: SignedPayment) -> None:
        """Write a line. It is durable when the thread that called this has ended."""
        if not self._careless:
            self._session.append(_SIGNED, signed)
            self._remember(signed)
