"""The cost of reading the ledger while many blocks are not final."""

from pathlib import Path

import pytest

from alysd.integrations.lmdb_records import RecordTransaction
from alysd.integrations.lmdb_store import LmdbStore
from alysd.peg.operations import LedgerView
from alysd.types.chain import ExecutedBlock
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import Minted
from alysd.types.peg_history import Refunded
from alysd.types.tables import Entry, EntryChange, Table
from alysd.types.units import Height, Sat
from tests.integrations.stored_blocks import HAND, child, placement

ABOVE = 20
KEY = bytes(8)


@pytest.mark.parametrize(
    ("table", "key", "entry"),
    [
        (Table.REFUNDED, KEY, Refunded(Height(1))),
        (Table.MINTED, BitcoinHash(bytes(32)), Minted(Height(1), Sat(5))),
    ],
)
def test_a_final_entry_that_cannot_change_is_found_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table, key: bytes, entry: Entry
) -> None:
    """A list of ended operations took some milliseconds for each while thousands of blocks waited for a proof."""
    store = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    one, state = child(HAND.genesis_state, 5)
    written = EntryChange(table, key, entry)
    store.commit_blocks([(ExecutedBlock(one, state, (written,)), placement(state, state, final=state))])
    for number in range(ABOVE):
        signed, state = child(state, 6 + number)
        other = EntryChange(Table.REFUNDED, bytes([1, *bytes(6), number]), Refunded(Height(2)))
        store.commit_blocks([(ExecutedBlock(signed, state, (other,)), placement(state, state))])
    looked_up: list[str] = []
    get = RecordTransaction.get

    def counted(txn: RecordTransaction, name: str, place: bytes) -> bytes | None:
        looked_up.append(name)
        return get(txn, name, place)

    def read(view: LedgerView) -> tuple[Entry | None, int, Entry | None, int]:
        assert view.get(Table.REFUNDED, bytes([2, *bytes(7)])) is None  # the blocks are known from now on
        looked_up.clear()
        found, lookups = view.get(table, key), len(looked_up)
        newest = view.get(Table.REFUNDED, bytes([1, *bytes(6), 0]))
        return found, lookups, newest, len(looked_up) - lookups

    monkeypatch.setattr(RecordTransaction, "get", counted)
    assert store.read_ledger(read) == (entry, 1, Refunded(Height(2)), ABOVE + 1)
    store.close()
