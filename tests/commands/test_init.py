"""`alysd init`, and the files that it writes."""

import configparser
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.commands.init import regtest_cookie
from alysd.config.chain_spec import load_chain_spec
from alysd.config.shipped import PACKAGE, development_file, shipped_folder
from alysd.errors import ConfigError
from alysd.testing.config_files import load, problems_of
from alysd.validation import validate_node


def init(folder: Path, mode: str) -> int:
    """Run `alysd init FOLDER --MODE`."""
    return main(["init", str(folder), f"--{mode}"])


def test_a_development_node_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user of the wheel would have no chain to start with."""
    folder = tmp_path / "node"
    assert init(folder, "dev") == 0
    config = load(folder / "alysd.toml")
    valid = validate_node(config, load_chain_spec(config.chain.spec))
    assert valid.genesis.context.spec.name == "alys-dev"
    assert config.storage.path == folder / "data"
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    assert f"alysd run --config {folder}/alysd.toml" in capsys.readouterr().out


def test_a_development_chain_can_have_a_peg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / 'home "ü"'))
    assert main(["init", str(tmp_path / "node"), "--dev", "--peg"]) == 0
    said = capsys.readouterr().out
    assert "bitcoind -regtest" in said.split("alysd run")[0], "in this order"
    config = load(tmp_path / "node/alysd.toml")
    valid = validate_node(config, load_chain_spec(config.chain.spec))
    assert valid.genesis.context.peg is not None
    assert config.bitcoin.cookie_file == regtest_cookie()
    key = tmp_path / "node/dev-bitcoin.key"
    assert config.peg.key_file == key
    assert key.stat().st_mode & 0o777 == 0o600
    assert main(["init", str(tmp_path / "other"), "--follower", "--peg"]) == 2
    assert "--peg is for --dev" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "missing"), [("member", 3), ("follower", 2)])
def test_a_node_of_a_federation_lacks_only_what_its_operator_brings(
    mode: str, missing: int, tmp_path: Path
) -> None:
    """The operator would correct our mistakes before their own."""
    assert init(tmp_path, mode) == 0
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "alysd.toml")
    found = problems_of(caught.value)
    assert len(found) == missing
    assert all(text.endswith("there is no such file") and f'"{tmp_path}/' in text for text in found)


@pytest.mark.parametrize("mode", ["member", "follower"])
def test_the_unit_names_this_folder_and_these_programs(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd would start another program, or the right one with no configuration."""
    monkeypatch.setattr("sys.executable", "/home/alys/venv/bin/python3")
    assert init(tmp_path, mode) == 0
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.read(tmp_path / "alysd.service")
    assert unit["Service"]["ExecStart"].endswith(f"alysd run --config {tmp_path}/alysd.toml")
    text = (tmp_path / "alysd.service").read_text()
    assert "Environment=PATH=/home/alys/venv/bin:" in text
    assert "/etc/alysd" not in text
    assert "/opt/alysd" not in text
    assert (tmp_path / "keys").is_dir() == (mode == "member")


def test_nothing_is_overwritten_and_nothing_half_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator would lose an edited configuration."""
    (tmp_path / "alysd.service").write_text("mine")
    assert init(tmp_path, "member") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["alysd.service"]
    assert (tmp_path / "alysd.service").read_text() == "mine"
    assert f"{tmp_path}/alysd.service: the file exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["two words", 'quo"te', "per%cent", "new\nline", "colon:here", "dollar$", "\x7f"])
def test_a_path_that_needs_quotes_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The unit and the configuration would name another file."""
    assert init(tmp_path / name, "member") == 2
    assert not list(tmp_path.iterdir())
    assert "which would need quotes" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake must not end in a stack trace."""
    (tmp_path / "file").write_text("")
    assert init(tmp_path / "file", "follower") == 2
    assert capsys.readouterr().err == f"alysd: {tmp_path}/file is a file: name a folder\n"
    assert init(tmp_path / "file" / "node", "follower") == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_a_mode_is_required(tmp_path: Path) -> None:
    """A member would get a development chain, or the reverse."""
    with pytest.raises(SystemExit) as caught:
        main(["init", str(tmp_path)])
    assert caught.value.code == 2


def test_the_files_are_found_in_a_wheel_and_in_a_checkout(tmp_path: Path) -> None:
    """`alysd run --dev` would work in one of them only."""
    package = tmp_path / "alysd"
    package.mkdir()
    assert shipped_folder(package) == tmp_path / "conf"
    (package / "conf").mkdir()
    assert shipped_folder(package) == package / "conf"
    assert development_file().is_file()
    assert development_file().is_relative_to(PACKAGE.parent)
