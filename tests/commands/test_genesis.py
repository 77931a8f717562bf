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
    """A stack trace for a typing mistake."""
    (tmp_path / "file").write_text("")
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"alysd: {tmp_path}/file/dev.genesis.json: ")
