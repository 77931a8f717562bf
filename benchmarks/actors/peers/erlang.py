"""Erlang/OTP: gen_server and supervisor, by `actors.erl`, compiled for each job. It uses all processors."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.actors.measuring import Figures, Sizes

SOURCE = Path(__file__).with_name("actors.erl")

AMOUNTS: Mapping[str, Callable[[Sizes], int]] = {
    "tell": lambda sizes: sizes.tells,
    "ask": lambda sizes: sizes.asks,
    "clients": lambda sizes: sizes.asks_a_client,
    "crowd": lambda sizes: sizes.crowd,
    "crowd_fours": lambda sizes: sizes.crowd,
    "spawn": lambda sizes: sizes.spawns,
    "crash": lambda sizes: sizes.crashes,
    "idle": lambda sizes: sizes.idle,
    "latency": lambda sizes: int(sizes.latency_seconds * 1_000),
    "lookup": lambda sizes: sizes.lookups,
}
"""The sizes passed to the Erlang program, in the unit of each job."""


def measure(job: str, sizes: Sizes) -> Figures | None:
    """Do one job; `None` when there is nothing to measure. Raises `subprocess.CalledProcessError`."""
    if job not in AMOUNTS:
        return None
    with TemporaryDirectory() as folder:
        subprocess.run(["erlc", "-o", folder, str(SOURCE)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607
        amount = str(AMOUNTS[job](sizes.faster(10)))
        run = ["erl", "-noshell", "+P", "500000", "-pa", folder, "-run", "actors", "main", job, amount]
        done = subprocess.run(run, check=True, capture_output=True, text=True)  # noqa: S603
    return json.loads(done.stdout.splitlines()[-1])
