"""Compares the actor runtime with raw trio, asyncio, Pykka and Erlang, in one table.

    python -m benchmarks.actors [--rounds 5] [--quick] [--only ROW ...] [--plot FILE.png]

Each job of each peer runs in its own process. The peers take turns, job by job; the table shows the ratio to raw
trio in the same round. With `--only`, the table has only these rows, and each peer only the jobs that they need;
there is no plot. A peer that is not installed is left out, and the reason is printed.
"""

import argparse
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.actors.peers import PEERS, Peer
from benchmarks.actors.plot import save_plot
from benchmarks.actors.rounds import run_rounds
from benchmarks.actors.rows import ROWS
from benchmarks.actors.table import Round, main_table, pykka_table

PLOT = Path("data/actors.png")


def available() -> list[Peer]:
    """The peers that can be measured on this machine. Prints why others cannot."""
    found: list[Peer] = []
    for peer in PEERS:
        missing = peer.missing()
        if missing is None:
            found.append(peer)
        else:
            print(f"without {peer.title}: {missing}")
    return found


def main() -> None:
    """Read the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the table shows their median (5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of all sizes, for a rough look")
    keys = [row.key for row in ROWS]
    parser.add_argument(
        "--only", nargs="+", choices=keys, metavar="ROW", help=f"some of the rows: {' '.join(keys)}"
    )
    parser.add_argument("--plot", type=Path, default=PLOT, help=f"the file for the picture ({PLOT})")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    peers = available()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, trio {version('trio')}, "
        f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
        f"medians of {options.rounds} rounds"
    )
    rounds: list[Round] = []
    for figures in run_rounds(peers, rows, options.rounds, quick=options.quick):
        rounds.append(figures)
        print(f"round {len(rounds)} of {options.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    others = [peer.title for peer in peers[2:]]
    for line in (*main_table(rounds, others, rows), "", *pykka_table(rounds)):
        print(line.rstrip())
    if not options.only:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        save_plot(rounds, others, options.plot)
        print(f"\nthe picture: {options.plot}")


if __name__ == "__main__":
    main()
