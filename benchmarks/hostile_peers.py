"""Attack one of four running daemons by hostile peers, one attack after the other, and see what it costs.

    python -m benchmarks.hostile_peers [--only ATTACK ...] [--seconds 30] [--crowd 1000] [--proposals 100000]

The attacks are those of `tests.integration.hostile_peers`, an independent program. Each lasts for so many seconds,
except for two: 1,000 connections are authenticated, and 100,000 invalid proposals are sent, however long it takes.
The first row is without an attack. The exit status is 1 after a missed slot, and if the memory exceeds its bound.
"""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from tests.integration.attacked_member import HOST_MIB, NODE_MIB, Deeds, Outcome, attacked_federation
from tests.integration.hostile_peers import NAMES

MOST_SECONDS = 3600.0
"""The longest time for these two. On two processors that nothing else uses they take one and five minutes."""

COLUMNS = (
    "attack", "seconds", "connections", "authenticated", "messages", "closed by the node", "after (median)",
    "slots missed", "node, MiB", "peer host, MiB", "load",
)  # fmt: skip


def row(outcome: Outcome, missed: int, seconds: float) -> str:
    """A row of the table. The load is that of the machine during the last minute."""
    (deeds,) = outcome.deeds or (Deeds("none", 0, 0, 0, 0, None),)
    after = "" if deeds.closed_after is None else f"{deeds.closed_after:.1f} s"
    return (
        f"| {deeds.attack} | {seconds:.0f} | {deeds.connections:,} | {deeds.authenticated:,} | {deeds.messages:,} "
        f"| {deeds.closed:,} | {after} | {missed} of {outcome.slots} | {outcome.node_mib} | {outcome.host_mib} "
        f"| {os.getloadavg()[0]:.0f} |"
    )


async def measure(folder: Path, options: argparse.Namespace) -> bool:
    """Print the table; returns whether no slot was missed and the memory stayed within its bounds."""
    good = True
    counts = {"authenticated_crowd": options.crowd, "invalid_proposals": options.proposals}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    async with attacked_federation(folder) as federation:
        for name in ("", *options.only):
            count = counts.get(name)
            orders = [] if not name else [name if count is None else f"{name}={count}"]
            began = trio.current_time()
            outcome = await federation.attacked(orders, options.seconds if count is None else MOST_SECONDS)
            seconds = trio.current_time() - began
            missed = len(await federation.missed(outcome))
            print(row(outcome, missed, seconds), flush=True)
            good &= not missed and outcome.node_mib < NODE_MIB and outcome.host_mib < HOST_MIB
    return good


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="the attacks to run (all)")
    parser.add_argument("--seconds", type=float, default=30, help="how long each attack lasts (30)")
    parser.add_argument("--crowd", type=int, default=1_000, help="connections of authenticated_crowd (1000)")
    parser.add_argument("--proposals", type=int, default=100_000, help="invalid proposals to send (100000)")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        return 0 if trio.run(measure, Path(folder), options) else 1


if __name__ == "__main__":
    raise SystemExit(main())
