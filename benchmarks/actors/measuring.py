"""Shared by all peers: the sizes of the jobs, the figures, memory, percentiles."""

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

Figures = dict[str, float]
"""The figures of a job, by the key of the row of the table."""

MAILBOX = 1024
"""The capacity of a mailbox, for all peers with bounded mailboxes."""

PACE_SECONDS = 0.001
"""Seconds between two bursts of the latency job: at 10,000 messages/s, bursts of ten, as from a busy socket."""

LATENCY_RATE = 10_000
"""Messages per second of the latency job: the goal for one actor, and far below what saturates it."""

CLIENTS = 64
"""The number of tasks that ask at the same time."""

PRODUCERS = 8
CONSUMERS = 1_000
"""The receiving actors of the row with 1,000 actors."""

IN_A_ROW = 4
"""Messages in a row to the same actor, in the job `crowd_fours`."""


@attrs.frozen
class Sizes:
    """The sizes of the jobs, chosen so that raw trio takes about half a second for each."""

    tells: int = 60_000
    asks: int = 12_000
    asks_a_client: int = 300
    crowd: int = 64_000
    """Messages to the thousand actors, from all producers together."""
    spawns: int = 3_000
    crashes: int = 500
    idle: int = 100_000
    latency_seconds: float = 1.5
    lookups: int = 300_000
    health_rounds: int = 10

    def faster(self, factor: int) -> "Sizes":
        """The sizes for a peer that is about `factor` times faster: shorter runs would be noisier."""
        return attrs.evolve(
            self,
            tells=self.tells * factor,
            asks=self.asks * factor,
            asks_a_client=self.asks_a_client * factor,
            crowd=self.crowd * factor,
        )


FULL = Sizes()
QUICK = Sizes(
    tells=6_000,
    asks=1_200,
    asks_a_client=30,
    crowd=16_000,
    spawns=300,
    crashes=100,
    idle=10_000,
    latency_seconds=0.3,
    lookups=30_000,
    health_rounds=3,
)
"""Half a minute in all; too short for reliable figures."""


def receivers(producer: int, messages: int, in_a_row: int) -> list[int]:
    """The receiver of each message of a producer, scattered so that producers do not move in step.

    Each receiver gets `in_a_row` messages in a row.
    """
    return [(index // in_a_row * 7 + producer * 125) % CONSUMERS for index in range(messages)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all values lie. Raises `ValueError` for no values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def resident_bytes() -> int:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
