"""Reports the daemon's state to systemd (sd_notify(3)) over a datagram socket, without blocking."""

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that systemd names in the environment. Without a socket, calls do nothing.

    A message is dropped if the socket's buffer is full or has no reader, because the daemon must not wait for
    systemd. The watchdog message is sent three times in its interval, so that one lost message has no effect.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.watchdog_seconds = _watchdog_seconds(environment)
        """The seconds after the last `watchdog` call until systemd kills the process; None without a watchdog."""

    @property
    def present(self) -> bool:
        """Whether a service manager started this process."""
        return self._socket is not None

    def ready(self) -> None:
        """Report that the node is ready."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is being reloaded. `ready` ends the reload."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def watchdog(self) -> None:
        """Report that the event loop is running, which restarts the watchdog's interval."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that the node is shutting down and must not be restarted."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("STATUS=" + text.replace("\n", " "))

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            return  # the daemon must work without systemd; see the class


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's interval in seconds, if it is set for this process (sd_watchdog_enabled(3))."""
    interval, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not interval.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(interval) / 1e6 or None
