"""Children in processes of their own, run in the test's process and on virtual time, and faults for them.

    double = ProcessDouble()
    async with harness.running(double.intercept(process(...))):
        double.kill("peers")

Both sides of the connection are real: the codec, the socket pair, the credit. Only the operating-system process is
missing: limits of resources do not apply, and the actor's output is not captured.
"""

import logging
import os
import socket
from contextlib import suppress
from typing import TypeVar, cast

import attrs
import trio

from alysd.nurseries import ChildSpec, SupervisorSpec
from alysd.nurseries.isolation import isolated_exit
from alysd.nurseries.processes.host import host
from alysd.nurseries.processes.progress import Progress, progress_file
from alysd.nurseries.processes.spec import ProcessSpec

logger = logging.getLogger(__name__)

Spec = TypeVar("Spec", bound=ChildSpec)

CHUNK_BYTES = 1 << 12
"""The largest number of bytes that the pipe carries at once, so that slow pipes and hangs cut frames anywhere."""


class ProcessDouble:
    """Starts the processes of the children whose specs were passed through `intercept`."""

    def __init__(self) -> None:
        self.started = 0
        self._running: dict[str, DoubleProcess] = {}

    def intercept(self, spec: Spec) -> Spec:
        """The same tree, but its processes are started by this double."""
        match spec:
            case ProcessSpec():
                return cast(Spec, attrs.evolve(spec, launcher=self))
            case SupervisorSpec():
                return cast(Spec, attrs.evolve(spec, children=tuple(map(self.intercept, spec.children))))
            case _:
                return spec

    def launch(self, spec: ProcessSpec, nursery: trio.Nursery) -> "DoubleProcess":
        """Start the child's actor in a task."""
        self.started += 1
        process = self._running[spec.name] = DoubleProcess()
        nursery.start_soon(process.run, name=f"process of {spec.name}")
        return process

    def runs(self, name: str) -> bool:
        """Whether the child `name` has a process that this double has started. The process may have ended."""
        return name in self._running

    def kill(self, name: str) -> None:
        """End the process of the child `name` at once, whatever it is doing, as SIGKILL does."""
        self._running[name].kill()

    def hang(self, name: str) -> None:
        """Let no bytes pass until `resume` or until the process is replaced, as SIGSTOP does."""
        self._running[name].pass_on = trio.Event()

    def resume(self, name: str) -> None:
        """End a hang."""
        self._running[name].pass_on.set()

    def slow_down(self, name: str, seconds: float) -> None:
        """Take `seconds` for each 4 KiB in either direction."""
        self._running[name].chunk_seconds = seconds

    def progress(self, name: str) -> Progress:
        """The progress that the process of the child `name` has reported, as the parent reads it."""
        return self._running[name].progress

    def inject(self, name: str, data: bytes) -> None:
        """Have the parent receive bytes that the actor did not send."""
        self._running[name].far.send(data)


class DoubleProcess:
    """A stand-in for one process: the actor, and a pipe between two socket pairs."""

    def __init__(self) -> None:
        self.output: int | None = None
        fd = progress_file()
        self.progress, self._progress = Progress(fd), Progress(fd)
        os.close(fd)
        self.socket, self.far = socket.socketpair()
        self._near, self._actor = socket.socketpair()
        for each in (self.socket, self.far, self._near, self._actor):
            each.setblocking(False)
        self.pass_on = trio.Event()
        self.pass_on.set()
        self.chunk_seconds = 0.0
        self._how = "exit status 0"
        self._alive = trio.CancelScope()
        self._pipe = trio.CancelScope()
        self._ended = trio.Event()

    async def run(self) -> None:
        """Run the actor and the pipe until both have ended."""
        with trio.CancelScope(shield=True), self._pipe:  # as a process, it ends by itself or when it is killed
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, self.far, self._near)
                nursery.start_soon(self._carry, self._near, self.far)
                await self._host()
                self._actor.close()
        for each in (self.far, self._near, self._actor):
            each.close()
        self._progress.close()
        self._ended.set()

    async def exited(self) -> None:
        """Wait for ever: no other process holds the socket, so its end is the end of the actor."""
        await trio.sleep_forever()

    async def end(self, seconds: float) -> str:
        """Wait at most `seconds` for the end of the actor, then kill it. Returns how it ended."""
        with trio.move_on_after(seconds):
            await self._ended.wait()
        self.kill()
        self._pipe.cancel()
        await self._ended.wait()
        return self._how

    def kill(self) -> None:
        """Cancel the actor, unless it has ended. Messages that it has sent arrive, even if it hangs or is slow."""
        if self._actor.fileno() >= 0:
            self._how = "killed by SIGKILL"
            self._alive.cancel()
            self.pass_on.set()
            self.chunk_seconds = 0.0

    async def _host(self) -> None:
        with self._alive:
            status = await isolated_exit(_log, host, self._actor, self._progress)
            self._how = f"exit status {status}"

    async def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # the target has been closed
            while True:
                await trio.lowlevel.wait_readable(source)
                await self.pass_on.wait()
                await trio.sleep(self.chunk_seconds)
                data = source.recv(CHUNK_BYTES)
                if not data:
                    break
                await _send_all(target, data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _log(error: BaseException) -> None:
    logger.info("the actor ended with %r", error)


async def _send_all(target: socket.socket, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[target.send(left) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(target)
