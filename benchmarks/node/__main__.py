"""Measure the node on the development chain with the embedded engine, and compare with the goals.

    python -m benchmarks.node [--only daemon contracts own-share ethereum-rpc database] [--blocks 10000]

"daemon" measures a running `alysd` and takes about three minutes. "contracts" measures one whose embedded engine
executes calls that compute, for a minute. "own-share" measures production and import without the time of the
execution client, in about a minute. "ethereum-rpc" compares answers with those of geth. "database" builds a long
chain and starts a daemon with it.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

import trio

from benchmarks.node import contracts, daemon, database, ethereum_rpc, own_share
from benchmarks.node.figures import Figure

PARTS = ("daemon", "contracts", "own-share", "ethereum-rpc", "database")

MEMORY_FOLDER = next(iter(Path("/dev").glob("shm")), None)
"""A file system in memory, if available: syncing each block of the long chain to a disk takes longer."""


async def measure(part: str, blocks: int) -> None:
    """Measure one part and print its figures."""

    def show(figure: Figure) -> None:
        print(figure.line(), flush=True)

    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER if part == "database" else None) as name:
        folder = Path(name)
        match part:
            case "daemon":
                await daemon.measure(folder, show)
            case "contracts":
                await contracts.measure(folder, show)
            case "own-share":
                await own_share.measure(folder, show)
            case "ethereum-rpc":
                await ethereum_rpc.measure(folder, show)
            case _:
                await database.measure(folder, show, blocks)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to run (all)")
    parser.add_argument("--blocks", type=int, default=10_000, help="blocks of the long chain (10000)")
    options = parser.parse_args()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    for part in options.only:
        trio.run(measure, part, options.blocks)


if __name__ == "__main__":
    main()
