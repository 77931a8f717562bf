"""The peer host: this node's endpoint of the peer-to-peer network, between `ports.Gossip` and the node's actors.

In a node it runs in a process of its own, in a simulation beside the other actors. It knows nothing of the content
of gossip and requests: the network actor judges gossip, and the request server answers requests.
"""

import attrs
import trio

from alysd.errors import NotNow, PeerUnavailable
from alysd.messages.network import (
    GossipReceived,
    Network,
    PeerConnected,
    PeerLost,
    PeerRequests,
    RequestReceived,
)
from alysd.messages.peer_host import (
    ChangePeers,
    ConfirmChange,
    DisconnectPeer,
    PeerHost,
    PublishGossip,
    ReportPeers,
    SendRequest,
)
from alysd.nurseries import Actor, Address, Deferred, NotAnswered, Refusal, handles
from alysd.ports import Gossip
from alysd.types.peers import GossipVerdict, StreamKind, Topic

OPEN_REQUESTS = 32
"""The maximum number of open requests of this node. It is above the sum of the two bounds of `PeerClient`."""

JUDGE_SECONDS = 4.0
"""The longest wait for a verdict. It covers a restart of the network actor; a proposal is judged in some 0.1 s."""

ANSWER_SECONDS = 10.0
"""The longest wait for the answer to a peer's request: some 4 MiB of blocks are read from the database."""

REPORT_SECONDS = 5.0
"""The longest wait for room in the network actor's mailbox: it covers a restart of that actor."""


@attrs.frozen
class _Job:
    """A request that waits for its task."""

    message: SendRequest
    answer: Deferred[bytes]


class PeerHostActor(Actor[PeerHost]):
    """Runs `gossip` in its background, forwards the messages of peers, and sends those of this node."""

    def __init__(self, gossip: Gossip, network: Address[Network], requests: Address[PeerRequests]) -> None:
        self._gossip = gossip
        self._sink = _Sink(network, requests)
        self._send_job, self._jobs = trio.open_memory_channel[_Job](OPEN_REQUESTS)
        self._open = 0

    async def background(self) -> None:
        """Run the network, and one task per request, until the actor ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._gossip.run, self._sink)
            async for job in self._jobs:
                nursery.start_soon(self._request, job)

    async def pre_stop(self) -> None:
        """Report no losses from here on: the network actor stops too, and the host closes all connections."""
        self._sink.stopping = True

    @handles(PublishGossip)
    async def publish(self, message: PublishGossip) -> None:
        """Publish the data."""
        await self._gossip.publish(message.topic, message.data)

    @handles(SendRequest)
    async def send_request(self, message: SendRequest) -> Deferred[bytes]:
        """Begin the request. Its task answers the ask, so that requests do not wait for each other."""
        if self._open >= OPEN_REQUESTS:
            raise NotNow(f"{OPEN_REQUESTS} requests of this node are open already")
        answer = Deferred[bytes]()
        self._open += 1
        self._send_job.send_nowait(_Job(message, answer))
        return answer

    @handles(ReportPeers)
    async def report_peers(self, message: ReportPeers) -> None:
        """Tell the network actor of every connected peer."""
        for connected in tuple(self._sink.connections.values()):
            await self._sink.report(connected)

    @handles(DisconnectPeer)
    async def disconnect(self, message: DisconnectPeer) -> None:
        """Close the connection to the peer, and accept none from it for some time."""
        await self._gossip.disconnect(message.peer, message.seconds)

    @handles(ChangePeers)
    async def change_peers(self, message: ChangePeers) -> None:
        """Keep connections to other peers from now on."""
        await self._gossip.change_peers(message.peers, message.max_inbound)

    @handles(ConfirmChange)
    async def confirm_change(self, _message: ConfirmChange) -> None:
        """Answer: messages are handled one after the other."""

    async def _request(self, job: _Job) -> None:
        asked = job.message
        try:
            job.answer.reply(
                await self._gossip.request(asked.peer, asked.kind, asked.request, asked.max_bytes, asked.seconds)
            )
        except PeerUnavailable as error:
            job.answer.fail(error)
        finally:
            self._open -= 1


@attrs.define
class _Sink:
    """Forwards to the node's actors. An actor that does not answer costs a verdict or an answer, nothing else."""

    network: Address[Network]
    requests: Address[PeerRequests]
    connections: dict[str, PeerConnected] = attrs.field(factory=dict[str, PeerConnected])
    stopping: bool = False
    """Whether the peer host was asked to stop: the losses of all connections are not reported then."""

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        """Tell the network actor of the connection."""
        self.connections[peer] = PeerConnected(peer, address, inbound)
        await self.report(self.connections[peer])

    async def lost(self, peer: str) -> None:
        """Tell the network actor of the loss, unless the node stops."""
        self.connections.pop(peer, None)
        if not self.stopping:
            await self.report(PeerLost(peer))

    async def judge(self, peer: str, topic: Topic, data: bytes) -> GossipVerdict:
        """Ask the network actor. Without its answer the message is not passed on, and nobody is blamed."""
        try:
            return await self.network.ask(GossipReceived(peer, topic, data), seconds=JUDGE_SECONDS)
        except NotAnswered:
            return GossipVerdict.UNJUDGED

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        """Ask the request server. Raises its refusal, or `NotNow` if it does not answer."""
        try:
            return await self.requests.ask(RequestReceived(peer, kind, request), seconds=ANSWER_SECONDS)
        except (NotAnswered, Refusal) as error:  # a refusal of the runtime: the border to this process is busy
            raise NotNow(f"the node does not answer now: {error}") from error

    async def report(self, message: PeerConnected | PeerLost) -> None:
        """Send the message to the network actor. It is lost if there is no room for it in `REPORT_SECONDS`."""
        with trio.move_on_after(REPORT_SECONDS):
            try:
                await self.network.send(message)
            except NotAnswered:
                return  # the network actor is stopped, and the node with it
