"""Secrets under a passphrase: what is written can be read with it only, and a file cannot exhaust the memory."""

import pytest

from alysd.config.encrypted_secret import (
    LOG_COST,
    MAX_LOG_COST,
    WrongPassphrase,
    decrypt_secret,
    encrypt_secret,
    is_encrypted,
)

SECRET = bytes(range(32))
LINE = encrypt_secret(SECRET, "a pässphrase", log_cost=4)


def test_the_passphrase_gives_the_secret_back() -> None:
    assert is_encrypted(LINE)
    assert SECRET.hex() not in LINE
    assert decrypt_secret(LINE, "a pässphrase") == SECRET
    assert encrypt_secret(SECRET, "a pässphrase", log_cost=4) != LINE, "salt and nonce are new each time"


def test_a_new_file_has_the_cost_that_is_advised() -> None:
    """A thief of the file would otherwise try many passphrases per second."""
    assert LOG_COST == 17


@pytest.mark.parametrize("passphrase", ["", "a pässphrase ", "A pässphrase"])
def test_another_passphrase_is_refused(passphrase: str) -> None:
    with pytest.raises(WrongPassphrase, match="the passphrase is wrong"):
        decrypt_secret(LINE, passphrase)


@pytest.mark.parametrize("place", [25, 60, 90, 120, -1])
def test_damage_is_noticed(place: int) -> None:
    """A damaged secret would be the key of nobody."""
    changed = "1" if LINE[place] == "0" else "0"
    damaged = LINE[:place] + changed + (LINE[place + 1 :] if place != -1 else "")
    with pytest.raises(WrongPassphrase):
        decrypt_secret(damaged, "a pässphrase")


@pytest.mark.parametrize("cost", [MAX_LOG_COST + 1, 99])
def test_a_cost_that_would_exhaust_the_memory_is_no_key(cost: int) -> None:
    assert not is_encrypted(LINE.replace(" 4 8", f" {cost} 8"))


@pytest.mark.parametrize("line", ["", SECRET.hex(), "encrypted scrypt", LINE + "0", LINE[:-1], LINE.upper()])
def test_other_lines_are_not_encrypted(line: str) -> None:
    assert not is_encrypted(line)
    with pytest.raises(WrongPassphrase):
        decrypt_secret(line, "a pässphrase")
