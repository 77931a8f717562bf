"""The peer host: it forwards between the peer-to-peer network and the node's actors, and waits for neither."""

from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from alysd.actors.peer_host import JUDGE_SECONDS, OPEN_REQUESTS, PeerHostActor
from alysd.errors import Malformed, NotNow, PeerUnavailable
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
from alysd.node import REFUSALS
from alysd.nurseries import Address, Immediate, actor
from alysd.ports import GossipSink
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.types.peers import GossipVerdict, PeerAddress, StreamKind, Topic


@attrs.define
class ScriptedGossip:
    """A network without peers. The test calls `sink` as peers would; `answer` is what a peer answers."""

    sink: GossipSink | None = None
    published: list[tuple[Topic, bytes]] = attrs.field(factory=list[tuple[Topic, bytes]])
    disconnected: list[tuple[str, float]] = attrs.field(factory=list[tuple[str, float]])
    changes: list[tuple[tuple[PeerAddress, ...], int]] = attrs.field(
        factory=list[tuple[tuple[PeerAddress, ...], int]]
    )
    open: int = 0
    release: trio.Event = attrs.field(factory=trio.Event)
    failure: Exception | None = None
    connected: list[str] = attrs.field(factory=list[str])
    broken: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, sink: GossipSink) -> None:
        self.sink = sink
        try:
            await self.broken.wait()
        finally:
            with trio.CancelScope(shield=True):
                for peer in self.connected:
                    await sink.lost(peer)
        self.broken = trio.Event()
        raise OSError("the network is broken")

    async def publish(self, topic: Topic, data: bytes) -> None:
        self.published.append((topic, data))

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        self.open += 1
        try:
            await self.release.wait()
        finally:
            self.open -= 1
        if self.failure is not None:
            raise self.failure
        return request * 2

    async def disconnect(self, peer: str, seconds: float) -> None:
        self.disconnected.append((peer, seconds))

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        self.changes.append((tuple(peers), max_inbound))


class Parts:
    """A peer host over a scripted network, between two stand-ins."""

    def __init__(self) -> None:
        self.harness = ActorTestHarness(refusals=REFUSALS)
        self.gossip = ScriptedGossip()
        self.network = StandIn[Network]("network", self.harness.transcript)
        self.requests = StandIn[PeerRequests]("peer requests", self.harness.transcript)
        self.host: Address[PeerHost] = RecordedAddress("peer host", self.harness.transcript)
        self.child = actor(
            self.host, lambda: PeerHostActor(self.gossip, self.network, self.requests), restart=Immediate()
        )

    async def sink(self) -> GossipSink:
        await trio.testing.wait_all_tasks_blocked()
        assert self.gossip.sink is not None
        return self.gossip.sink


def status(peer: str = "p1") -> SendRequest:
    return SendRequest(peer, StreamKind.STATUS, b"ab", 100, 5.0)


async def test_connections_gossip_and_requests_of_peers_reach_the_actors(autojump_clock: MockClock) -> None:
    parts = Parts()
    parts.network.on(PeerConnected).answers(None)
    parts.network.on(PeerLost).answers(None)
    parts.network.on(GossipReceived).answers(GossipVerdict.ACCEPT, GossipVerdict.REJECT)
    parts.requests.on(RequestReceived).answers(b"answer")
    async with parts.harness.running(parts.child):
        sink = await parts.sink()
        await sink.connected("p1", "192.0.2.1:9000", inbound=True)
        assert await sink.judge("p1", Topic.APPROVAL, b"x") is GossipVerdict.ACCEPT
        assert await sink.judge("p1", Topic.APPROVAL, b"y") is GossipVerdict.REJECT
        assert await sink.answer("p1", StreamKind.STATUS, b"?") == b"answer"
        await sink.lost("p1")
    parts.harness.transcript.expect(
        PeerConnected("p1", "192.0.2.1:9000", inbound=True),
        GossipReceived("p1", Topic.APPROVAL, b"x"),
        GossipReceived("p1", Topic.APPROVAL, b"y"),
        RequestReceived("p1", StreamKind.STATUS, b"?"),
        PeerLost("p1"),
    )


async def test_a_restarted_network_actor_is_told_of_the_connections_again(autojump_clock: MockClock) -> None:
    parts = Parts()
    async with parts.harness.running(parts.child):
        sink = await parts.sink()
        for peer in ("p1", "p2", "p3"):
            await sink.connected(peer, "192.0.2.1:9000", inbound=False)
        await sink.lost("p2")
        before = len(parts.network.received)
        parts.host.tell(ReportPeers())
        await parts.harness.settle()
    assert parts.network.received[before:] == [
        PeerConnected("p1", "192.0.2.1:9000", inbound=False),
        PeerConnected("p3", "192.0.2.1:9000", inbound=False),
    ]


