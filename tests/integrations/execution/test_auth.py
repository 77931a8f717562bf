"""The token that an execution client asks for, and the file that it is made from."""

import os
from pathlib import Path

import httpx
import jwt
import pytest
from trio.testing import MockClock

from alysd.errors import ConfigError
from alysd.integrations.execution.auth import JwtAuth, read_jwt_secret
from alysd.testing.virtual_time import VirtualClock

SECRET = bytes(range(32))


def token_of(auth: JwtAuth) -> str:
    """The token that the next request would have."""
    request = next(auth.auth_flow(httpx.Request("POST", "http://127.0.0.1:8551")))
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    return token


async def test_token_is_signed_with_the_secret_and_fresh_for_each_request(autojump_clock: MockClock) -> None:
    """A client refuses a token that is a minute old: one made at start would end the chain a minute later."""
    clock = VirtualClock()
    auth = JwtAuth(SECRET, clock)
    for seconds in (0, 3600):
        clock.offset = seconds
        claims = jwt.decode(token_of(auth), SECRET, algorithms=["HS256"], options={"verify_iat": False})
        assert claims == {"iat": int(clock.time())}


async def test_another_secret_does_not_verify(autojump_clock: MockClock) -> None:
    """If it did, the signature would not depend on the secret."""
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token_of(JwtAuth(SECRET, VirtualClock())), bytes(32), algorithms=["HS256"])


@pytest.mark.parametrize("text", [SECRET.hex(), f"0x{SECRET.hex()}\n", f"  {SECRET.hex().upper()}  \n"])
def test_secret_is_read_as_clients_write_it(tmp_path: Path, text: str) -> None:
    """geth writes 0x and no newline, openssl the digits and a newline."""
    path = tmp_path / "jwt.hex"
    path.write_text(text)
    assert read_jwt_secret(path) == SECRET


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 characters are not a secret"),
        (SECRET.hex()[:-2].encode(), "62 characters are not a secret"),
        (b"ab " * 21 + b"a", "64 characters are not a secret"),
        (b"zz" * 32, "not hex"),
        (b"\xff" * 64, "not a text file"),
        (b"ab" * 10_000, "1024 characters are not a secret"),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(tmp_path: Path, content: bytes, words: str) -> None:
    """The message names the file and says how to make a secret; it goes into logs, the content must not."""
    path = tmp_path / "jwt.hex"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as refused:
        read_jwt_secret(path)
    assert str(path) in str(refused.value)
    assert "openssl rand -hex 32" in str(refused.value)
    assert not content or content.decode(errors="replace") not in str(refused.value)


def test_missing_secret_is_a_configuration_error(tmp_path: Path) -> None:
    """Without the name an operator would not know which of his files is meant."""
    with pytest.raises(ConfigError, match=r"jwt\.hex: No such file"):
        read_jwt_secret(tmp_path / "jwt.hex")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_secret_is_a_configuration_error(tmp_path: Path) -> None:
    """The usual mistake: the file belongs to the execution client's user."""
    path = tmp_path / "jwt.hex"
    path.write_text(SECRET.hex())
    path.chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        read_jwt_secret(path)
