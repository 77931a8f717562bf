"""Credentials of systemd: a name stands for a file in the folder that only the service has."""

import shutil
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.config.load import check_credentials, load_layers
from alysd.config.problems import InvalidConfig
from alysd.config.signer_file import read_signer_config
from alysd.testing.config_files import CONF, load

LINE = 'authority_key_file = "dev-authority.key"'
NAMED = 'authority_key_file = "credential:authority.key"'


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """The development chain, whose key is a credential."""
    folder = shutil.copytree(CONF, tmp_path / "conf")
    text = (folder / "dev.toml").read_text()
    assert text.count(LINE) == text.count("keys_known_to_all = true") == 1
    text = text.replace(LINE, NAMED).replace("keys_known_to_all = true", "keys_known_to_all = false")
    text = text.replace("accounts = true", "accounts = false")
    (folder / "dev.toml").write_text(f"{text}\n")
    return folder / "dev.toml"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """The folder as systemd makes it, with the key."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    shutil.copy(CONF / "dev-authority.key", folder / "authority.key")
    (folder / "authority.key").chmod(0o400)
    return folder


def checked(configuration: Path, *more: str) -> int:
    """The exit status of `alysd check`."""
    return main(["check", "--config", str(configuration), *more])


def test_a_node_gets_its_key_from_the_folder(
    configuration: Path, credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option would name a file of the configuration's folder, and the secret would have to be there."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("ALYS_STORAGE__PATH", str(configuration.parent / "data"))
    assert checked(configuration) == 0
    assert checked(configuration, "--show") == 0
    assert main(["config", "show", "--config", str(configuration)]) == 0
    shown = capsys.readouterr().out
    secret = (CONF / "dev-authority.key").read_text().splitlines()[-1]
    assert str(credentials / "authority.key") in shown
    assert secret.removeprefix("0x") not in shown


def test_the_mode_of_a_credential_is_checked_as_that_of_a_key_file(
    configuration: Path, credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is none of systemd's could be readable by all."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    (credentials / "authority.key").chmod(0o444)
    assert checked(configuration) == 2
    assert "accessible to other users" in capsys.readouterr().err


def test_a_credential_that_the_service_lacks_is_named(configuration: Path, tmp_path: Path) -> None:
    """The operator would look for a file, and not into the unit."""
    with pytest.raises(InvalidConfig) as caught:
        load(configuration, environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (found,) = caught.value.problems
    assert 'chain.authority_key_file = "credential:authority.key": the service has no such credential' in found
    assert "LoadCredential=authority.key:FILE" in found


def test_a_command_that_needs_no_key_works_outside_of_the_service(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator could not ask the running node for its status, or to reload."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert main(["config", "show", "--config", str(configuration)]) == 0
    assert 'chain.authority_key_file = "credential:authority.key"' in capsys.readouterr().out
    assert main(["config", "history", "--config", str(configuration)]) == 0
    assert checked(configuration) == 2
    said = capsys.readouterr().err
    assert f"{configuration}:" in said
    assert "$CREDENTIALS_DIRECTORY is not set" in said


@pytest.mark.parametrize("folder", ["", "relative/folder"])
def test_a_folder_that_systemd_would_not_name_does_not_count(configuration: Path, folder: str) -> None:
    """A file of the working directory would be taken for a secret."""
    loaded = load_layers(configuration, environment={"CREDENTIALS_DIRECTORY": folder})
    with pytest.raises(InvalidConfig, match="is not set"):
        check_credentials(loaded)


@pytest.mark.parametrize("name", ["", ".", "..", "../authority.key", "a/b", "a b", "ü", "x" * 256, "~root", "a:b"])
def test_a_name_leads_to_no_other_folder(configuration: Path, credentials: Path, name: str) -> None:
    for folder in ("", str(credentials)):
        with pytest.raises(InvalidConfig, match='must be "credential:NAME"'):
            load(
                configuration,
                f"chain.authority_key_file=credential:{name}",
                environment={"CREDENTIALS_DIRECTORY": folder},
            )


def test_a_variable_and_a_password_can_name_a_credential(configuration: Path, credentials: Path) -> None:
    """`bitcoin.cookie_file` may appear later than the node; a credential may not."""
    (credentials / "rpc").write_text("user:password")
    environment = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "ALYS_BITCOIN__URL": "http://127.0.0.1:1",
        "ALYS_BITCOIN__COOKIE_FILE": "credential:rpc",
    }
    assert load(configuration, environment=environment).bitcoin.cookie_file == credentials / "rpc"
    (credentials / "rpc").unlink()
    with pytest.raises(InvalidConfig, match="no such credential"):
        load(configuration, environment=environment)


def test_an_option_that_names_no_file_is_no_credential(configuration: Path) -> None:
    """The text would be resolved where no secret belongs."""
    config = load(configuration, "storage.path=credential:data")
    assert config.storage.path == Path("credential:data")


def test_a_signer_reads_credentials_and_writes_none(tmp_path: Path, credentials: Path) -> None:
    """The record of signed payments would be gone with the service, and the signer would sign twice."""
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    (tmp_path / "chain.toml").write_text("")
    path = tmp_path / "signer.toml"
    lines = 'chain = "chain.toml"\nkey_file = "credential:authority.key"\nfollowed = "f"\nlisten = "unix:/s"\n'
    path.write_text(f'{lines}record = "r"\n')
    assert read_signer_config(path, environment).key_file == credentials / "authority.key"
    with pytest.raises(InvalidConfig, match="key_file = .*is not set"):
        read_signer_config(path)
    path.write_text(f'{lines}record = "credential:record"\n')
    with pytest.raises(InvalidConfig, match="cannot write a credential"):
        read_signer_config(path, environment)
