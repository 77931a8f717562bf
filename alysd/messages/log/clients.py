"""Log lines about the clients of the node's ports. `port` is `alys`, `ethereum` or `operator`."""

import logging
import traceback
from collections.abc import Sequence

import attrs

from alysd.messages.log.base import LogEvent, counted


@attrs.frozen
class RequestFailed(LogEvent):
    """An error in this program ended a request or a connection. `exception` is the traceback."""

    name = "request_failed"
    level = logging.ERROR

    port: str
    error: str
    exception: str

    @classmethod
    def of(cls, port: str, error: Exception) -> "RequestFailed":
        """The event for an error."""
        return cls(port, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))

    def _line(self) -> tuple[str, str]:
        return self.port, f"a request failed: {self.error}"

    def _more(self) -> Sequence[str]:
        return self.exception.splitlines()


@attrs.frozen
class ClientsTurnedAway(LogEvent):
    """A port has more clients than places, or slow clients.

    The numbers count since the last such line, which is at least a minute old. `gave_way` connections were closed
    to make room for new ones. `busy` requests were answered with 503. `slow` connections were closed because their
    clients received too slowly.
    """

    name = "clients_turned_away"
    level = logging.WARNING

    port: str
    gave_way: int
    busy: int
    slow: int

    def _line(self) -> tuple[str, str]:
        waiting, slow = counted(self.gave_way, "waiting connection"), counted(self.slow, "slow client")
        return self.port, f"too many clients: closed {waiting} and {slow}, refused {counted(self.busy, 'request')}"
