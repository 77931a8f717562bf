"""Reads the passphrase of an encrypted key file from a file or a terminal."""

import argparse
import sys
from getpass import getpass
from pathlib import Path


def add_passphrase_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--passphrase-file`."""
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="the file whose first line is the passphrase of the key; by default the terminal asks for it",
    )


def passphrase_of(path: Path | None, *, twice: bool = False) -> str:
    """Read the passphrase from the file, or ask for it on the terminal, `twice` if it is a new one.

    Raises `ConfigError` if there is neither a file nor a terminal, if the passphrase is empty, and if two
    entries of it differ.
    """
    from alysd.config.key_file import read_passphrase
    from alysd.errors import ConfigError

    if path is not None:
        return read_passphrase(path)
    if not sys.stdin.isatty():
        raise ConfigError("the key has a passphrase, and there is no terminal: name a --passphrase-file")
    passphrase = getpass("passphrase of the key: ")
    if twice and getpass("the same passphrase again: ") != passphrase:
        raise ConfigError("the two passphrases differ: nothing was written")
    if not passphrase:
        raise ConfigError("the passphrase must not be empty")
    return passphrase
