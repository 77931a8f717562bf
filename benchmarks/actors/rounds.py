"""Running the jobs: each in a process of its own, job by job, with all peers of a job one after the other.

The two figures of a ratio are about a second apart, so the load of the machine affects both.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.actors.measuring import Figures
from benchmarks.actors.peers import Peer
from benchmarks.actors.rows import Row, jobs_of
from benchmarks.actors.table import Round

JOB_SECONDS = 180.0
"""The timeout of one job: ten times the longest job, on a busy machine."""


class JobFailed(Exception):
    """A job gave no figures; the message has the end of its output."""


def run_job(peer: Peer, job: str, *, quick: bool) -> Figures:
    """Run one job in a new process. Raises `JobFailed`."""
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


def run_rounds(peers: Sequence[Peer], rows: Sequence[Row], rounds: int, *, quick: bool) -> Iterator[Round]:
    """Run the jobs of the rows with all peers `rounds` times; every other round takes the peers in reverse."""
    for number in range(rounds):
        figures: dict[str, Figures] = {peer.title: {} for peer in peers}
        for job in jobs_of(rows):
            for peer in peers if number % 2 == 0 else reversed(peers):
                figures[peer.title].update(run_job(peer, job, quick=quick))
        yield figures
