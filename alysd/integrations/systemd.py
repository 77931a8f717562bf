"""Reports the daemon's state to systemd (sd_notify(3)) over its datagram socket, without ever waiting."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that systemd names in the environment; without one, every call does nothing.

    A message is dropped when the socket's buffer is full or nobody reads it: the daemon must not stop because
    systemd does. The watchdog is fed every slot, so one lost message has no effect.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.watchdog_seconds = _watchdog_seconds(environment)
        """How long systemd waits for `watchdog` before it ends the process; None without a watchdog."""

    def ready(self) -> None:
        """The node can make blocks."""
        self._send("READY=1")

    def watchdog(self) -> None:
        """The node keeps its slots."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The node is shutting down and wants no restart for it."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
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
            return  # see the class: the daemon goes on without systemd


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The watchdog's interval, if it is meant for this process (sd_watchdog_enabled(3))."""
    interval, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not interval.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(interval) / 1e6 or None