async def test_an_actor_that_does_not_answer_costs_the_message_alone(autojump_clock: MockClock) -> None:
    """While the network actor restarts, nobody is blamed, and the peer host goes on."""
    parts = Parts()
    parts.network.on(GossipReceived).keeps_silent()
    parts.requests.on(RequestReceived).keeps_silent()
    async with parts.harness.running(parts.child) as system:
        sink = await parts.sink()
        began = trio.current_time()
        assert await sink.judge("p1", Topic.PROPOSAL, b"x") is GossipVerdict.UNJUDGED
        assert trio.current_time() - began < JUDGE_SECONDS + 1
        with pytest.raises(NotNow, match="the node does not answer now"):
            await sink.answer("p1", StreamKind.STATUS, b"?")
        assert system.snapshot().children[0].restarts == 0


async def test_the_refusal_of_a_request_reaches_the_peer(autojump_clock: MockClock) -> None:
    parts = Parts()
    parts.requests.on(RequestReceived).fails(Malformed("three bytes are missing"))
    async with parts.harness.running(parts.child):
        sink = await parts.sink()
        with pytest.raises(Malformed, match="three bytes are missing"):
            await sink.answer("p1", StreamKind.STATUS, b"?")


async def test_what_the_node_publishes_and_whom_it_disconnects(autojump_clock: MockClock) -> None:
    parts = Parts()
    async with parts.harness.running(parts.child):
        await parts.host.send(PublishGossip(Topic.PROPOSAL, b"block"))
        await parts.host.send(DisconnectPeer("p1", "false range", 60.0))
        await trio.testing.wait_all_tasks_blocked()
    assert parts.gossip.published == [(Topic.PROPOSAL, b"block")]
    assert parts.gossip.disconnected == [("p1", 60.0)]


async def test_changed_peers_reach_the_network_before_the_answer(autojump_clock: MockClock) -> None:
    """A reload would be reported as applied before it is."""
    parts = Parts()
    member = PeerAddress("192.0.2.1", 9333, "p1")
    async with parts.harness.running(parts.child):
        parts.host.tell(ChangePeers((member,), 8))
        await parts.host.ask(ConfirmChange())
        assert parts.gossip.changes == [((member,), 8)]


async def test_a_request_without_an_answer_does_not_delay_gossip(autojump_clock: MockClock) -> None:
    """One task runs all handlers: a request that it awaited would hold up the node's own block."""
    parts = Parts()
    async with parts.harness.running(parts.child), trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def ask() -> None:
            answers.append(await parts.host.ask(status()))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await parts.host.send(PublishGossip(Topic.PROPOSAL, b"block"))
        await trio.testing.wait_all_tasks_blocked()
        assert parts.gossip.published
        assert answers == []
        parts.gossip.release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [b"abab"]


async def test_a_failed_request_reaches_the_asker_as_it_is(autojump_clock: MockClock) -> None:
    """The sync actor must see that the peer is at fault, not the peer host."""
    parts = Parts()
    parts.gossip.failure = PeerUnavailable("p1", "refused: no such block")
    parts.gossip.release.set()
    async with parts.harness.running(parts.child) as system:
        with pytest.raises(PeerUnavailable, match="no such block"):
            await parts.host.ask(status())
        assert system.snapshot().children[0].restarts == 0


async def test_the_number_of_open_requests_is_bounded(autojump_clock: MockClock) -> None:
    parts = Parts()
    refused: list[str] = []

    async def ask(peer: str) -> None:
        try:
            await parts.host.ask(status(peer), seconds=60)
        except NotNow as error:
            refused.append(str(error))

    async with parts.harness.running(parts.child), trio.open_nursery() as nursery:
        for number in range(OPEN_REQUESTS + 2):
            nursery.start_soon(ask, f"p{number}")
        await trio.testing.wait_all_tasks_blocked()
        assert parts.gossip.open == OPEN_REQUESTS
        assert len(refused) == 2
        assert "are open already" in refused[0]
        parts.gossip.release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await parts.host.ask(status()) == b"abab"


async def test_a_network_that_fails_is_started_again(autojump_clock: MockClock) -> None:
    parts = Parts()
    async with parts.harness.running(parts.child):
        await parts.sink()
        parts.gossip.broken.set()
        await parts.harness.until(lambda: parts.harness.system.snapshot().children[0].restarts == 1, seconds=30)
        await parts.host.send(PublishGossip(Topic.AUXPOW, b"work"))
        await trio.testing.wait_all_tasks_blocked()
        assert parts.gossip.published == [(Topic.AUXPOW, b"work")]


@pytest.mark.parametrize("stops", [True, False])
async def test_losses_are_reported_unless_the_host_was_asked_to_stop(
    autojump_clock: MockClock, stops: bool
) -> None:
    """An orderly stop of a node would warn of each connection that it closes itself."""
    parts = Parts()
    parts.network.on(PeerLost).answers(None)
    parts.gossip.connected.append("p1")
    async with parts.harness.running(parts.child):
        await parts.sink()
        if not stops:
            parts.gossip.broken.set()
            await parts.harness.until(lambda: PeerLost("p1") in messages(parts), seconds=30)
    assert messages(parts).count(PeerLost("p1")) == (0 if stops else 1)


def messages(parts: Parts) -> list[object]:
    """The messages that the network actor got."""
    return parts.harness.transcript.sent("network")
