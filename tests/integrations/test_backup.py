"""A backup is of one moment, complete or absent, checked when it is made and when it is used."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from alysd.errors import AlysError, ConfigError, Corrupt, DataMismatch, StoreError, WrongChain
from alysd.integrations import backup
from alysd.integrations.backup import make_backup
from alysd.integrations.backup_manifest import BackupBlock, Manifest, use_backup
from alysd.integrations.lmdb_snapshot import open_snapshot
from alysd.types.hashes import BlockHash, displayed
from tests.integrations.stored_blocks import HAND, NOW, live, node_data
from tests.samples import full_disk

GENESIS = HAND.genesis.hash
OTHER = BlockHash(b"\x77" * 32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a node that has made three blocks, all final, on an engine that has executed them."""
    folder = tmp_path / "data"
    folder.mkdir()
    live(folder, 3)
    engine(folder, HAND.genesis.block.payload.block_hash)  # the payload of all blocks of these tests
    return folder


def engine(folder: Path, *blocks: bytes) -> None:
    with lmdb.open(str(folder / "execution"), max_dbs=1) as environment:
        headers = environment.open_db(b"headers")
        with environment.begin(write=True, db=headers) as transaction:
            for block in blocks:
                transaction.put(block, b"header")


def make(data: Path, name: str = "backup", *, genesis: BlockHash = GENESIS, embedded: bool = True) -> Manifest:
    return make_backup(data, data.parent / name, "test", genesis, embedded=embedded)


def content(folder: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    with open_snapshot(folder) as snapshot:
        return {table: list(snapshot.items(table)) for table in snapshot.tables()}


def test_a_backup_has_every_record_and_neither_guard_nor_lock(data: Path) -> None:
    manifest = make(data)
    copy = data.parent / "backup"
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "backup.json", "chain", "chain.json", "chain/data.mdb", "execution", "execution/data.mdb",
    ]  # fmt: skip
    assert content(copy / "chain") == content(data / "chain")
    assert content(copy / "execution") == content(data / "execution")
    opened = node_data(data).open(NOW)
    head = opened.store.load_chain().states[-1]
    opened.store.close()
    assert manifest.head == BackupBlock(3, displayed(head.hash))
    assert manifest.final == BackupBlock(0, displayed(GENESIS))
    assert (manifest.chain, manifest.genesis) == ("test", displayed(GENESIS))
    assert (copy / "chain" / "data.mdb").stat().st_mode & 0o777 == 0o600


def test_a_node_beside_an_execution_client_has_one_database(data: Path) -> None:
    shutil.rmtree(data / "execution")
    assert list(make(data, embedded=False).files) == ["chain/data.mdb"]


