"""`alysd genesis`."""

from pathlib import Path

import pytest

from alysd.cli import main
from alysd.testing.config_files import CONF

SHORT = CONF / "chains" / "short" / "dev.toml"


def test_both_files_are_those_in_the_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain that is shipped could not be made again."""
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path / "new")]) == 0
    for name in ("dev.toml", "dev.genesis.json"):
        assert (tmp_path / "new" / name).read_bytes() == (CONF / "chains" / name).read_bytes()
    assert capsys.readouterr().out.splitlines()[-1].startswith("genesis d7e68ab9")


def test_a_chain_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A living chain would get another beginning."""
    (tmp_path / "dev.genesis.json").write_text("{}")
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path)]) == 2
    assert (tmp_path / "dev.genesis.json").read_text() == "{}"
    assert "the file exists" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake must not end in a stack trace."""
    (tmp_path / "file").write_text("")
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"alysd: {tmp_path}/file/dev.genesis.json: ")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("chain_id = 121212", "chain_id = 121213", "federation_bitcoin_proofs[0] of the chain alys-dev"),
        ("0xa4c25b3a", "0xa4c25b3b", "authority_proofs[0] of the chain alys-dev"),
        ('"1000 BTC"', '"21000001 BTC"', "more than the 21,000,000 BTC that can exist"),
    ],
)
def test_a_chain_that_no_node_would_load_is_not_written(
    old: str, new: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The members would learn of it one by one, with the files in their hands."""
    text = SHORT.read_text()
    assert old in text
    description = tmp_path / "short.toml"
    description.write_text(text.replace(old, new, 1))
    assert main(["genesis", "--input", str(description), "--output", str(tmp_path / "new")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
