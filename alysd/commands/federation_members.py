"""The processes of a federation on one machine: each member is a child process of `alysd federation`."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import attrs
import trio

from alysd.commands.federation_files import MemberFolder
from alysd.commands.federation_links import Links, MemberRoute

STOP_SECONDS = 30.0
"""Seconds after which a member that was asked to stop is killed.

A node stops within five seconds, but here many nodes share one machine."""

POLL_SECONDS = 0.05
"""Seconds between two checks whether a process has ended."""

PROGRAM = (
    "import ctypes, os, sys; "
    "sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9, 0, 0, 0); "
    "os.getppid() == int(sys.argv.pop(1)) or sys.exit(1); "
    "from alysd.cli import program; program()"
)
"""The program of a member's process: `alysd`, which Linux kills when this process ends in any way.

PR_SET_PDEATHSIG is 1 and SIGKILL is 9. If this process ended before that call, the process has another parent."""


@attrs.define(eq=False)
class MemberProcess:
    """One member, whose process can be started, killed, paused and continued."""

    files: MemberFolder
    paused: bool = False
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def state(self) -> str:
        """`not started`, `running`, `paused`, or how the process has ended."""
        status = None if self._process is None else self._process.poll()
        if self._process is None:
            return "not started"
        if status is None:
            return "paused" if self.paused else "running"
        return f"killed by signal {-status}" if status < 0 else f"ended ({status})"

    @property
    def alive(self) -> bool:
        """Whether there is a process, running or paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the node, unless it runs. Call this in the main thread: Linux ends the process with the thread.

        Its process group is its own, so that Ctrl-C in the terminal reaches only this program.
        """
        if self.alive:
            return
        with self.files.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  this program
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        self.paused = False

    def command(self) -> list[str]:
        """The command line of the process."""
        return [sys.executable, "-c", PROGRAM, str(os.getpid()), "run", "--config", str(self.files.config)]

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the process without ending it: its peers and clients get no answers."""
        self._signal(signal.SIGSTOP)
        self.paused = self.alive

    def resume(self) -> None:
        """Continue a paused process."""
        self._signal(signal.SIGCONT)
        self.paused = False

    def ask_to_stop(self) -> None:
        """Ask the node to stop in order, also if it is paused."""
        self._signal(signal.SIGTERM)
        self.resume()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(number)


def links_of(members: Sequence[MemberFolder], delay: float, jitter: float) -> Links:
    """The links between the members. Bytes take `delay` seconds, up to `jitter` more or less."""
    targets = {member.number: member.network for member in members}
    routes = [
        MemberRoute(member.number, far, port, targets[far])
        for member in members
        for far, port in member.dials.items()
    ]
    return Links(routes, delay, jitter)


async def stop_all(members: Sequence[MemberProcess]) -> None:
    """Stop all members in order, at the same time; kill those that take longer than `STOP_SECONDS`.

    Cancellation does not interrupt this: no process is left behind.
    """
    with trio.CancelScope(shield=True):
        for member in members:
            member.ask_to_stop()
        with trio.move_on_after(STOP_SECONDS):
            await _ended(members)
        for member in members:
            member.kill()
        await _ended(members)


async def _ended(members: Sequence[MemberProcess]) -> None:
    while any(member.alive for member in members):  # noqa: ASYNC110  a process has no event to wait for
        await trio.sleep(POLL_SECONDS)
