"""All bounds and deadlines of a server, in bytes and seconds."""

import attrs

MAX_BODY = 5 * 1024 * 1024
"""The maximum size, in bytes, of a request's body, as in geth. A transaction of 128 KiB is 256 KiB of hex."""


@attrs.frozen
class ServerLimits:
    """The limits of one port."""

    rpc: int = 256
    """The maximum number of requests that run at the same time. Further requests get 503."""

    operator: int = 16
    """The maximum number of requests for the operator's pages that run at the same time.

    They do not count towards `rpc`, so that RPC clients cannot block the pages.
    """

    waiting: int = 32
    """The number of connections that a port accepts beyond the sum of `rpc` and `operator`.

    A full port thus has connections without a running request. Of these, the connection that has waited longest,
    for a request or for its client to receive a response, is closed for a new connection.
    """

    turns: int = 8
    """The number of requests, or items of batches, that may begin per pass of the event loop: about 1 ms of work.

    The others wait in line. Without this limit, 256 clients delayed each step of a block by 50 ms.
    """

    head: int = 16 * 1024
    """The maximum size of a request's head. Clients send less than 1 KiB, browsers with cookies up to 8 KiB."""

    headers: int = 100
    """The maximum number of headers of a request. Each costs some microseconds."""

    body: int = MAX_BODY
    """The maximum size of a request's body, or of a WebSocket message."""

    pieces: int = 2048
    """The maximum number of chunks of a body, or frames of a WebSocket message. Each costs some microseconds."""

    bodies: int = 64 * 1024 * 1024
    """The maximum total size of all bodies and messages being received, a dozen of the largest. Others get 503."""

    request: float = 10.0
    """Deadline from the first to the last byte of a request or a WebSocket message: 5 MiB at 4 Mbit/s."""

    keep_alive: float = 75.0
    """The time after which a connection without a request is closed. Proxies reuse a connection for 60 s."""

    responses: int = 64 * 1024 * 1024
    """The maximum total size of all responses being sent, and of the answers of unfinished batches.

    When it is exceeded, the connections that have waited longest are closed.
    """

    send: float = 10.0
    """The total time by which a connection's responses may take longer than at `send_rate`.

    Each second in which no response is being sent gives the connection back one second of this time.
    """

    send_rate: int = 512 * 1024
    """Bytes per second that a client must receive: 4 Mbit/s, at which the largest response takes 50 s."""

    linger: float = 1.0
    """The time for a client to receive a refusal before its connection is closed."""

    ping: float = 20.0
    """The interval of pings on a WebSocket. A client that sends nothing between two pings counts as gone."""

    drain: float = 0.8
    """The time that running requests get when the server stops.

    The time is less than `Timing.server_stop`, so that the server stops within a second."""

    gzip: int = 16 * 1024
    """The size from which a response is compressed, for clients that accept it."""

    in_place: int = 64 * 1024
    """The size up to which a response is compressed in the event loop, in under a millisecond."""


LIMITS = ServerLimits()
