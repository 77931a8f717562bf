"""Hostile peers against a live daemon: one of four members is attacked by an independent program.

Meanwhile the federation misses no slot, the memory of both processes of the attacked member stays bounded, and the
node closes the connections of the attackers.
"""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import trio

from alysd.testing.daemon import Daemon
from tests.integration.federation_daemons import federation, until_at
from tests.integration.hostile_peers import NAMES
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

SECONDS = 10.0
"""How long each attack lasts. `python -m tests.integration.test_hostile_peers 300` runs each for five minutes."""

NODE_MIB = 400
"""The bound of the attacked node's memory: 200 MiB without an attack, and what 64 strangers have in flight."""

HOST_MIB = 400
"""The bound of the memory of its peer host, half of what its process may have: 90 MiB without an attack."""

LONGER = {"authenticated_crowd": 30.0, "invalid_proposals": 20.0, "proofs_of_work": 15.0}
"""The seconds of attacks that need longer: 1,000 handshakes take 30 s of processor time, 100,000 proposals go out
as fast as the node takes them, and all strangers together may send few proofs per second."""

PATIENT = ("random_bytes", "oversized_handshake", "slow_loris", "requests_of_no_kind", "unread_bytes")
"""Attacks that end their connections themselves, or before the deadline of the node."""

QUIET = ""
"""No attack: what the machine itself misses."""


@attrs.frozen
class Outcome:
    """What an attack did, and what it cost."""

    attack: str
    slots: int
    missed: int
    node_mib: int
    host_mib: int
    connections: int = 0
    messages: int = 0
    closed: int = 0
    closed_after: float | None = None

    def row(self) -> str:
        """A row of the table."""
        after = "" if self.closed_after is None else f"{self.closed_after:.1f} s"
        return (
            f"| {self.attack or 'none'} | {self.connections} | {self.messages} | {self.closed} | {after} "
            f"| {self.missed} of {self.slots} | {self.node_mib} | {self.host_mib} |"
        )


HEAD = """| attack | connections | messages | closed by the node | closed after (median) | slots missed | node, MiB | peer host, MiB |
|---|---|---|---|---|---|---|---|"""  # noqa: E501  the lines of a table are not broken


async def head_of(member: Daemon) -> tuple[int, int]:
    """Slot and height of a member's head."""
    head = await member.call("getheadblock")
    return int(head["slot"]), int(head["height"])


def resident(pid: int) -> int:
    """The resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) >> 10
    raise LookupError("no such process")


def peer_host_of(member: Daemon) -> int:
    """The process of a member's peer host."""
    pid = member.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


async def attacked(members: Sequence[Daemon], address: str, genesis: str, attack: str, seconds: float) -> Outcome:
    """Attack the first member, and watch the federation at the second one."""
    node, host = members[0].process.pid, peer_host_of(members[0])
    worst, done = [0, 0], trio.Event()
    found: dict[str, Any] = {"attack": attack}

    async def run() -> None:
        if attack == QUIET:
            await trio.sleep(seconds)
        else:
            command = [
                sys.executable,
                "-m",
                "tests.integration.hostile_peers",
                address,
                genesis,
                attack,
                str(seconds),
            ]
            with trio.fail_after(seconds + 60):
                ended = await trio.run_process(command, capture_stdout=True, stderr=subprocess.DEVNULL)
            found.update(json.loads(ended.stdout.splitlines()[-1]))
        done.set()

    before = await head_of(members[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while not done.is_set():
            worst = [max(worst[0], resident(node)), max(worst[1], resident(host))]
            await trio.sleep(0.25)
    after = await head_of(members[1])
    slots, blocks = after[0] - before[0], after[1] - before[1]
    return Outcome(slots=slots, missed=slots - blocks, node_mib=worst[0], host_mib=worst[1], **found)


def public_in(key_file: Path) -> str:
    """The public key that a key file names."""
    return key_file.read_text().split("# public ")[1].split()[0]


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[tuple[list[Daemon], str, str]]:
    """Four members, the address of the first one's peer host, and the genesis block's hash."""
    async with federation(folder, 4) as members:
        await until_at(members, 5, 120)
        genesis: str = (await members[0].call("getblockbyheight", 0))["hash"]
        options = dict(option.split("=", 1) for option in members[0].command if "=" in option)
        public = public_in(Path(options["network.key_file"]))
        host, _, port = options["network.address"].rpartition(":")
        yield members, f"/ip4/{host}/tcp/{port}/p2p/{public}", genesis


async def table(folder: Path, attacks: Sequence[str], seconds: float) -> list[Outcome]:
    """Run attacks one after the other on one federation, and print a table."""
    print(f"\n{HEAD}")
    outcomes: list[Outcome] = []
    async with running(folder) as (members, address, genesis):
        for attack in attacks:
            lasts = max(seconds, LONGER.get(attack, 0.0))
            outcomes.append(await attacked(members, address, genesis, attack, lasts))
            print(outcomes[-1].row(), flush=True)
    return outcomes


async def test_hostile_peers_cost_no_slot(tmp_path: Path) -> None:
    """Any stranger could stop the federation, or fill the memory of a member."""
    outcomes = await table(tmp_path, NAMES, SECONDS)
    # A busy machine costs a slot now and then too. An attack that works costs a quarter of them, in each of three
    # runs.
    again = [outcome.attack for outcome in outcomes if 4 * outcome.missed > outcome.slots]
    for run in ("second", "third"):
        if again:
            folder = tmp_path / run
            folder.mkdir()
            repeated = await table(folder, again, SECONDS)
            again = [outcome.attack for outcome in repeated if 4 * outcome.missed > outcome.slots]
    assert not again, "these attacks cost slots in each of three runs"
    for outcome in outcomes:
        assert outcome.node_mib < NODE_MIB, outcome
        assert outcome.host_mib < HOST_MIB, outcome
        assert outcome.closed or outcome.attack in PATIENT, outcome


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        trio.run(table, Path(folder), sys.argv[2:] or (QUIET, *NAMES), float(sys.argv[1]))
