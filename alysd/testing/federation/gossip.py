"""One endpoint of a simulated network, which implements the port of the real network."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from alysd.errors import AlysError, NotNow, PeerBusy, PeerUnavailable
from alysd.nurseries import NotAnswered
from alysd.ports import GossipSink
from alysd.testing.federation.links import Link
from alysd.types.peers import GossipVerdict, PeerAddress, StreamKind, Topic

if TYPE_CHECKING:
    from alysd.testing.federation.network import SimulatedNetwork

SEEN_MESSAGES = 4096
"""The number of messages that an endpoint remembers, so that it judges and forwards each of them once."""

JUDGED_AT_ONCE = 256
"""The largest number of messages that wait for their verdict. An endpoint drops further ones."""


@attrs.frozen
class GossipMessage:
    """A gossip message. One that is `repeated` is judged even if the endpoint has seen it before."""

    topic: Topic
    data: bytes
    repeated: bool = False


@attrs.define
class Traffic:
    """The gossip and the requests that an endpoint has sent: numbers of messages, and bytes without framing."""

    messages: int = 0
    bytes: int = 0
    requests: int = 0
    answered_bytes: int = 0


@attrs.define(eq=False)
class SimulatedGossip:
    """Implements `alysd.ports.Gossip` over `network`. `links` are this endpoint's links by the peer's name."""

    name: str
    network: "SimulatedNetwork"
    links: dict[str, Link] = attrs.field(factory=dict[str, Link])
    traffic: Traffic = attrs.field(factory=Traffic)
    _sink: GossipSink | None = None
    _start: Callable[[Callable[[], Awaitable[None]]], object] | None = None
    _notices: trio.MemorySendChannel[Callable[[], Awaitable[None]]] | None = None
    _seen: dict[tuple[Topic, bytes], None] = attrs.field(factory=dict[tuple[Topic, bytes], None])
    _judging: int = 0

    @property
    def online(self) -> bool:
        """Whether `run` runs."""
        return self._sink is not None

    async def run(self, sink: GossipSink) -> None:
        """Connect to the linked endpoints until cancelled, and call `sink`."""
        notices, due = trio.open_memory_channel[Callable[[], Awaitable[None]]](float("inf"))
        try:
            async with trio.open_nursery() as nursery:
                self._sink, self._notices = sink, notices
                # Messages arrive in a task of the network, but are judged on this machine.
                self._start = partial(copy_context().run, nursery.start_soon)
                for link in self.links.values():
                    self.network.dial(link)
                async for notice in due:
                    await notice()
        finally:
            self._seen.clear()
            for link in self.links.values():
                self.network.disconnect(link)
            self.unplug()

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Send `data` to all nodes that listen to `topic`. Nothing says whether any received it."""
        self.send(topic, data, list(self.links))
        await trio.lowlevel.checkpoint()

    def send(self, topic: Topic, data: bytes, peers: Iterable[str]) -> None:
        """Send `data` to these peers. Each passes it on if its node accepts it."""
        message = GossipMessage(topic, data)
        self._remember(message)
        for peer in peers:
            self._send_to(peer, message)

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        """Send a request to `peer` and return its answer, at most `max_bytes`.

        Raises `PeerUnavailable` when the peer is not connected, refuses, or does not answer within `seconds`, and
        `PeerBusy` when it is busy.
        """
        link = self.links.get(peer)
        if link is None or not link.connected:
            raise PeerUnavailable(peer, "not connected")
        self.traffic.requests += 1
        with trio.move_on_after(seconds):
            await self._cross(link, self.name, len(request))
            answer = await self.network.endpoints[peer].answer(self.name, kind, request)
            await self._cross(link, peer, len(answer))
            if len(answer) > max_bytes:
                raise PeerUnavailable(peer, f"its answer has {len(answer)} bytes, more than {max_bytes}")
            return answer
        raise PeerUnavailable(peer, f"no answer within {seconds:g} s")

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Close the connection to `peer`, and accept none from it for `seconds`."""
        if (link := self.links.get(peer)) is not None:
            link.refused_until = trio.current_time() + seconds
            self.network.disconnect(link)
            self.network.dial(link)
        await trio.lowlevel.checkpoint()

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        """Keep the links to these peers only. A simulated network has no strangers."""
        named = {address.peer for address in peers}
        for name, link in self.links.items():
            if name in named:
                link.refused_by.discard(self.name)
                self.network.dial(link)
            else:
                link.refused_by.add(self.name)
                self.network.disconnect(link)
        await trio.lowlevel.checkpoint()

    # Called by the network and by other endpoints

    def unplug(self) -> None:
        """Cut the node off at once and without notice to it, as when its machine loses power."""
        self._sink = self._start = self._notices = None

    def notice_connection(self, peer: str, *, inbound: bool) -> None:
        """Tell the node of a new connection."""
        if self._sink is not None and self._notices is not None:
            sink = self._sink
            self._notices.send_nowait(lambda: sink.connected(peer, f"/simulated/{peer}", inbound=inbound))

    def notice_loss(self, peer: str) -> None:
        """Tell the node that a connection was lost."""
        if self._sink is not None and self._notices is not None:
            sink = self._sink
            self._notices.send_nowait(lambda: sink.lost(peer))

    def receive(self, peer: str, message: GossipMessage) -> None:
        """Take a message that `peer` has sent: let the node judge it, and forward it if the node accepts it."""
        key = (message.topic, message.data)
        sink, first = self._sink, key not in self._seen
        if sink is None or self._start is None or self._judging >= JUDGED_AT_ONCE:
            return
        if not first and not message.repeated:
            return
        self._remember(message)

        async def judge() -> None:
            self._judging += 1
            try:
                verdict = await sink.judge(peer, message.topic, message.data)
            finally:
                self._judging -= 1
            if verdict is GossipVerdict.ACCEPT and first:
                self._forward(message, peer)
            elif verdict is GossipVerdict.UNJUDGED:
                self._seen.pop(key, None)

        self._start(judge)

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        """The node's answer to a request of `peer`. Raises `PeerUnavailable` when there is none."""
        if self._sink is None:
            raise PeerUnavailable(self.name, "the connection was lost")
        try:
            answer = await self._sink.answer(peer, kind, request)
        except (NotNow, NotAnswered) as error:
            raise PeerBusy(self.name, f"busy: {error}") from error
        except AlysError as error:
            raise PeerUnavailable(self.name, f"it refused: {error}") from error
        self.traffic.answered_bytes += len(answer)
        return answer

    def _forward(self, message: GossipMessage, source: str) -> None:
        for peer in self.links:
            if peer != source:
                self._send_to(peer, message)

    def _send_to(self, peer: str, message: GossipMessage) -> None:
        link = self.links.get(peer)
        if link is not None and link.connected:
            self.traffic.messages += 1
            self.traffic.bytes += len(message.data)
            self.network.send(link, self.name, message)

    def _remember(self, message: GossipMessage) -> None:
        self._seen[message.topic, message.data] = None
        if len(self._seen) > SEEN_MESSAGES:
            del self._seen[next(iter(self._seen))]

    async def _cross(self, link: Link, sender: str, size: int) -> None:
        """Wait until a message has crossed the link: for ever while the link is cut or not connected."""
        await trio.sleep(link.delay(sender, size, trio.current_time(), self.network.choices))
        if link.cut or not link.connected:
            await trio.sleep_forever()
