"""A federation of daemons, one of whose members is attacked by the program `tests.integration.hostile_peers`.

For the test of hostile peers and for `python -m benchmarks.hostile_peers`.
"""

import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from alysd.testing.daemon import Daemon
from tests.integration.federation_daemons import federation, until_at
from tests.integration.gossip_attacks import MEMBERS, SLOT_SECONDS, present_slot
from tests.integration.hostile_peers import BUSY_SECONDS

ATTACKED = 0
"""The index of the attacked member's authority."""

NODE_MIB = 400
"""The bound of the attacked node's memory: 200 MiB without an attack, and what 64 strangers have in flight."""

HOST_MIB = 400
"""The bound of the memory of its peer host, half of what its process may have: 90 MiB without an attack."""

START_SECONDS = 120.0
"""The longest wait for the first blocks: four daemons start within 20 s on an idle machine."""

END_SECONDS = 60.0
"""The longest time for the start and the end of the attacking program, two seconds on an idle machine."""


@attrs.frozen
class Deeds:
    """The effects of one kind of attack."""

    attack: str
    connections: int
    authenticated: int
    messages: int
    closed: int
    closed_after: float | None


@attrs.frozen
class Outcome:
    """The effects of attacks side by side in the slots from `first` to `last`. The memory is the maximum."""

    deeds: tuple[Deeds, ...]
    first: int
    last: int
    node_mib: int
    host_mib: int

    @property
    def slots(self) -> int:
        """The number of slots."""
        return self.last - self.first + 1


@attrs.frozen
class AttackedFederation:
    """Running members. The attacks are on the first one, and the chain is seen at the second one.

    `address` is that of the first member's peer host, `genesis` the genesis block's hash as displayed.
    """

    members: Sequence[Daemon]
    address: str
    genesis: str

    async def attacked(self, orders: Sequence[str], seconds: float) -> Outcome:
        """Attack for so many seconds, by attacks side by side or, without any, by none."""
        node, host = self.members[ATTACKED].process.pid, peer_host_of(self.members[ATTACKED])
        worst, done, deeds = [0, 0], trio.Event(), list[Deeds]()

        async def attack() -> None:
            if orders:
                deeds.extend(await self._program(orders, seconds))
            else:
                await trio.sleep(seconds)
            done.set()

        first = present_slot() + 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attack)
            while not done.is_set():
                worst = [max(worst[0], resident(node)), max(worst[1], resident(host))]
                await trio.sleep(0.25)
        return Outcome(tuple(deeds), first, present_slot(), *worst)

    async def missed(self, outcome: Outcome) -> list[int]:
        """The slots of an attack that have no block, once the last one's is everywhere."""
        await trio.sleep(max(0.0, (outcome.last + 1.75) * SLOT_SECONDS - time.time()))
        made = await slots_since(self.members[1], outcome.first)
        return [slot for slot in range(outcome.first, outcome.last + 1) if slot not in made]

    async def _program(self, orders: Sequence[str], seconds: float) -> list[Deeds]:
        program = (sys.executable, "-m", "tests.integration.hostile_peers")
        with trio.fail_after(seconds + BUSY_SECONDS + END_SECONDS):
            ended = await trio.run_process(
                [*program, self.address, self.genesis, str(seconds), *orders],
                capture_stdout=True,
                stderr=subprocess.DEVNULL,
            )
        found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith(b"{")]
        return [Deeds(**each) for each in sorted(found, key=lambda each: each["attack"])]


@asynccontextmanager
async def attacked_federation(folder: Path) -> AsyncGenerator[AttackedFederation]:
    """Run a federation of four while the `with` block runs. It has made its first blocks."""
    async with federation(folder, MEMBERS) as members:
        await until_at(members, 2, START_SECONDS)
        genesis: str = (await members[0].call("getblockbyheight", 0))["hash"]
        options = dict(option.split("=", 1) for option in members[ATTACKED].command if "=" in option)
        public = public_in(Path(options["network.key_file"]))
        host, _, port = options["network.address"].rpartition(":")
        yield AttackedFederation(members, f"/ip4/{host}/tcp/{port}/p2p/{public}", genesis)


async def slots_since(member: Daemon, first: int) -> set[int]:
    """The slots of a member's blocks, from a slot on."""
    found = set[int]()
    block: dict[str, Any] = await member.call("getheadblock")
    while block["slot"] >= first:
        found.add(block["slot"])
        block = await member.call("getblockbyheight", block["height"] - 1)
    return found


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


def public_in(key_file: Path) -> str:
    """The public key that a key file names."""
    return key_file.read_text().split("# public ")[1].split()[0]
