"""The folder in which a benchmark keeps the files of its nodes."""

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option --folder."""
    parser.add_argument("--folder", type=Path, help="keep all files in this new folder")


def run_in_folder(
    measure: Callable[[argparse.Namespace, Path], Awaitable[bool]], options: argparse.Namespace
) -> int:
    """Run `measure` with the folder of the options, or with a temporary one; returns the exit status."""
    if options.folder is not None:
        options.folder.mkdir()
        return 0 if trio.run(measure, options, options.folder) else 1
    with tempfile.TemporaryDirectory() as folder:
        return 0 if trio.run(measure, options, Path(folder)) else 1
