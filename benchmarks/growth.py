"""The load of one member of a federation of four, with more and more followers.

    python -m benchmarks.growth --followers 0 10 50

runs whole nodes on virtual time (`alysd.testing.federation`), with real signatures. Every node exchanges all
gossip with at most 12 others, as in gossipsub's mesh; the members are linked to each other. The result is one row
per number of followers, per block and member: the messages of gossip that a member sends, their bytes, the
requests, the answered bytes, and the processor time of the member's node.

The processor time covers the whole node except for libp2p, the execution client and the database, which a
simulation replaces. docs/federation.md, "Growth", says what the figures mean.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence

import attrs
import trio
from trio.abc import Instrument
from trio.lowlevel import Task

from alysd.integrations.bls import BLS
from alysd.testing.federation.machine import machine_name
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually

MEMBERS = 4

WARM_SLOTS = 10
"""The slots before the measurement: all nodes find their peers and the newest block."""

COLUMNS = ("followers", "nodes behind", "links", "messages", "KB", "requests", "answered KB", "processor ms")


@attrs.frozen
class Load:
    """The load of one member, the mean of all members. All but `links` is per block."""

    followers: int
    behind: int
    links: float
    messages: float
    bytes: float
    requests: float
    answered_bytes: float
    processor_ms: float

    def __str__(self) -> str:
        figures = (
            str(self.followers), str(self.behind), f"{self.links:.1f}", f"{self.messages:.1f}",
            f"{self.bytes / 1000:.1f}", f"{self.requests:.1f}", f"{self.answered_bytes / 1000:.2f}",
            f"{self.processor_ms:.1f}",
        )  # fmt: skip
        return "  ".join(figure.rjust(len(column)) for figure, column in zip(figures, COLUMNS, strict=True))


class ProcessorTime(Instrument):
    """The processor time of each simulated machine, in seconds."""

    def __init__(self) -> None:
        self.seconds = defaultdict[str, float](float)
        self._begun = 0.0

    def before_task_step(self, task: Task) -> None:  # noqa: ARG002  the interface has it
        """Note the time."""
        self._begun = time.thread_time()

    def after_task_step(self, task: Task) -> None:
        """Add the time of the step to the machine on which the task runs."""
        self.seconds[task.context.run(machine_name)] += time.thread_time() - self._begun


def load_with(followers: int, slots: int) -> Load:
    """Measure for so many slots, after `WARM_SLOTS`."""

    async def main() -> Load:
        async with open_federation(MEMBERS, seed=1, followers=followers, scheme=BLS) as federation:
            await federation.slots(WARM_SLOTS)
            before, processor = _sums(federation), ProcessorTime()
            trio.lowlevel.add_instrument(processor)
            await federation.slots(slots)
            trio.lowlevel.remove_instrument(processor)
            messages, size, requests, answered = [
                (now - then) / slots / MEMBERS for now, then in zip(_sums(federation), before, strict=True)
            ]
            names = [member.name for member in federation.members]
            busy = sum(processor.seconds[name] for name in names) / slots / MEMBERS
            links = sum(len(federation.world.network.endpoints[name].links) for name in names) / MEMBERS
            return Load(followers, _behind(federation), links, messages, size, requests, answered, 1000 * busy)

    return run_virtually(main, seed=1)


def _sums(federation: SimulatedFederation) -> tuple[int, int, int, int]:
    """The sums of what all members have sent: messages, bytes, requests and bytes of answers."""
    all_traffic = [federation.world.network.endpoints[member.name].traffic for member in federation.members]
    return (
        sum(one.messages for one in all_traffic),
        sum(one.bytes for one in all_traffic),
        sum(one.requests for one in all_traffic),
        sum(one.answered_bytes for one in all_traffic),
    )


def _behind(federation: SimulatedFederation) -> int:
    """The number of nodes whose head is more than one slot old."""
    nodes = (*federation.members, *federation.followers)
    heads = [node.life.store.forkchoice().head.slot for node in nodes if node.life is not None]
    return len(nodes) - sum(head >= federation.slot() - 1 for head in heads)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description="Growth of a federation.")
    parser.add_argument("--followers", type=int, nargs="+", default=[0, 10, 50])
    parser.add_argument("--slots", type=int, default=60, help="slots of each measurement")
    options = parser.parse_args(arguments)
    print("  ".join(COLUMNS))
    for followers in options.followers:
        print(load_with(followers, options.slots), flush=True)


if __name__ == "__main__":
    main()
