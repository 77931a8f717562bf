"""The load of the members of a federation of four, with real followers on this machine: a daemon each.

    python -m benchmarks.followers --followers 0 10

`python -m benchmarks.growth` has the same figures of a simulation. Here they include libp2p: the bytes are those
of TCP, and a packet is a TCP segment with data. The kernel counts both (`ss`, of iproute2). Each daemon takes
200 MB of memory. The followers need the same processors as the members, but a member's processor time does not
contain the wait for them. All figures but `behind` and `load` are the mean of the members, per block except for
`links`.
"""

import argparse
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trio

from alysd.testing.daemon import Daemon
from tests.integration.attacked_member import peer_host_of
from tests.integration.federation_daemons import federation, height, until_at

MEMBERS = 4

START_SECONDS = 600.0
"""The longest wait for the first blocks. 14 daemons start in a minute on two processors that nothing else uses."""

SLOT_SECONDS = 2

COUNTERS = ("bytes_sent", "bytes_received", "data_segs_out")

COLUMNS = (
    "followers", "behind", "links", "packets sent", "KB sent", "KB received", "node ms", "peer host ms", "load",
)  # fmt: skip


@attrs.frozen
class Totals:
    """A member's use of its machine so far: processor time of its two processes in seconds, and its connections.

    `connections` has the `COUNTERS` of each, by its two addresses.
    """

    node: float
    host: float
    connections: dict[str, tuple[int, ...]]


def processor_seconds(pid: int) -> float:
    """The processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connections_of(listing: str, pid: int) -> dict[str, tuple[int, ...]]:
    """The counters of a process's TCP connections in the output of `ss -tinpOH`, by addresses."""
    found: dict[str, tuple[int, ...]] = {}
    for line in listing.splitlines():
        if f"pid={pid}," in line:
            values = {name: re.search(rf"\b{name}:(\d+)", line) for name in COUNTERS}
            addresses = " ".join(line.split()[3:5])
            found[addresses] = tuple(int(value[1]) if value else 0 for value in values.values())
    return found


async def totals(member: Daemon, listing: str) -> Totals:
    """A member's processor time and connections so far."""
    node, host = member.process.pid, peer_host_of(member)
    return Totals(processor_seconds(node), processor_seconds(host), connections_of(listing, host))


async def all_totals(members: Sequence[Daemon]) -> list[Totals]:
    """The members' processor time and connections so far."""
    listing = await trio.run_process(["ss", "-tinpOH"], capture_stdout=True, stderr=subprocess.DEVNULL)
    return [await totals(member, listing.stdout.decode()) for member in members]


def load_row(followers: int, behind: int, blocks: int, before: Sequence[Totals], after: Sequence[Totals]) -> str:
    """A row of the table. A connection that began or ended meanwhile does not count."""
    node = sum(now.node - then.node for now, then in zip(after, before, strict=True))
    host = sum(now.host - then.host for now, then in zip(after, before, strict=True))
    sums = [0] * len(COUNTERS)
    links = 0
    for now, then in zip(after, before, strict=True):
        for addresses, counted in now.connections.items():
            if addresses in then.connections:
                links += 1
                sums = [
                    total + new - old
                    for total, new, old in zip(sums, counted, then.connections[addresses], strict=True)
                ]
    share = blocks * len(after)
    sent, received, packets = (total / share for total in sums)
    figures = (
        str(followers), str(behind), f"{links / len(after):.1f}", f"{packets:.0f}", f"{sent / 1000:.1f}",
        f"{received / 1000:.1f}", f"{1000 * node / share:.0f}", f"{1000 * host / share:.0f}",
        f"{os.getloadavg()[0]:.0f}",
    )  # fmt: skip
    return "  ".join(figure.rjust(len(column)) for figure, column in zip(figures, COLUMNS, strict=True))


async def measure(folder: Path, followers: int, slots: int) -> str:
    """Measure for so many slots, after the first blocks of all nodes."""
    async with federation(folder, MEMBERS, followers=followers) as daemons:
        members = daemons[:MEMBERS]
        await until_at(daemons, 10, START_SECONDS)
        first, before = await height(members[0]), await all_totals(members)
        await trio.sleep(slots * SLOT_SECONDS)
        head, after = await height(members[0]), await all_totals(members)
        behind = sum([await height(each) < head - 1 for each in daemons])
        return load_row(followers, behind, head - first, before, after)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--followers", type=int, nargs="+", default=[0, 10])
    parser.add_argument("--slots", type=int, default=60, help="slots of each measurement (60)")
    options = parser.parse_args()
    print("  ".join(COLUMNS))
    for followers in options.followers:
        with TemporaryDirectory() as folder:
            print(trio.run(measure, Path(folder), followers, options.slots), flush=True)


if __name__ == "__main__":
    main()
