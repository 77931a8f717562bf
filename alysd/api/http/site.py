"""The site of a port: its routes, its WebSocket, and the host names by which clients may call it."""

import ipaddress
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Literal

import attrs

from alysd.api.http.messages import HttpRefused, Request, Response
from alysd.api.http.websocket import WebSocket

Handler = Callable[[Request], Awaitable[Response]]
SocketHandler = Callable[[WebSocket], Awaitable[None]]


@attrs.frozen
class Route:
    """One HTTP method of a path. The `operator`'s pages have their own limit (`ServerLimits.operator`)."""

    method: Literal["GET", "POST"]
    call: Handler
    operator: bool = False


class HostNames(Container[str]):
    """The host names by which clients may call the ports of a node. They can change while the servers run."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)

    def use(self, names: Iterable[str]) -> None:
        """Allow `names` from the next request on, and no others."""
        self._names = frozenset(names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


@attrs.frozen
class Site:
    """The routes and WebSockets of a port by path.

    With `any_origin`, web pages of any origin may use the port (CORS); without it, only the port's own pages and
    those of a host in `names`. `names` are the host names, besides IP addresses and `localhost`, by which clients
    may call the port.
    """

    routes: Mapping[str, Route]
    sockets: Mapping[str, SocketHandler] = attrs.field(factory=dict[str, SocketHandler])
    any_origin: bool = False
    names: Container[str] = HostNames()

    def check_host(self, host: bytes | None) -> None:
        """Refuse a request with a host name that is not the node's, which protects against DNS rebinding.

        A malicious web page can bind its own host name to the node's address, and then read the node's answers,
        because its browser takes both for the same origin. IP addresses cannot be rebound. Browsers always send a
        Host header.
        """
        if host is not None and not _is_local(host):
            name = _without_port(host)
            if name not in self.names:
                words = f"this node is not {name[:100]}: use its IP address, or add the name to api.allowed_hosts"
                raise HttpRefused(421, words)

    def check_origin(self, origin: bytes | None, host: bytes | None) -> None:
        """Refuse a request that a web page of another origin sends. Only browsers send an Origin header.

        A browser hides the response from such a page, but sends a POST of plain text without asking (Fetch
        standard, "CORS protocol"), and the request would be executed.
        """
        if origin is None or self.any_origin:
            return
        authority = origin.partition(b"://")[2].lower()
        if not authority or (authority != (host or b"").lower() and _without_port(authority) not in self.names):
            page = origin.decode("latin-1")[:100]
            words = f"web pages of {page} may not use this port: add their host name to api.allowed_hosts"
            raise HttpRefused(403, words)

    def find(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Route:
        """The route of a request. Raises `HttpRefused`."""
        route = self.routes.get(path)
        if method == "OPTIONS" and self.any_origin and b"access-control-request-method" in headers:
            return PREFLIGHT
        if route is None:
            raise HttpRefused(404, "there is no such page")
        allowed = ("GET", "HEAD") if route.method == "GET" else ("POST",)
        if method not in allowed:
            raise HttpRefused(405, f"this page does not allow {method[:20]}", {"allow": ", ".join(allowed)})
        return route

    def socket(self, path: str, headers: Mapping[bytes, bytes]) -> SocketHandler | None:
        """The handler for a request to open a WebSocket; None for other requests, and for a path without one."""
        if headers.get(b"upgrade", b"").lower() != b"websocket":
            return None
        return self.sockets.get(path)


async def _preflight(request: Request) -> Response:
    """Allow a page of any origin to send a request (Fetch standard, "CORS protocol"; Private Network Access)."""
    asked = request.headers.get(b"access-control-request-headers", b"content-type").decode("latin-1")
    headers = {
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": asked,
        "access-control-max-age": "600",
    }
    if request.headers.get(b"access-control-request-private-network") == b"true":
        headers["access-control-allow-private-network"] = "true"
    return Response(status=204, headers=headers)


PREFLIGHT = Route("POST", _preflight)


def _without_port(host: bytes) -> str:
    name = host.decode("latin-1").lower()
    bare, colon, port = name.rpartition(":")
    return (bare if colon and port.isdecimal() else name).removesuffix(".")


@lru_cache(256)
def _is_local(host: bytes) -> bool:
    """Whether a Host header has an IP address, `localhost`, or a name under `.localhost` (RFC 6761, 6.3)."""
    name = _without_port(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError:
        return False
    return True
