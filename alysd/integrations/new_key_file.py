"""Writes new key files, in the format that `config.key_file` reads."""

from pathlib import Path

from alysd.config.encrypted_secret import encrypt_secret
from alysd.config.key_file import KeyKind
from alysd.errors import ConfigError
from alysd.integrations.durable import create_file


def write_key_file(path: Path, kind: KeyKind, secret: bytes, public: str, passphrase: str | None = None) -> None:
    """Write a new key file with mode 0600; it is on disk when this returns. Raises `ConfigError` if it exists.

    With a `passphrase`, the secret is encrypted.

    A power cut must not lose the file: its public key may already be in use, and a lost key is lost money.
    """
    line = secret.hex() if passphrase is None else encrypt_secret(secret, passphrase)
    content = f"# alysd {kind} key\n# public {public}\n{line}\n"
    try:
        create_file(path, content.encode("ascii"))
    except FileExistsError:
        raise ConfigError(f"{path}: the file exists, and keys are never overwritten: name another file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
