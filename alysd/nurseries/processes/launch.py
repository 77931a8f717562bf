"""Starts, ends and reaps the operating-system processes of children."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import trio

from alysd.nurseries.processes.progress import Progress, progress_file
from alysd.nurseries.processes.spec import ProcessSpec

ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
"""The environment variables that a process inherits: paths, language and time zone. None is a secret."""

PROGRAM = (
    "import json, sys; options = json.loads(sys.argv[1]); sys.path[:] = options['path']; "
    "from alysd.nurseries.processes.bootstrap import main; main(options)"
)
"""The program of the new process. It sets the parent's import path, so that it also works in a checkout."""

POLL_SECONDS = 0.002
"""The first wait for the end of a process; each next one is twice as long, at most 50 ms."""

REAP_SECONDS = 10.0
"""Seconds to wait for the end of a process after SIGKILL.

It takes milliseconds, unless the process waits for a disk that does not answer.
"""


class OperatingSystem:
    """Starts processes with a fresh interpreter."""

    def launch(self, spec: ProcessSpec, nursery: trio.Nursery) -> "OsProcess":  # noqa: ARG002
        """Start the process. It takes about a millisecond, in the thread of the event loop.

        Linux sends the signal of PR_SET_PDEATHSIG when the thread that started the process ends. A worker thread
        of trio ends after ten idle seconds.
        """
        with ExitStack() as inherited, ExitStack() as kept:
            here, there = socket.socketpair()
            kept.callback(here.close)
            inherited.callback(there.close)
            progress = progress_file()
            inherited.callback(os.close, progress)
            output, printed = os.pipe()
            kept.callback(os.close, output)
            inherited.callback(os.close, printed)
            options = {
                "path": [str(Path(each or ".").absolute()) for each in sys.path],
                "socket": there.fileno(),
                "progress": progress,
                "parent": os.getpid(),
                "memory": spec.limits.memory,
                "files": spec.limits.files,
                "nice": spec.limits.nice,
            }
            process = subprocess.Popen(  # noqa: S603  this interpreter, with a program that is a constant
                # Unbuffered, because what a process printed last is needed most when it was killed.
                [sys.executable, "-I", "-u", "-c", PROGRAM, json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=(there.fileno(), progress),
                start_new_session=True,
                cwd="/",
                env=_environment(spec),
            )
            kept.callback(process.wait)
            kept.callback(process.kill)
            here.setblocking(False)
            launched = OsProcess(process, here, Progress(progress), output)
            kept.pop_all()  # from here on, their owner is `launched`
            return launched


def _environment(spec: ProcessSpec) -> dict[str, str]:
    found = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return found | dict(spec.limits.environment)


class OsProcess:
    """A process, which leads a session and a process group of its own."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", end: socket.socket, progress: Progress, output: int
    ) -> None:
        self.socket = end
        self.progress = progress
        self.output: int | None = output
        self.process = process

    async def exited(self) -> None:
        """Wait until the process has ended: on Linux with pidfd_open(2), elsewhere for ever.

        The end of the socket alone is not enough: a process that this one has forked can hold it open.
        """
        if not hasattr(os, "pidfd_open"):  # macOS
            await trio.sleep_forever()
        if self.process.returncode is None:  # otherwise its id may be that of another process
            fd = os.pidfd_open(self.process.pid)
            try:
                await trio.lowlevel.wait_readable(fd)
            finally:
                os.close(fd)

    async def end(self, seconds: float) -> str:
        """Wait at most `seconds` for the end of the process, then kill its group. Returns how it ended."""
        if not await self._ended(seconds):
            # Before the process is reaped, no other process can have its id.
            os.killpg(self.process.pid, signal.SIGKILL)
            if not await self._ended(REAP_SECONDS):
                return f"process {self.process.pid} does not end after SIGKILL"
        return _described(self.process.returncode)

    async def _ended(self, seconds: float) -> bool:
        deadline, wait = trio.current_time() + seconds, POLL_SECONDS
        while not self._reaped():
            if trio.current_time() >= deadline:
                return False
            await trio.sleep(wait)
            wait = min(2 * wait, 0.05)
        return True

    def _reaped(self) -> bool:
        """Whether the process has ended. Kills what is left of its group before reaping it, which frees the id."""
        process = self.process
        if process.returncode is None:
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # macOS: no process of the group is left
                return process.poll() is not None
        return process.poll() is not None


def _described(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-status}"
