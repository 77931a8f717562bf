"""What every peer measures with: how much of everything, the clock, memory, percentiles."""

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

Figures = dict[str, float]
"""A figure for each row that a job fills, by the row's key."""

MAILBOX = 1024
"""Messages a mailbox holds, for all peers that have bounded ones."""

PACE_SECONDS = 0.001
"""Between two bursts of the latency job: at 10,000 messages/s ten at a time, as a busy socket delivers them."""

LATENCY_RATE = 10_000
"""Messages/s of the latency job: what is asked of one actor, and far from what saturates one."""

CLIENTS = 64
"""Tasks that ask at the same time."""

PRODUCERS = 8
CONSUMERS = 1_000
"""The receiving actors of the row with 1,000 actors."""

IN_A_ROW = 4
"""Messages to the same actor before the next one's turn, in the crowd that talks in fours."""


@attrs.frozen
class Sizes:
    """How much of everything, chosen so that raw trio takes some half a second for it; faster peers do more."""

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
        """More messages and asks, for a peer that is about so much faster: shorter runs are noisier."""
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
"""A look in half a minute; too short for figures to rely on."""


def receivers(producer: int, messages: int, in_a_row: int) -> list[int]:
    """To which of the thousand each message of a producer goes: scattered, so that no two producers march in step.

    With `in_a_row` messages to one before it is the next one's turn.
    """
    return [(index // in_a_row * 7 + producer * 125) % CONSUMERS for index in range(messages)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are below. Raises `ValueError` when there are none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
