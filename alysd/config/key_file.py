"""Key files: one secret of 32 bytes in hex, with a comment that says what it is for.

    # alysd bls key
    # public 0x8f31…
    3b2c…

A file with a secret must be its owner's alone (mode 0600); `known_to_all` lifts that for the development keys,
which are published and come out of a clone with any mode.
"""

import os
import re
import stat
from pathlib import Path
from typing import Literal

import attrs

from alysd.config.toml_file import read_bounded
from alysd.errors import ConfigError

KeyKind = Literal["bls", "bitcoin", "network"]
"""bls: an authority's approvals. bitcoin: a federation member's share. network: a node's name among peers."""

_HEADER = re.compile(r"# alysd (bls|bitcoin|network) key\b")
_SECRET = re.compile(r"(0x)?[0-9a-fA-F]{64}")


@attrs.frozen
class KeyFile:
    """The content of a key file; `kind` is None where the file names none. The secret is not in the repr."""

    kind: KeyKind | None
    secret: bytes = attrs.field(repr=False)


def read_key_file(path: Path, *, kind: KeyKind | None = None, known_to_all: bool = False) -> KeyFile:
    """Read a key, of `kind` if given; raises `ConfigError` saying what is wrong and what to do."""
    text = read_bounded(path, what="a key file").decode("ascii", errors="replace")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077 and not known_to_all:
        raise ConfigError(
            f"{path}: a secret key that others may read (mode {mode:04o})\nmake it yours alone: chmod 600 {path}"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    secrets = [line for line in lines if not line.startswith("#")]
    if len(secrets) != 1 or not _SECRET.fullmatch(secrets[0]):
        raise ConfigError(f"{path}: not a key file: one line of 32 bytes in hex is needed\nsee `alysd keys new`")
    header = _HEADER.match(lines[0])
    found: KeyKind | None = None
    if header:
        found = header[1]  # pyright: ignore[reportAssignmentType]  the pattern has the three kinds
    if kind and found and found != kind:
        raise ConfigError(f"{path}: a {found} key, but a {kind} key is needed")
    return KeyFile(found, bytes.fromhex(secrets[0].removeprefix("0x")))


def write_key_file(path: Path, kind: KeyKind, secret: bytes, public: str) -> None:
    """Write a new key file with mode 0600, synced; raises `ConfigError` rather than overwrite anything."""
    content = f"# alysd {kind} key\n# public {public}\n{secret.hex()}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already, and a key is never overwritten") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
