"""Key files: they are private, are never overwritten, and name their kind."""

import os
import stat
from pathlib import Path

import pytest

from alysd.config.key_file import KeyFile, exposed, read_key_file
from alysd.errors import ConfigError

SECRET = bytes(range(32))


def key(path: Path, text: str, mode: int = 0o600) -> Path:
    """A file with this text and mode."""
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o460, 0o602, 0o610])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A leaked key would go unnoticed; published ones come out of a clone with any mode."""
    path = key(tmp_path / "k", SECRET.hex(), mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        read_key_file(path)
    assert read_key_file(path, known_to_all=True).secret == SECRET


@pytest.mark.parametrize(
    ("mode", "owner", "refused"),
    [
        (0o600, 1000, False),
        (0o400, 1000, False),
        (0o440, 0, False),  # a secret in Kubernetes, with fsGroup
        (0o440, 1000, True),
        (0o640, 1000, True),
        (0o444, 0, True),
        (0o460, 0, True),
    ],
)
def test_a_group_may_read_a_key_of_root(mode: int, owner: int, refused: bool) -> None:
    """Only root can give a file to root: whom it lets read it, it has chosen."""
    assert exposed(os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))) is refused


@pytest.mark.parametrize(
    "text", ["0x" + SECRET.hex(), SECRET.hex().upper() + "\n\n", f"# mine\n\n  {SECRET.hex()}  \n"]
)
def test_bare_hex_is_a_key_of_unknown_kind(tmp_path: Path, text: str) -> None:
    """Keys from other tools could not be used."""
    assert read_key_file(key(tmp_path / "k", text), kind="bls") == KeyFile(None, SECRET)


@pytest.mark.parametrize(
    "text", ["", "# alysd bls key\n", "ab", SECRET.hex() * 2, f"{SECRET.hex()}\n{SECRET.hex()}", "é" * 64]
)
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    """Otherwise half a key would be used, or a secret would be printed."""
    with pytest.raises(ConfigError, match="must have one line with 32 bytes in hex") as caught:
        read_key_file(key(tmp_path / "k", text))
    assert SECRET.hex() not in str(caught.value)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    """The share of the BTC would sign blocks, where its signatures are public."""
    path = key(tmp_path / "k", f"# alysd bitcoin key\n{SECRET.hex()}\n")
    with pytest.raises(
        ConfigError, match="this is a key of the kind bitcoin, but a key of the kind bls is required"
    ):
        read_key_file(path, kind="bls")


def test_the_secret_is_not_in_its_repr() -> None:
    """A log line or a traceback would give it away."""
    assert SECRET.hex() not in repr(KeyFile("bls", SECRET))
    assert repr(SECRET) not in repr(KeyFile("bls", SECRET))
