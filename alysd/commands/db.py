"""`alysd db`: shows the space that a node's databases take, and makes their files smaller."""

import argparse
from typing import TYPE_CHECKING

from alysd.commands.configuration import add_configuration_arguments
from alysd.commands.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from alysd.integrations.lmdb_space import DatabaseSize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions `stat` and `compact` with their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    stat = actions.add_parser("stat", help="show entries, bytes and free space; the node may be running")
    stat.add_argument("--json", action="store_true", help="print a JSON object")
    stat.set_defaults(action=_stat)
    compact = actions.add_parser("compact", help="make the files smaller; the node must be stopped")
    compact.set_defaults(action=_compact)
    for action in (stat, compact):
        add_configuration_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Run the action. Raises `UserError`, and `Corrupt` for a damaged database."""
    code: int = args.action(args)
    return code


def _stat(args: argparse.Namespace) -> int:
    import json

    import attrs

    from alysd.integrations.lmdb_space import size_of

    sizes = {folder.name: size_of(folder) for folder in _databases(_data_folder(args))}
    if args.json:
        say(json.dumps({name: attrs.asdict(size) for name, size in sizes.items()}, indent=2) + "\n")
    else:
        say(_text(sizes))
    return 0


def _compact(args: argparse.Namespace) -> int:
    from alysd.integrations.data_folder import DataFolder
    from alysd.integrations.lmdb_space import compact, size_of

    data = _data_folder(args)
    databases = _databases(data)
    with DataFolder.open(data):
        for folder in databases:
            before, after = size_of(folder).file_bytes, compact(folder).file_bytes
            say(f"{folder}: {_megabytes(before)} before, {_megabytes(after)} now\n")
    return 0


def _data_folder(args: argparse.Namespace) -> "Path":
    import os

    from alysd.config.load import load_config

    return load_config(args.config, environment=os.environ, overrides=args.overrides).storage.path


def _databases(data: "Path") -> "list[Path]":
    """The folders of the databases. Raises `ConfigError` when there is none."""
    from alysd.errors import ConfigError
    from alysd.integrations.lmdb_errors import EXECUTION_FOLDER
    from alysd.integrations.node_data import CHAIN_FOLDER

    found = [data / name for name in (CHAIN_FOLDER, EXECUTION_FOLDER) if (data / name).is_dir()]
    if not found:
        raise ConfigError(f"{data} has no database: name the configuration of a node that has run")
    return found


def _text(sizes: "Mapping[str, DatabaseSize]") -> str:
    lines: list[str] = []
    for name, size in sizes.items():
        lines += [f"{name}: {_megabytes(size.file_bytes)}, of which {_megabytes(size.free_bytes)} are free"]
        lines += [
            f"  {table:<14}{found.entries:>12,} entries{_megabytes(found.bytes):>14}"
            for table, found in size.tables.items()
        ]
    return "".join(f"{line}\n" for line in lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
