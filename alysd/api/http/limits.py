"""All bounds and deadlines of a server, in bytes and seconds."""

import attrs

MAX_BODY = 5 * 1024 * 1024
"""Bytes of a request's body, as in geth. A transaction of 128 KiB is 256 KiB of hex."""


@attrs.frozen
class ServerLimits:
    """What one port grants its clients."""

    rpc: int = 256
    """Requests that run at the same time, including those whose response is being sent. Others get 503."""

    operator: int = 16
    """The same for the operator's pages, which have places of their own: RPC clients cannot take them."""

    waiting: int = 32
    """Connections beyond `rpc` and `operator`. So there always is one without a running request, and the one that
    has waited longest gives way to a newcomer."""

    head: int = 16 * 1024
    """Bytes of a request's head. Clients send less than 1 KiB, browsers with cookies up to 8 KiB."""

    headers: int = 100
    """Headers of a request: each costs some microseconds."""

    body: int = MAX_BODY
    """Bytes of a request's body, or of a WebSocket message."""

    pieces: int = 2048
    """Chunks of a body, or frames of a WebSocket message: each costs some microseconds, however short it is."""

    bodies: int = 64 * 1024 * 1024
    """Bytes of all bodies and messages that are being received: a dozen of the largest. Others get 503."""

    request: float = 10.0
    """From the first byte of a request or a WebSocket message to its last: 5 MiB at 4 Mbit/s."""

    keep_alive: float = 75.0
    """Without a request. Proxies reuse a connection for 60 s."""

    send: float = 10.0
    """For a response to be taken. Loopback and LAN take the largest one in under a second."""

    linger: float = 1.0
    """For a client to take a refusal before its connection is closed."""

    ping: float = 20.0
    """Between pings on a WebSocket. A client that sends nothing between two pings has gone."""

    drain: float = 0.8
    """For requests that run when the server stops, so that it stops within a second. Less than
    `Timing.server_stop`."""

    gzip: int = 16 * 1024
    """Bytes from which a response is compressed, for clients that ask for it."""

    in_place: int = 64 * 1024
    """Bytes up to which a response is compressed without a thread, in under a millisecond."""


LIMITS = ServerLimits()
