"""Key files: one secret of 32 bytes in hex, with a comment that names the kind of key.

    # alysd bls key
    # public 0x8f31…
    3b2c…

The secret of a Bitcoin key or of an account's key can also be encrypted with a passphrase
(`config.encrypted_secret`).

A key file must be accessible to its owner only (mode 0600), or belong to root and be readable by a group (mode
0440). Kubernetes mounts a secret in the second way for a container with an fsGroup. Only root can make such a
file, so the choice of the group is root's. `known_to_all` skips this check for the development keys, which are
published in the repository and have the file mode that git gives them.
"""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs

from alysd.config.encrypted_secret import WrongPassphrase, decrypt_secret, is_encrypted
from alysd.config.toml_file import read_bounded
from alysd.errors import ConfigError

KeyKind = Literal["bls", "bitcoin", "network", "account"]
"""The kinds of keys. `bls` signs an authority's approvals, `bitcoin` signs a federation member's peg-outs,
`network` identifies a node to its peers, and `account` signs the transactions of an account on the chain."""

_HEADER = re.compile(r"# alysd (bls|bitcoin|network|account) key\b")
_SECRET = re.compile(r"(0x)?[0-9a-fA-F]{64}")


@attrs.frozen
class KeyFile:
    """The content of a key file. `kind` is None if the file does not name one. The repr omits the secret."""

    kind: KeyKind | None
    secret: bytes = attrs.field(repr=False)


def read_key_file(
    path: Path,
    *,
    kind: KeyKind | None = None,
    known_to_all: bool = False,
    passphrase: Callable[[], str] | None = None,
) -> KeyFile:
    """Read a key file. Raises `ConfigError` if it is invalid, or if it names another kind than `kind`.

    `passphrase` is called if the secret is encrypted.
    """
    text = read_bounded(path, what="a key file").decode("ascii", errors="replace")
    if not known_to_all and exposed(status := path.stat()):
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{path}: the secret key is accessible to other users (mode {mode:04o})\nrestrict it: chmod 600 {path}"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    secrets = [line for line in lines if not line.startswith("#")]
    encrypted = len(secrets) == 1 and is_encrypted(secrets[0])
    if len(secrets) != 1 or not (encrypted or _SECRET.fullmatch(secrets[0])):
        raise ConfigError(
            f"{path}: not a key file: it must have one line with 32 bytes in hex\nsee `alysd keys new`"
        )
    header = _HEADER.match(lines[0])
    found: KeyKind | None = None
    if header:
        found = header[1]  # pyright: ignore[reportAssignmentType]  the pattern matches only these kinds
    if kind and found and found != kind:
        raise ConfigError(f"{path}: this is a key of the kind {found}, but a key of the kind {kind} is required")
    if encrypted:
        return KeyFile(found, _decrypted(path, secrets[0], passphrase))
    return KeyFile(found, bytes.fromhex(secrets[0].removeprefix("0x")))


def _decrypted(path: Path, line: str, passphrase: Callable[[], str] | None) -> bytes:
    if passphrase is None:
        raise ConfigError(
            f"{path}: the key is encrypted, and nothing names its passphrase\nname a passphrase file"
        )
    try:
        return decrypt_secret(line, passphrase())
    except WrongPassphrase as error:
        raise ConfigError(f"{path}: {error}") from None


def read_passphrase(path: Path) -> str:
    """Read a passphrase from the first line of a file that only its owner can read. Raises `ConfigError`."""
    text = (
        read_bounded(path, what="a passphrase file", pipe=True)
        .decode(errors="replace")
        .split("\n")[0]
        .rstrip("\r")
    )
    if exposed(path.stat()):
        raise ConfigError(f"{path}: the passphrase is accessible to other users; restrict it: chmod 600 {path}")
    if not text:
        raise ConfigError(f"{path}: the first line must be the passphrase, but it is empty")
    return text


def exposed(found: os.stat_result) -> bool:
    """Return whether, by its mode and owner, users without a right to a key file can read or change it."""
    others = stat.S_IMODE(found.st_mode) & 0o077
    return others != 0 and not (others == stat.S_IRGRP and found.st_uid == 0)
