"""The interface between a child and its launcher: the operating system, or a test in the same process."""

from socket import socket
from typing import TYPE_CHECKING, Protocol

import trio

from alysd.nurseries.processes.progress import Progress

if TYPE_CHECKING:
    from alysd.nurseries.processes.spec import ProcessSpec


class Launched(Protocol):
    """A started process."""

    socket: socket
    """The parent's end of the socket pair, non-blocking. The owner of this value closes the socket."""
    progress: Progress
    output: int | None
    """The file descriptor of the process's output, or `None`. The owner of this value closes it."""

    async def exited(self) -> None:
        """Wait until the process has ended. The bytes that it has sent can still be read from the socket.

        Waits for ever on a system that cannot report the end. Only the end of the socket then shows it.
        """
        ...

    async def end(self, seconds: float) -> str:
        """Wait at most `seconds` for the process to end, then kill it with all that it started, and reap it.

        Returns how it ended. Further calls return the same. The caller shields the call from cancellation.
        """
        ...


class Launcher(Protocol):
    """Starts processes."""

    def launch(self, spec: "ProcessSpec", nursery: trio.Nursery) -> Launched:
        """Start a process for the child. Raises `OSError` when the system cannot start one."""
        ...
