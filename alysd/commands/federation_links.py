"""The links between members of a federation on one machine: TCP forwarders that delay, throttle, stall and cut.

A member dials another one at the port of a `MemberRoute`, and the forwarder behind this port dials the other
member. The two routes of a pair share one `MemberLink`, so a fault of a pair affects both directions and all
connections.
"""

import math
import random
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial

import attrs
import trio

from alysd.errors import ConfigError

LOOPBACK = "127.0.0.1"

CHUNK_BYTES = 16 << 10
"""The largest number of bytes that are read at once."""

CHUNKS = 256
"""The maximum number of chunks on their way in one direction of a connection, 4 MiB. Then reading pauses."""

CONNECTIONS = 16
"""The maximum number of connections of a pair; further ones are closed at once. A pair needs one or two."""

CONNECT_SECONDS = 5.0
"""The time for which a new connection waits for a stalled link, or for a process that does not accept it."""


@attrs.define(eq=False)
class MemberLink:
    """The link of a pair of members. Every attribute can be changed at any time.

    Bytes take `delay` seconds, up to `jitter` more or less, and keep their order. At most `rate` bytes per second
    pass in each direction of a connection.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = math.inf
    rng: random.Random = attrs.field(factory=random.Random)
    _is_cut: bool = attrs.field(init=False, default=False)
    _passing: trio.Event = attrs.field(init=False, factory=trio.Event)
    _connections: set[trio.CancelScope] = attrs.field(init=False, factory=set[trio.CancelScope])

    def __attrs_post_init__(self) -> None:
        self._passing.set()

    @property
    def passing(self) -> bool:
        """Whether bytes may pass."""
        return self._passing.is_set() and not self._is_cut

    def stall(self) -> None:
        """Let no bytes pass, as a network that drops every packet. Open connections stay open."""
        if self._passing.is_set():
            self._passing = trio.Event()

    def cut(self) -> None:
        """Close all connections, and each new one, as a network that answers every packet with a reset."""
        self._is_cut = True
        for scope in self._connections:
            scope.cancel()

    def restore(self) -> None:
        """End `stall` and `cut`. The bytes on their way in a stalled connection arrive now."""
        self._is_cut = False
        self._passing.set()

    async def carry(self, near: trio.SocketStream, *, target: int) -> None:
        """Run a connection of one member, to the port `target` of the other, until either ends it."""
        async with near:
            if self._is_cut or len(self._connections) >= CONNECTIONS:
                return
            with trio.CancelScope() as scope:
                self._connections.add(scope)
                try:
                    await self._join(near, target)
                finally:
                    self._connections.discard(scope)

    async def _join(self, near: trio.SocketStream, target: int) -> None:
        far = None
        with trio.move_on_after(CONNECT_SECONDS), suppress(OSError):  # the other member may not run
            await self._passed()
            far = await trio.open_tcp_stream(LOOPBACK, target)
        if far is None:
            return
        async with far, trio.open_nursery() as nursery:
            for source, sink in ((near, far), (far, near)):
                send, line = trio.open_memory_channel[tuple[float, bytes]](CHUNKS)
                nursery.start_soon(self._read, source, send)
                nursery.start_soon(self._write, line, sink, nursery.cancel_scope)

    async def _read(self, source: trio.SocketStream, line: "trio.MemorySendChannel[tuple[float, bytes]]") -> None:
        """Put the bytes that arrive on the line, with the time at which it leaves the line."""
        free = leaves = trio.current_time()
        async with line:
            while data := await _received(source):
                free = max(free, trio.current_time()) + len(data) / self.rate
                leaves = max(leaves, free + self.delay + self.rng.uniform(-self.jitter, self.jitter))
                await line.send((leaves, data))

    async def _write(
        self,
        line: "trio.MemoryReceiveChannel[tuple[float, bytes]]",
        sink: trio.SocketStream,
        connection: trio.CancelScope,
    ) -> None:
        """Send the bytes that leave the line. The end of one direction ends the connection."""
        with suppress(trio.BrokenResourceError):  # the member has closed the connection
            async for leaves, data in line:
                await trio.sleep_until(leaves)
                await self._passed()
                await sink.send_all(data)
        connection.cancel()

    async def _passed(self) -> None:
        """Wait until bytes may pass."""
        while not self._passing.is_set():
            await self._passing.wait()


async def _received(source: trio.SocketStream) -> bytes:
    """The next bytes; none at the end of the connection, however it ended."""
    try:
        return await source.receive_some(CHUNK_BYTES)
    except trio.BrokenResourceError:
        return b""


@attrs.frozen
class MemberRoute:
    """The way from member `near` to member `far`: `near` dials `port`, and `far` listens on `target`."""

    near: int
    far: int
    port: int
    target: int


class Links:
    """The links of a federation, one for each pair of members. Members are numbered from 1."""

    def __init__(
        self, routes: Sequence[MemberRoute], delay: float = 0.0, jitter: float = 0.0, seed: int = 0
    ) -> None:
        self._routes = routes
        self._links = {
            pair: MemberLink(delay, jitter, rng=random.Random(f"{seed} {sorted(pair)}"))  # noqa: S311  no secrets
            for pair in {frozenset((route.near, route.far)) for route in routes}
        }
        self.members = tuple(sorted({end for route in routes for end in (route.near, route.far)}))
        self.divided: tuple[tuple[int, ...], ...] = ()
        self._listeners: list[tuple[MemberRoute, list[trio.SocketListener]]] = []

    def between(self, one: int, other: int) -> MemberLink:
        """The link of two members."""
        return self._links[frozenset((one, other))]

    def divide(self, side: Collection[int]) -> None:
        """Stall the links between the members of one side and all others, and restore all other links."""
        for pair, link in self._links.items():
            if len(pair & frozenset(side)) == 1:
                link.stall()
            else:
                link.restore()
        sides = (
            tuple(member for member in self.members if member in side),
            tuple(member for member in self.members if member not in side),
        )
        self.divided = sides if all(sides) else ()

    def heal(self) -> None:
        """Restore all links."""
        self.divide(())

    async def open(self) -> None:
        """Listen on the ports of all routes. Raises `ConfigError` if one of them is in use."""
        for route in self._routes:
            try:
                listeners = await trio.open_tcp_listeners(route.port, host=LOOPBACK)
            except OSError as error:
                raise ConfigError(
                    f"port {route.port}, at which member {route.near} reaches member {route.far}, cannot be used: "
                    f"{error.strerror}"
                ) from None
            self._listeners.append((route, listeners))

    async def run(self) -> None:
        """Run the forwarders, until cancelled. Call `open` before."""
        async with trio.open_nursery() as nursery:
            for route, listeners in self._listeners:
                handler = partial(self.between(route.near, route.far).carry, target=route.target)
                nursery.start_soon(trio.serve_listeners, handler, listeners)
