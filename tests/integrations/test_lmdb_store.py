"""The node's database: it has exactly the committed data, and reports damage."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from alysd.errors import ConfigError, Corrupt, StoreError, WrongChain
from alysd.integrations import lmdb_store
from alysd.integrations.lmdb_layout import VERSION
from alysd.integrations.lmdb_records import RecordTransaction
from alysd.integrations.lmdb_store import LmdbStore
from alysd.testing.chain import ChainHand, chain_spec
from alysd.types.block import SignedBlock
from alysd.types.chain import ExecutedBlock
from alysd.types.hashes import AuxHash
from alysd.types.peg_history import Refunded
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height
from alysd.wire.records import seal
from tests.integrations.stored_blocks import HAND, child, placement


@pytest.fixture
def store(tmp_path: Path) -> Generator[LmdbStore]:
    opened = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    yield opened
    opened.close()


def test_committed_blocks_are_there_after_closing_and_opening(tmp_path: Path) -> None:
    signed, state = child(HAND.genesis_state, 5)
    store = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
    store.close()
    again = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    assert again.block_by_hash(signed.hash) == signed
    assert again.block_by_height(Height(1)) == signed
    assert again.load_chain().states == (HAND.genesis_state, state)
    again.close()


def test_another_chains_database_is_refused_in_words(tmp_path: Path) -> None:
    LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state).close()
    other = ChainHand.of(chain_spec(chain_id=4243))
    with pytest.raises(WrongChain, match="use another data folder for this chain"):
        LmdbStore.open(tmp_path / "chain", other.genesis, other.genesis_state)


def test_the_map_grows_when_it_is_full(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state, map_bytes=64 * 1024)
    state, blocks = HAND.genesis_state, [HAND.genesis]
    for slot in range(1, 300):
        signed, state = child(state, slot)
        store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
        blocks.append(signed)
    assert store.canonical_range(Height(0), 1000) == tuple(blocks)
    store.close()


def test_a_disk_that_refuses_is_a_store_error_and_changes_nothing(
    store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed, state = child(HAND.genesis_state, 5)

    def refuse(*_args: object) -> bytes:
        raise lmdb.DiskError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lmdb_store, "encode_block", refuse)
        with pytest.raises(StoreError, match=r"the disk is full, or the file may not grow \(ENOSPC\)"):
            store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
    assert store.block_by_hash(signed.hash) is None
    assert store.load_chain().states == (HAND.genesis_state,)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "chain").write_text("a file is in the way")
    with pytest.raises(ConfigError, match="chain cannot be accessed: .*Not a directory"):
        LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)


def raw(folder: Path, table: str, key: bytes, value: bytes | None) -> bytes:
    """Overwrite, or delete, one record behind the store's back; the old one."""
    with lmdb.open(str(folder), max_dbs=len(lmdb_store.TABLES)) as environment:
        database = environment.open_db(table.encode())
        with environment.begin(write=True) as txn:
            old = bytes(txn.get(key, b"", db=database))
            if value is None:
                txn.delete(key, db=database)
            else:
                txn.put(key, value, db=database)
            return old


def proven(folder: Path) -> SignedBlock:
    """A database of the genesis block and one on it, which is final and has made two entries; closed."""
    signed, state = child(HAND.genesis_state, 5)
    changes = tuple(
        EntryChange(Table.PROOFS, bytes([n]) * 32, Proof(signed.hash, Height(n), AuxHash(bytes(32))))
        for n in (1, 2)
    )
    with closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store:
        store.commit_blocks([(ExecutedBlock(signed, state, changes), placement(state, state, final=state))])
    return signed


TABLES_WITH_KEYS: dict[str, Callable[[SignedBlock], bytes]] = {
    "blocks": lambda block: block.hash,
    "states": lambda block: (1).to_bytes(8, "big") + block.hash,
    "canonical": lambda _: (1).to_bytes(8, "big"),
    "meta": lambda _: b"final",
    "proofs": lambda _: b"\x01" * 32,
}


