"""The manifest of a backup, which describes its content, and the check of a backup's files before it is used."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import cattrs

from alysd.config.regular_file import reading_regular
from alysd.errors import ConfigError, Corrupt, WrongChain
from alysd.integrations.durable import sync_folder
from alysd.types.hashes import BlockHash, displayed
from alysd.wire.json_input import parse_json

MANIFEST_FILE = "backup.json"

FORMAT = 1
"""The version of the manifest and of the layout of a backup."""

_MAX_BYTES = 65536
_PIECE_BYTES = 2**20


@attrs.frozen
class BackupBlock:
    """A block by its height and its hash as the RPC shows it: 64 hex digits."""

    height: int
    hash: str


@attrs.frozen
class FileSum:
    """The size of a file, and its SHA-256 in hex."""

    bytes: int
    sha256: str


@attrs.frozen
class Manifest:
    """The content of a backup. `alysd` is the version that made it, `created` is in Unix seconds.

    `genesis` is the genesis hash as the RPC shows it. `files` has the size and sum of each database file by its
    path in the backup.
    """

    alysd: str
    chain: str
    genesis: str
    created: int
    head: BackupBlock
    final: BackupBlock
    files: Mapping[str, FileSum]
    format: int = FORMAT

    def encode(self) -> bytes:
        """The manifest as a JSON text."""
        return json.dumps(attrs.asdict(self), indent=2).encode() + b"\n"


def file_sum(path: Path) -> FileSum:
    """Size and sum of a file. Raises `OSError`."""
    digest, size = hashlib.sha256(), 0
    with reading_regular(path) as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return FileSum(size, digest.hexdigest())


def use_backup(folder: Path, genesis: BlockHash) -> Manifest | None:
    """Check a backup that was put into the data folder `folder`. Returns its manifest, or None if there is none.

    The manifest's file is removed, because the node changes the other files from then on. Raises `WrongChain` for
    a backup of another chain, `ConfigError` for a backup of a later version, `Corrupt` when a file is not complete
    or the manifest is damaged. The caller has locked the folder.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = _read(path)
        if manifest is None:
            return None
        if manifest.genesis != displayed(genesis):
            raise WrongChain(
                f"the backup in {folder} is of chain {manifest.chain} (genesis {manifest.genesis[:16]}…), but the "
                f"configured chain has genesis {displayed(genesis)[:16]}…: restore a backup of that chain"
            )
        for name, expected in manifest.files.items():
            _check_file(folder / name, expected)
        path.unlink()
        sync_folder(folder)
    except OSError as error:
        raise ConfigError(f"{path}: the backup cannot be used: {error.strerror}") from None
    return manifest


def _check_file(path: Path, expected: FileSum) -> None:
    found = file_sum(path) if path.is_file() else FileSum(0, "")
    if found != expected:
        raise Corrupt(
            f"{path} differs from the file in the backup: found {found.bytes} bytes with the SHA-256 "
            f"{found.sha256[:16] or '(no file)'}…, expected {expected.bytes} bytes with {expected.sha256[:16]}…: "
            "restore the backup again"
        )


def _read(path: Path) -> Manifest | None:
    try:
        with reading_regular(path) as file:
            document: Any = parse_json(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except ValueError:
        raise Corrupt(f"{path} is damaged: restore the backup again") from None
    version = cast("dict[str, object]", document).get("format") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ConfigError(
            f"{path} has format {version}, but this version of alysd reads format {FORMAT}: use a later version"
        )
    try:
        manifest = cattrs.structure(document, Manifest)
    except (cattrs.BaseValidationError, ValueError, TypeError):
        raise Corrupt(f"{path} is damaged: restore the backup again") from None
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            where = f"the file {name!r:.80}, which is outside the backup"
            raise Corrupt(f"{path} is damaged: it names {where}: restore another backup")
    return manifest
