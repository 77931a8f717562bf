"""The end of a run: the audit, until it has found all that the users have sent, and nothing is open."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from alysd.testing.components import Bitcoind
from benchmarks.federation.feeder import rpc_of
from benchmarks.federation.members import Federation
from benchmarks.peg.users import Users

END_SECONDS = 1_800.0
"""The longest wait for the end of all operations after the last request."""


def url_of(bitcoin: Bitcoind) -> str:
    """The URL of a Bitcoin node with its user and password."""
    return bitcoin.rpc_url.replace("://", f"://{bitcoin.user}:{bitcoin.password}@")


def has_ended(report: dict[str, Any], users: Users) -> bool:
    """Whether nothing is open or missing, and the audit has found all that the users have sent."""
    found = report["totals"]["minted"], report["totals"]["burned"]
    return report["equal"] and report["open"] == 0 and found == users.sums


async def until_ended(
    bitcoin: Bitcoind, running: Federation, users: Users, updates: Sequence[Path] = ()
) -> dict[str, Any]:
    """Audit repeatedly until all has ended, or until it takes too long; returns the last report.

    `updates` are the files of the changes of the federation.
    """
    command = [sys.executable, "-m", "alysd", "audit", "--json"]
    command += ["--chain", str(running.folder / "chain/chain.toml")]
    command += ["--bitcoin", url_of(bitcoin), "--ethereum", rpc_of(running.members[1])]
    for file in updates:
        command += ["--update", str(file)]
    report: dict[str, Any] = {}
    with trio.move_on_after(END_SECONDS):
        while not report or not has_ended(report, users):
            await trio.sleep(10)
            audit = await trio.run_process(command, capture_stdout=True, check=False)
            report = json.loads(audit.stdout) if audit.stdout else {}
    return report