@pytest.mark.parametrize("table", TABLES_WITH_KEYS)
def test_a_record_with_a_flipped_bit_is_named_and_never_served(tmp_path: Path, table: str) -> None:
    """A wrong state, or a wrong entry of the peg, would pay out what nobody owes."""
    folder = tmp_path / "chain"
    key: bytes = TABLES_WITH_KEYS[table](proven(folder))
    record = raw(folder, table, key, None)
    raw(folder, table, key, bytes([record[0] ^ 1]) + record[1:])

    def read_all(store: LmdbStore) -> None:
        store.block_by_height(Height(1))
        store.final_entries([(Table.PROOFS, b"\x01" * 32)])

    words = f"{key.hex()} of the table {table} .*restore the folder `chain` of its data folder"
    with (
        pytest.raises(Corrupt, match=words),
        closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store,
    ):
        read_all(store)


def test_a_record_that_stands_under_another_key_is_damage(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    proven(folder)
    one = raw(folder, "proofs", b"\x01" * 32, None)
    raw(folder, "proofs", b"\x02" * 32, one)
    with closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store:
        assert store.final_entries([(Table.PROOFS, b"\x01" * 32)]) == (None,)
        with pytest.raises(Corrupt, match="02 of the table proofs"):
            store.final_entries([(Table.PROOFS, b"\x02" * 32)])


def test_what_is_missing_or_wrong_behind_a_good_checksum_is_named_too(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    signed = proven(folder)
    other = HAND.genesis.hash
    raw(folder, "blocks", other, seal("blocks", other, b"\0" * 40))
    raw(folder, "blocks", signed.hash, seal("blocks", signed.hash, lmdb_store.encode_block(HAND.genesis)))
    with closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store:
        with pytest.raises(Corrupt, match="cannot be decoded"):
            store.block_by_hash(other)
        with pytest.raises(Corrupt, match="has the hash"):
            store.block_by_hash(signed.hash)
    raw(folder, "blocks", other, None)
    with (
        closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store,
        pytest.raises(Corrupt, match="the canonical block 0 is not in the database"),
    ):
        store.block_by_height(Height(0))


def test_changes_of_the_federation_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    """The node would forget what governance has signed."""
    folder = tmp_path / "chain"
    proven(folder)
    raw(folder, "meta", b"updates", seal("meta", b"updates", b"\0" * 7))
    with (
        closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store,
        pytest.raises(Corrupt, match="stored updates cannot be decoded"),
    ):
        store.updates()


@pytest.mark.parametrize("record", [b"1", seal("meta", b"format", b"9")])
def test_a_database_of_another_format_is_refused_with_what_to_do(tmp_path: Path, record: bytes) -> None:
    """Otherwise its records would seem damaged, or would be read as other values."""
    folder = tmp_path / "chain"
    proven(folder)
    raw(folder, "meta", b"format", record)
    with pytest.raises(
        ConfigError, match=f"has format {record[:1].decode()}, .* uses format {VERSION}-.*: .*storage.path"
    ):
        LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)


def test_a_read_of_the_ledger_does_not_read_the_changes_of_a_block(
    store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks full of burns, while finality stands still, would make each request take seconds."""
    signed, state = child(HAND.genesis_state, 5)
    changes = [EntryChange(Table.REFUNDED, at.to_bytes(8, "big"), Refunded(Height(at))) for at in range(2_000)]
    store.commit_blocks([(ExecutedBlock(signed, state, tuple(changes)), placement(state, state))])
    read, scan = 0, RecordTransaction.scan

    def counting(self: RecordTransaction, table: str, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        nonlocal read
        for record in scan(self, table, start):
            read += 1
            yield record

    monkeypatch.setattr(RecordTransaction, "scan", counting)
    found = store.read_ledger(lambda view: (view.get(Table.REFUNDED, changes[7].key), view.payments()))
    assert found == (Refunded(Height(7)), [])
    assert read < 10
