"""`alysd db`: what it prints, and that a running node is left alone."""

import json
import shutil
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.config.chain_spec import load_chain_spec
from alysd.integrations.data_folder import DataFolder
from alysd.testing.config_files import CONF, load
from alysd.types.units import Slot
from alysd.validation import data_of, validate_node


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a node that has run."""
    folder = tmp_path / "data"
    config = load(CONF / "dev.toml", f"storage.path={folder}")
    folder.mkdir()
    data_of(validate_node(config, load_chain_spec(config.chain.spec))).open(Slot(1)).store.close()
    return folder


def db(data: Path, *words: str) -> int:
    return main(["db", *words, "--config", str(CONF / "dev.toml"), "--set", f"storage.path={data}"])


def test_the_space_is_shown_while_the_node_runs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DataFolder.open(data):
        assert db(data, "stat") == 0
        plain = capsys.readouterr().out
        assert db(data, "stat", "--json") == 0
        found = json.loads(capsys.readouterr().out)
    assert plain.startswith("chain: 0.")
    assert " are free\n" in plain
    assert "  blocks                   1 entries        0.0 MB\n" in plain
    assert set(found) == {"chain"}
    assert found["chain"]["tables"]["blocks"]["entries"] == 1
    assert found["chain"]["file_bytes"] == (data / "chain" / "data.mdb").stat().st_size
    assert found["chain"]["free_bytes"] >= 0


def test_the_database_of_a_stopped_node_is_compacted(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert db(data, "compact") == 0
    assert capsys.readouterr().out.startswith(f"{data / 'chain'}: 0.")
    assert db(data, "stat") == 0


def test_the_database_of_a_running_node_is_not_compacted(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inode = (data / "chain" / "data.mdb").stat().st_ino
    with DataFolder.open(data):
        assert db(data, "compact") == 2
    assert "is in use by process" in capsys.readouterr().err
    assert (data / "chain" / "data.mdb").stat().st_ino == inode


@pytest.mark.parametrize(
    ("folder", "words", "other"),
    [
        ("chain", "restore the folder `chain`", "remove the folder"),
        ("execution", "remove the folder `execution`", "restore"),
    ],
)
@pytest.mark.parametrize("action", ["stat", "compact"])
def test_a_damaged_database_is_named_with_what_helps_for_it(
    data: Path, capsys: pytest.CaptureFixture[str], action: str, folder: str, words: str, other: str
) -> None:
    """A damaged `execution` was answered with the advice to restore `chain`, which was whole."""
    shutil.copytree(data / "chain", data / "execution")
    with (data / folder / "data.mdb").open("r+b") as file:
        file.truncate(8192)
    assert db(data, action) == 2
    said = capsys.readouterr().err
    assert f"{folder}/data.mdb is truncated" in said
    assert words in said
    assert other not in said


@pytest.mark.parametrize("action", ["stat", "compact"])
def test_a_folder_without_database_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    assert db(tmp_path / "nothing", action) == 2
    assert "nothing has no database: name the configuration of a node that has run" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
