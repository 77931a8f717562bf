"""Backups of a node's databases, made from another process while the node runs.

A backup has the layout of a data folder, without the signing guard: an older guard would let the key sign a slot
twice. The backup first opens a snapshot of the node's database, right afterwards a snapshot of the embedded
engine's database, and only then copies both. The engine executes a block before the node stores it, so the
engine's snapshot contains every block in the node's snapshot. The time between the two snapshots is so short that
the engine has not yet pruned the states of these blocks. All records of the node's database are checked while they
are copied.

The backup is made in a separate process, because a long read transaction in the node's process would prevent
LMDB's memory map from growing there. This also allows a backup while the node is stuck or stopped.

The copy is made in a new folder beside the target. When all files are on disk, the new folder is renamed to the
target.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from alysd import __version__
from alysd.config.regular_file import read_regular
from alysd.errors import ConfigError, Corrupt
from alysd.integrations.backup_manifest import MANIFEST_FILE, BackupBlock, Manifest, file_sum
from alysd.integrations.data_folder import CHAIN_FILE, MAX_CHAIN_BYTES
from alysd.integrations.durable import replace_file, sync_folder
from alysd.integrations.lmdb_errors import DATA_FILE, EXECUTION_FOLDER, advice, database_errors
from alysd.integrations.lmdb_snapshot import Snapshot, open_snapshot
from alysd.integrations.node_data import CHAIN_FOLDER
from alysd.types.hashes import BlockHash, displayed
from alysd.wire.block_ssz import decode_block
from alysd.wire.records import unseal

_ROOM_BYTES = 64 * 2**20
"""Bytes of disk space that must remain free for the running node."""

_RECORDS_PER_COMMIT = 20_000
"""The number of records that the copy writes per transaction, which bounds its memory to about 20 MB."""


def make_backup(data: Path, target: Path, chain: str, genesis: BlockHash, *, embedded: bool) -> Manifest:
    """Copy the databases in the data folder `data` to a new folder `target`, and return their description.

    `embedded` says that the node has an embedded engine. Everything is on disk when this returns. Raises
    `ConfigError` when the target exists or has too little space, `Corrupt` when a record is damaged.
    """
    fresh = target.with_name(target.name + ".incomplete")
    _check_target(data, target, fresh)
    with ExitStack() as stack, database_errors(target, opening=True):
        snapshots = [stack.enter_context(open_snapshot(data / CHAIN_FOLDER))]
        if embedded:
            snapshots.append(stack.enter_context(open_snapshot(data / EXECUTION_FOLDER)))
        head, final = _blocks_of(snapshots[0], genesis)
        if embedded:
            _check_engine(snapshots[1], snapshots[0], (head, final))
        _check_space(target, snapshots)
        fresh.mkdir(mode=0o700)
        with ExitStack() as unless_complete:
            unless_complete.callback(shutil.rmtree, fresh)
            for snapshot in snapshots:
                _copy(snapshot, fresh / snapshot.folder.name, checked=snapshot is snapshots[0])
            files = {
                f"{snapshot.folder.name}/{DATA_FILE}": file_sum(fresh / snapshot.folder.name / DATA_FILE)
                for snapshot in snapshots
            }
            manifest = Manifest(__version__, chain, displayed(genesis), int(time.time()), head, final, files)
            replace_file(fresh / CHAIN_FILE, read_regular(data / CHAIN_FILE, MAX_CHAIN_BYTES))
            replace_file(fresh / MANIFEST_FILE, manifest.encode())
            fresh.rename(target)
            unless_complete.pop_all()
        sync_folder(target.parent)
    return manifest


def _check_target(data: Path, target: Path, fresh: Path) -> None:
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{target} exists, and a backup does not overwrite it: name a new folder")
    if fresh.exists():
        raise ConfigError(f"{fresh} was left by an interrupted backup: remove it")
    if not target.parent.is_dir():
        raise ConfigError(
            f"{target.parent} is not a folder: create it, or name a backup folder whose parent exists"
        )
    if target.resolve().is_relative_to(data.resolve()):
        raise ConfigError(f"{target} is in the data folder: name a folder outside it, if possible on another disk")


def _check_space(target: Path, snapshots: list[Snapshot]) -> None:
    needed = sum(snapshot.size(table).bytes for snapshot in snapshots for table in snapshot.tables())
    free = shutil.disk_usage(target.parent).free
    if free < needed + _ROOM_BYTES:
        raise ConfigError(
            f"{target.parent} has {free} bytes of free disk space, but the backup needs {needed + _ROOM_BYTES}: "
            "name a folder on another disk"
        )


def _blocks_of(node: Snapshot, genesis: BlockHash) -> tuple[BackupBlock, BackupBlock]:
    """The head and the last final block. Raises `ConfigError` for the database of another chain."""
    found = _record(node, "meta", b"genesis")
    if found != genesis:
        raise ConfigError(
            f"the database in {node.folder} belongs to the chain with genesis {displayed(found)}, but the "
            f"configured chain has genesis {displayed(genesis)}: name the configuration of this data folder's node"
        )
    last = node.last("canonical")
    if last is None:
        raise Corrupt(f"the database in {node.folder} has no canonical block: {advice(node.folder)}")
    height, final = last[0], _record(node, "meta", b"final")
    head = unseal("canonical", height, last[1])
    return (
        BackupBlock(int.from_bytes(height, "big"), displayed(head)),
        BackupBlock(int.from_bytes(final[:8], "big"), displayed(final[8:])),
    )


def _check_engine(engine: Snapshot, node: Snapshot, blocks: tuple[BackupBlock, BackupBlock]) -> None:
    """Raise `ConfigError` unless the engine has executed these blocks. While it catches up, it has not."""
    for block in blocks:
        signed = decode_block(_record(node, "blocks", bytes.fromhex(block.hash)[::-1]))
        if engine.get("headers", signed.block.payload.block_hash) is None:
            raise ConfigError(
                f"the embedded engine does not have block {block.height} yet: make the backup when `alysd status` "
                "shows the node as healthy"
            )


def _record(node: Snapshot, table: str, key: bytes) -> bytes:
    found = node.get(table, key)
    if found is None:
        raise Corrupt(f"the database in {node.folder} has no record {key.hex()} in {table}: {advice(node.folder)}")
    return unseal(table, key, found)


def _copy(snapshot: Snapshot, folder: Path, *, checked: bool) -> None:
    """Copy all tables into a new database in `folder`. With `checked`, raises `Corrupt` for a damaged record."""
    folder.mkdir(mode=0o700)
    tables = snapshot.tables()
    size = sum(snapshot.size(table).bytes for table in tables)
    options: dict[str, Any] = {"max_dbs": len(tables), "mode": 0o600, "sync": False, "lock": False}
    with database_errors(folder), lmdb.open(str(folder), map_size=2 * size + _ROOM_BYTES, **options) as copy:
        for table in tables:
            into = copy.open_db(table.encode())
            items = snapshot.items(table)
            if checked:
                items = _checked(table, items)
            while chunk := list(islice(items, _RECORDS_PER_COMMIT)):
                with copy.begin(write=True, db=into) as transaction, transaction.cursor() as cursor:
                    cursor.putmulti(chunk, append=True)
        copy.sync(True)
    sync_folder(folder)


def _checked(table: str, items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for key, value in items:
        unseal(table, key, value)
        yield key, value