def test_a_node_may_write_while_its_backup_is_made(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is of the moment at which it began, however long it takes."""
    before = content(data / "chain")
    told: list[int] = []
    copy = backup._copy  # pyright: ignore[reportPrivateUsage]

    def slow(*args: object, **options: object) -> None:
        if not told:
            told.append(live_elsewhere(data))
        copy(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(backup, "_copy", slow)
    manifest = make(data)
    assert (manifest.head.height, told) == (3, [5])
    assert content(data.parent / "backup" / "chain") == before


def live_elsewhere(data: Path) -> int:
    """Another process adds two blocks; the height of its head. LMDB allows one environment per process."""
    program = (
        "import sys; from pathlib import Path; from tests.integrations.stored_blocks import live; "
        "print(live(Path(sys.argv[1]), 2, 10).height)"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(data)], capture_output=True, text=True, check=True)
    return int(ran.stdout)


def existing(data: Path) -> None:
    (data.parent / "backup").mkdir()


def dangling_link(data: Path) -> None:
    (data.parent / "backup").symlink_to(data.parent / "nowhere")


def interrupted(data: Path) -> None:
    (data.parent / "backup.incomplete").mkdir()


def engine_behind(data: Path) -> None:
    shutil.rmtree(data / "execution")
    engine(data, b"\1" * 32)


def no_engine(data: Path) -> None:
    shutil.rmtree(data / "execution")


def no_database(data: Path) -> None:
    shutil.rmtree(data / "chain")


def damaged_record(data: Path) -> None:
    with lmdb.open(str(data / "chain"), max_dbs=64) as environment:
        states = environment.open_db(b"states")
        with environment.begin(write=True, db=states) as transaction, transaction.cursor() as cursor:
            assert cursor.first()
            key, value = bytes(cursor.key()), bytearray(cursor.value())
            value[3] ^= 1
            transaction.put(key, bytes(value), db=states)


def truncated(data: Path) -> None:
    with (data / "chain" / "data.mdb").open("r+b") as file:
        file.truncate(8192)


def no_blocks(data: Path) -> None:
    with lmdb.open(str(data / "chain"), max_dbs=64) as environment, environment.begin(write=True) as transaction:
        transaction.drop(environment.open_db(b"canonical", txn=transaction), delete=False)


def lost_block(data: Path) -> None:
    with lmdb.open(str(data / "chain"), max_dbs=64) as environment, environment.begin(write=True) as transaction:
        transaction.drop(environment.open_db(b"blocks", txn=transaction), delete=False)


REFUSED: dict[str, tuple[Callable[[Path], None], type[AlysError], str]] = {
    "target exists": (existing, ConfigError, "backup exists, and a backup does not overwrite it"),
    "target is a link": (dangling_link, ConfigError, "backup exists"),
    "interrupted": (interrupted, ConfigError, "was left by an interrupted backup: remove it"),
    "engine behind": (engine_behind, ConfigError, "the embedded engine does not have block 3 yet"),
    "no engine": (no_engine, ConfigError, "execution has no database"),
    "no database": (no_database, ConfigError, "chain has no database"),
    "damaged record": (damaged_record, Corrupt, "states"),
    "truncated": (truncated, Corrupt, "is truncated"),
    "no blocks": (no_blocks, Corrupt, "has no canonical block"),
    "lost block": (lost_block, Corrupt, "has no record .* in blocks"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_backed_up_leaves_nothing(data: Path, name: str) -> None:
    damage, error, words = REFUSED[name]
    damage(data)
    before = set(data.parent.iterdir())
    with pytest.raises(error, match=words):
        make(data)
    assert set(data.parent.iterdir()) == before


def test_a_target_that_makes_no_sense_is_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match="is in the data folder"):
        make(data, "data/backup")
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        make(data, "nowhere/backup")
    with pytest.raises(ConfigError, match="belongs to the chain with genesis"):
        make(data, genesis=OTHER)


def test_a_disk_without_room_is_said_before_anything_is_written(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", full_disk)
    with pytest.raises(ConfigError, match="bytes of free disk space, but the backup needs"):
        make(data)
    assert not (data.parent / "backup.incomplete").exists()


def test_a_disk_that_fails_leaves_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "replace_file", full)
    with pytest.raises(StoreError, match=r"the disk is full, .*\(ENOSPC\)"):
        make(data)
    assert {path.name for path in data.parent.iterdir()} == {"data"}


def restored(data: Path) -> Path:
    """The backup as the databases of the folder, whose guard stays."""
    make(data)
    for part in ("chain", "execution"):
        shutil.rmtree(data / part)
    shutil.copytree(data.parent / "backup", data, dirs_exist_ok=True)
    return data


def test_a_restored_backup_is_checked_once_and_opens(data: Path) -> None:
    folder = restored(data)
    found = use_backup(folder, GENESIS)
    assert found is not None
    assert found.head.height == 3
    assert use_backup(folder, GENESIS) is None, "the node changes the files from now on"
    opened = node_data(folder).open(NOW)
    assert opened.store.load_chain().states[-1].height == 3
    opened.store.close()


def test_a_backup_beside_a_newer_guard_is_refused_until_recover(data: Path) -> None:
    make(data)
    live(data, 4, 10)
    shutil.rmtree(data / "chain")
    shutil.copytree(data.parent / "backup" / "chain", data / "chain")
    with pytest.raises(DataMismatch, match="the database is older than the signing guard"):
        node_data(data).open(NOW)


def shortened(folder: Path) -> None:
    with (folder / "chain" / "data.mdb").open("r+b") as file:
        file.truncate(4096)


def flipped(folder: Path) -> None:
    with (folder / "execution" / "data.mdb").open("r+b") as file:
        file.write(b"\xff")


def forgotten(folder: Path) -> None:
    shutil.rmtree(folder / "execution")


@pytest.mark.parametrize("damage", [shortened, flipped, forgotten])
def test_an_incomplete_copy_of_a_backup_is_noticed(data: Path, damage: Callable[[Path], None]) -> None:
    folder = restored(data)
    damage(folder)
    for _ in range(2):
        with pytest.raises(Corrupt, match="differs from the file in the backup: .* restore the backup again"):
            use_backup(folder, GENESIS)


def changed(folder: Path, **values: object) -> None:
    path = folder / "backup.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_manifest_of_something_else_is_refused(data: Path) -> None:
    folder = restored(data)
    with pytest.raises(WrongChain, match="is of chain test"):
        use_backup(folder, OTHER)
    good = (folder / "backup.json").read_bytes()
    for damaged in (good[:-20], b"[]", b"{}", b"\xff"):
        (folder / "backup.json").write_bytes(damaged)
        with pytest.raises(Corrupt, match=r"backup.json is damaged"):
            use_backup(folder, GENESIS)
    (folder / "backup.json").write_bytes(good)
    changed(folder, files={"../data/chain/data.mdb": {"bytes": 1, "sha256": ""}})
    with pytest.raises(Corrupt, match="which is outside the backup"):
        use_backup(folder, GENESIS)
    changed(folder, format=2)
    with pytest.raises(ConfigError, match="has format 2, but this version of alysd reads format 1"):
        use_backup(folder, GENESIS)
    (folder / "backup.json").unlink()
    (folder / "backup.json").mkdir()
    with pytest.raises(ConfigError, match="the backup cannot be used: Is a directory"):
        use_backup(folder, GENESIS)
