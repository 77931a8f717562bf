"""The configuration of a signer in a process of its own."""

from pathlib import Path

import pytest

from alysd.config.addresses import SignerAddress
from alysd.config.problems import InvalidConfig
from alysd.config.signer_file import read_signer_config

FILES = ("chain.toml", "bitcoin.key", "a.pem", "a.key", "b.pem")
NEEDED = 'chain = "chain.toml"\nkey_file = "bitcoin.key"\nrecord = "record"\nfollowed = "followed"\n'
TLS = 'certificate = "a.pem"\nkey = "a.key"\nauthority = "b.pem"\n'


def written(folder: Path, text: str) -> Path:
    for name in FILES:
        (folder / name).write_text("x")
    path = folder / "signer.toml"
    path.write_text(text)
    return path


def test_paths_are_beside_the_file(tmp_path: Path) -> None:
    config = read_signer_config(written(tmp_path, NEEDED + TLS + 'listen = "tls://[::1]:3010"\n'))
    assert (config.record, config.authority) == (tmp_path / "record", tmp_path / "b.pem")
    assert config.listen == SignerAddress(None, "::1", 3010)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NEEDED, "listen is missing"),
        (NEEDED + 'listen = "10.0.0.1:5"\n', "unix"),
        (NEEDED + 'listen = "tls://h:5"\n', "certificate is missing: a TLS address needs it"),
        (NEEDED + TLS + 'listen = "unix:/s"\n', "certificate is only for a TLS address"),
        (NEEDED + 'listen = "unix:/s"\nhourly_limit = 5\n', "hourly_limit is not a known key"),
        (NEEDED + 'listen = "unix:/s"\nhourly_limit_sat = 0\n', "must be a whole number from 1"),
    ],
)
def test_a_mistake_is_named(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as raised:
        read_signer_config(written(tmp_path, text))
    assert words in raised.value.problems[0]
