"""The authentication of the node to an execution client: a JWT signed with a shared secret.

The Engine API requires HS256 and the time of issue, which may differ by at most 60 seconds from the client's clock
(execution-apis, "Authentication").
"""

from collections.abc import Generator
from pathlib import Path

import httpx
import jwt

from alysd.config.regular_file import reading_regular
from alysd.errors import ConfigError
from alysd.ports import Clock

SECRET_BYTES = 32
"""The length of the shared secret in bytes (execution-apis, "Authentication")."""

_MOST_CHARACTERS = 1024
"""The maximum number of characters read from the secret's file. It should have 64 or 66, and white space."""


class JwtAuth(httpx.Auth):
    """Makes a new token for each request, in 20 µs, so that no token is too old."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token to a request."""
        token = jwt.encode({"iat": int(self._clock.time())}, self._secret, algorithm="HS256")
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


def read_jwt_secret(path: Path) -> bytes:
    """Read the secret that node and client share: 64 hex digits, with or without 0x.

    Raises `ConfigError`, whose text never contains the content of the file.
    """
    try:
        with reading_regular(path) as file:
            text = file.read(_MOST_CHARACTERS).decode("ascii")
    except OSError as error:
        raise ConfigError(f"JWT secret {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"JWT secret {path}: not a text file; {_WANTED}") from error
    digits = text.strip().removeprefix("0x")
    if len(digits) != 2 * SECRET_BYTES or not digits.isalnum():
        raise ConfigError(f"JWT secret {path}: {len(digits)} characters are not a secret; {_WANTED}")
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise ConfigError(f"JWT secret {path}: not hex; {_WANTED}") from error


_WANTED = f"expected {2 * SECRET_BYTES} hex digits, as `openssl rand -hex {SECRET_BYTES}` makes them"
