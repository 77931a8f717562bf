"""The engine's database: data is kept, the map grows beside readers, a failing disk damages nothing."""

import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from alysd.embedded.engine.chain_store import CanonicalChange, ChainStore
from alysd.errors import ConfigError, Corrupt, StoreError
from alysd.wire.keccak import keccak256
from tests.embedded.engine.kit import stored_block


def canonical(head: bytes, **changes: object) -> CanonicalChange:
    nothing: dict[str, object] = dict.fromkeys(
        ("removed_numbers", "added", "removed_transactions", "added_transactions"), ()
    )
    return CanonicalChange(head=head, safe=head, finalized=head, floor=0, **{**nothing, **changes})  # type: ignore[arg-type]


def test_blocks_nodes_and_codes_read_back_after_reopening(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path)
    first, second = stored_block(0), stored_block(1)
    store.write_genesis(first)
    store.write_block(second)
    store.close()
    store = ChainStore.open(tmp_path)
    assert store.meta("genesis") == store.meta("final") == first.hash
    assert store.hash_at(0) == first.hash
    for one in (first, second):
        assert store.get("headers", one.hash) == one.header
        assert [store.node(digest) for digest in one.nodes] == list(one.nodes.values())
    assert store.code(keccak256(b"code")) == b"code"
    store.close()


def test_what_is_missing_is_none_or_corruption(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path)
    assert store.get("headers", b"\1" * 32) is None
    assert (store.hash_at(5), store.hash_at(-1), store.hash_at(2**64)) == (None, None, None)
    with pytest.raises(Corrupt, match="trie node 0101[0-9a-f]* is missing"):
        store.node(b"\1" * 32)
    with pytest.raises(Corrupt, match="code 0101[0-9a-f]* is missing"):
        store.code(b"\1" * 32)
    store.close()


def test_a_forkchoice_removes_and_adds_in_one_go(tmp_path: Path) -> None:
    """A transaction on both branches must be found on the new one: removals come first."""
    store = ChainStore.open(tmp_path)
    place, other = b"\2" * 36, b"\3" * 36
    moved, gone = b"\4" * 32, b"\5" * 32
    store.write_canonical(
        canonical(
            b"\6" * 32, added=[(1, b"a" * 32), (2, b"b" * 32)], added_transactions=[(moved, place), (gone, place)]
        )
    )
    store.write_canonical(
        canonical(
            b"\7" * 32,
            removed_numbers=[2, 1],
            added=[(1, b"c" * 32)],
            removed_transactions=[moved, gone],
            added_transactions=[(moved, other)],
        )
    )
    assert (store.hash_at(1), store.hash_at(2)) == (b"c" * 32, None)
    assert (store.get("transactions", moved), store.get("transactions", gone)) == (other, None)
    assert store.meta("head") == b"\7" * 32
    store.close()


def test_the_map_grows_while_others_read(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, first_map_bytes=256 * 1024)
    first = stored_block(0)
    store.write_genesis(first)
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not stop.is_set():
            if store.get("headers", first.hash) != first.header:
                wrong.append("lost")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 30):
        store.write_block(stored_block(number, nodes=200, size=500))
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert all(store.get("headers", stored_block(number).hash) for number in range(30))
    store.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from alysd.errors import StoreError
from alysd.embedded.engine.chain_store import ChainStore
from tests.embedded.engine.kit import stored_block
store = ChainStore.open(Path(sys.argv[1]))
store.write_genesis(stored_block(0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = Path(sys.argv[1], "data.mdb").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, size + 200_000))
written = 1
try:
    while True:
        store.write_block(stored_block(written, nodes=50, size=500))
        written += 1
except StoreError as error:
    print(written, error)
"""


def test_a_disk_that_takes_no_more_is_said_and_damages_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the same call of the system fails."""
    folder = tmp_path / "execution"
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, check=True
    )
    written, _, words = ran.stdout.partition(" ")
    assert words.startswith(
        f"the execution database in {folder} cannot be used: the disk is full, or the file may not grow (E"
    )
    assert "mdb_" not in words
    assert int(written) > 1
    store = ChainStore.open(folder)
    for number in range(int(written)):
        stored = stored_block(number, nodes=50 if number else 1, size=500 if number else 100)
        assert store.get("headers", stored.hash) == stored.header
        assert [store.node(digest) for digest in stored.nodes] == list(stored.nodes.values())
    assert store.get("headers", stored_block(int(written)).hash) is None
    store.write_block(stored_block(int(written)))
    store.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="the execution database in .*file/execution cannot be accessed: "):
        ChainStore.open(tmp_path / "file" / "execution")


def test_a_database_of_another_format_is_refused(tmp_path: Path) -> None:
    environment = lmdb.open(str(tmp_path), max_dbs=8)
    with environment.begin(write=True) as transaction:
        transaction.put(b"format", b"99", db=environment.open_db(b"meta", txn=transaction))
    environment.close()
    with pytest.raises(ConfigError, match="has format b'99'.*remove the folder `execution`"):
        ChainStore.open(tmp_path)


def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "execution"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(Corrupt, match="execution/data.mdb.* is not an LMDB database .*remove the folder"):
        ChainStore.open(folder)


OPEN = """
import sys
from pathlib import Path
from alysd.errors import Corrupt
from alysd.embedded.engine.chain_store import ChainStore
from tests.embedded.engine.kit import stored_block
try:
    store = ChainStore.open(Path(sys.argv[1]))
    for number in range(50):
        for digest in stored_block(number, nodes=50).nodes:
            store.node(digest)
except Corrupt as error:
    print(error)
"""


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_named_with_what_helps(tmp_path: Path, part: float) -> None:
    """The process ended with SIGBUS and without a message."""
    folder = tmp_path / "execution"
    store = ChainStore.open(folder)
    for number in range(50):
        store.write_block(stored_block(number, nodes=50))
    store.close()
    size = (folder / "data.mdb").stat().st_size
    with (folder / "data.mdb").open("r+b") as file:
        file.truncate(int(size * part))
    ran = subprocess.run([sys.executable, "-c", OPEN, str(folder)], capture_output=True, text=True, check=True)
    assert f"data.mdb is truncated: it has {int(size * part)} bytes and needs {size}: " in ran.stdout
    assert "remove the folder `execution`" in ran.stdout
    assert "backup" not in ran.stdout


def test_the_rest_of_a_killed_compaction_is_removed(tmp_path: Path) -> None:
    ChainStore.open(tmp_path).close()
    (tmp_path / "data.mdb.new").write_bytes(b"half of a copy")
    ChainStore.open(tmp_path).close()
    assert not (tmp_path / "data.mdb.new").exists()


def test_after_closing_every_read_is_a_store_error(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path)
    store.close()
    with pytest.raises(StoreError):
        store.get("headers", b"\1" * 32)


KILLED_READER = """
import os, signal, sys
import lmdb
environment = lmdb.open(sys.argv[1], max_dbs=16, readonly=True)
transaction = environment.begin()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_backup_does_not_let_the_database_grow_for_good(tmp_path: Path) -> None:
    """The snapshot of a killed backup must not keep all later versions of every page."""
    store = ChainStore.open(tmp_path, first_map_bytes=2**20)
    store.write_genesis(stored_block(0))
    killed = subprocess.run([sys.executable, "-c", KILLED_READER, str(tmp_path)], check=False)
    assert killed.returncode == -9
    for number in range(1000):
        store.write_canonical(canonical(stored_block(number % 2).hash))
    store.close()
    assert (tmp_path / "data.mdb").stat().st_size < 2 * 2**20, "1000 versions of two pages would have 8 MB"
