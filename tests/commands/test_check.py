"""`alysd check`."""

import tomllib
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.testing.config_files import CONF, folder_with


def test_a_right_configuration_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Silence could mean anything."""
    assert main(["check", "--config", str(CONF / "dev.toml")]) == 0
    assert capsys.readouterr().out == (
        "the configuration is right: chain alys-dev, chain id 121212, 1 authority, engine embedded\n"
    )


def test_show_prints_the_merged_result(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator could not see what their layers come to."""
    assert main(["check", "--config", str(CONF / "dev.toml"), "--set", "logging.level=debug", "--show"]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    assert shown["logging"]["level"] == "debug"
    assert shown["chain"]["spec"] == str(CONF / "chains" / "dev.toml")


def test_what_is_wrong_is_said_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A deployment would go on with it."""
    path = folder_with(tmp_path, "[chain]\nspec = 'none.toml'\n")
    assert main(["check", "--config", str(path)]) == 2
    assert capsys.readouterr().err == (f'alysd: {path}:2: chain.spec = "none.toml": there is no such file\n')


def test_a_configuration_without_authority_key_is_a_followers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator would take a node that forgot its key for an authority."""
    path = tmp_path / "follower.toml"
    path.write_text(f"[chain]\nspec = '{CONF}/chains/dev.toml'\n")
    assert main(["check", "--config", str(path)]) == 0
    assert "1 authority, follower, engine embedded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("secret", "mode", "words"),
    [
        ("11" * 32, 0o600, "not the key of an authority of the chain alys-dev"),
        ("00" * 32, 0o600, "not a BLS key"),
        ("11" * 32, 0o644, "a secret key that others may read"),
        ("nonsense", 0o600, "not a key file"),
    ],
)
def test_the_authoritys_key_is_looked_at(
    secret: str, mode: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mistake would show only when the service starts."""
    key = tmp_path / "k"
    key.write_text(secret)
    key.chmod(mode)
    options = [f"chain.authority_key_file={key}", "development.keys_known_to_all=false"]
    sets = [word for option in options for word in ("--set", option)]
    assert main(["check", "--config", str(CONF / "dev.toml"), *sets]) == 2
    assert words in capsys.readouterr().err


def test_the_shared_secret_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The execution client would refuse every call."""
    (tmp_path / "jwt").write_text("short")
    secret = f"engine.jwt_secret_file={tmp_path / 'jwt'}"
    assert main(["check", "--config", str(CONF / "regtest.toml"), "--set", secret]) == 2
    assert "JWT secret" in capsys.readouterr().err
    assert main(["check", "--config", str(CONF / "regtest.toml")]) == 0


def test_the_genesis_is_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A genesis that no client can load would show only at the start."""
    for name in ("dev.toml", "dev.genesis.json"):
        text = (CONF / "chains" / name).read_text()
        (tmp_path / name).write_text(text.replace('"0x1c9c380"', '"much"'))
    spec = f"chain.spec={tmp_path / 'dev.toml'}"
    assert main(["check", "--config", str(CONF / "dev.toml"), "--set", spec]) == 2
    assert "gasLimit" in capsys.readouterr().err
