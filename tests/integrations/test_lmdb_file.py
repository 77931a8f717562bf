"""A database file that was cut short is named with its sizes, before a read of it could kill the process."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from alysd.errors import Corrupt
from alysd.integrations.lmdb_file import check_file
from alysd.integrations.lmdb_store import LmdbStore
from alysd.types.chain import ExecutedBlock
from alysd.types.units import Height
from tests.integrations.stored_blocks import HAND, child, placement

BLOCKS = 200
PAGE = 4096


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The file of a database of some blocks."""
    with closing(LmdbStore.open(tmp_path, HAND.genesis, HAND.genesis_state)) as store:
        state = HAND.genesis_state
        for slot in range(1, BLOCKS + 1):
            signed, state = child(state, slot)
            store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
    return tmp_path / "data.mdb"


def read_all(folder: Path) -> list[int]:
    """The heights of all canonical blocks."""
    with closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store:
        store.load_chain()
        return [block.block.height for block in store.canonical_range(Height(0), 10_000)]


def test_a_whole_file_passes(data: Path) -> None:
    size = data.stat().st_size
    assert check_file(data.parent)
    assert data.stat().st_size == size
    assert read_all(data.parent) == list(range(BLOCKS + 1))


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_file_is_named_with_its_sizes_and_what_helps(data: Path, part: float) -> None:
    """The process ended with SIGBUS and without a message."""
    size = data.stat().st_size
    left = int(size * part)
    with data.open("r+b") as file:
        file.truncate(left)
    with pytest.raises(Corrupt, match=f"data.mdb is truncated: it has {left} bytes and needs {size}: .*backup"):
        read_all(data.parent)
    assert data.stat().st_size == left, "the file is left as it was found"


@pytest.mark.parametrize("pages", range(1, 9))
def test_a_file_that_lacks_a_few_pages_is_read_whole_or_called_damaged(data: Path, pages: int) -> None:
    """LMDB itself leaves a page or two unwritten; a lost one must not kill the process."""
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size - pages * PAGE)
    try:
        heights = read_all(data.parent)
    except Corrupt as error:
        assert "damaged" in str(error)  # noqa: PT017
    else:
        assert heights == list(range(BLOCKS + 1))


def test_pages_that_lmdb_never_wrote_are_no_damage(tmp_path: Path) -> None:
    """A node would wait for a person although nothing is lost."""
    short = 0
    with lmdb.open(str(tmp_path), sync=False) as environment:
        for turn in range(400):
            keys = [b"%d %d" % (turn, number) for number in range(10 + 37 * turn % 150)]
            with environment.begin(write=True) as txn:
                for key in keys:
                    txn.put(key, bytes(200))
                for key in keys[turn % 7 :]:
                    txn.delete(key)
            short += (environment.info()["last_pgno"] + 1) * PAGE > (tmp_path / "data.mdb").stat().st_size
            assert check_file(tmp_path)
    assert short, "the test makes such files"


def no_folder(data: Path) -> None:
    data.unlink()
    data.mkdir()


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a folder": no_folder,
    "text": lambda data: data.write_bytes(b"x" * 10_000),
    "one meta page": lambda data: data.write_bytes(data.read_bytes()[:PAGE]),
    "a page of zeros": lambda data: data.write_bytes(bytes(PAGE) + data.read_bytes()[PAGE:]),
    "a wrong second meta page": lambda data: data.write_bytes(data.read_bytes()[:PAGE] + bytes(PAGE * 20)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_database_is_said_so(data: Path, name: str) -> None:
    FOREIGN[name](data)
    with pytest.raises(Corrupt, match=r"data.mdb.* (is not a file|is not an LMDB database).*backup"):
        check_file(data.parent)


def test_no_file_and_an_empty_one_hold_nothing(tmp_path: Path) -> None:
    assert not check_file(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"")
    assert not check_file(tmp_path)
