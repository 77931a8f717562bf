"""Running the jobs: each in a process of its own, the peers of one job one after the other, round by round.

A second lies between a peer's figure and the one it is divided by, so a machine that is busy is busy for both.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.actors.measuring import Figures
from benchmarks.actors.peers import Peer
from benchmarks.actors.rows import JOBS
from benchmarks.actors.table import Round

JOB_SECONDS = 180.0
"""For one job: ten times the longest, a hundred thousand actors, on a machine with other things to do."""


class JobFailed(Exception):
    """A job did not give its figures; says what it wrote last."""


def run_job(peer: Peer, job: str, *, quick: bool) -> Figures:
    """One job in a fresh process. Raises JobFailed."""
    command = [sys.executable, "-m", "benchmarks.actors.peers", peer.module, job]
    if quick:
        command.append("--quick")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=JOB_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise JobFailed(f"{peer.title}, {job}: not done after {JOB_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise JobFailed(f"{peer.title}, {job}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_rounds(peers: Sequence[Peer], rounds: int, *, quick: bool) -> Iterator[Round]:
    """All jobs of all peers, `rounds` times. Every other round goes through the peers backwards."""
    for number in range(rounds):
        figures: dict[str, Figures] = {peer.title: {} for peer in peers}
        for job in JOBS:
            for peer in peers if number % 2 == 0 else reversed(peers):
                figures[peer.title].update(run_job(peer, job, quick=quick))
        yield figures
