"""The governance host on virtual time: backoff, resending, heartbeats, and a governance that does not obey."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.errors import GovernanceUnavailable, NotNow
from alysd.integrations.governance.records import RecordFolder
from alysd.messages.governance import (
    GovernanceHost,
    GovernanceLinkMoved,
    GovernanceStream,
    ProposalReceived,
    RequestRefused,
    SendNodeStatus,
    SendPegIn,
    SendSignatureRequest,
    SignaturesReceived,
)
from alysd.node import REFUSALS
from alysd.nurseries import Actor, Address, Immediate, OneForOne, actor, handles, open_system, supervisor
from alysd.testing.virtual_time import VirtualClock, seeded
from alysd.types.governance import (
    GovernanceEndpoint,
    GovernanceHostConfig,
    GovernanceLinkState,
    GovernanceProposal,
    NodeStatus,
    PaymentToSign,
    PegInNotice,
)
from alysd.types.hashes import BitcoinHash, BlockHash, EvmAddress
from alysd.types.units import Height, Sat
from tests.integrations.governance import needs_governance

pytestmark = [needs_governance, pytest.mark.usefixtures("no_threads")]

pb: Any = pytest.importorskip("alysd.wire.governance_v1.governance_pb2")
host_module = pytest.importorskip("alysd.actors.governance_host")
session = pytest.importorskip("alysd.actors.governance_session")

CONFIG = GovernanceHostConfig(
    (GovernanceEndpoint("one", 1), GovernanceEndpoint("two", 2)), "", "", "", "", "node-1", "0.1.0", "test",
    BlockHash(bytes(32)), b"",
)  # fmt: skip


class FakeConnection:
    """A stream whose other end is the test."""

    def __init__(self, governance: "FakeGovernance") -> None:
        self._governance = governance
        self.lost = trio.Event()
        self.inbox, self._outbox = trio.open_memory_channel[bytes](1000)

    async def send(self, data: bytes) -> None:
        """Record the request, and answer as the governance does."""
        if self.lost.is_set():
            raise GovernanceUnavailable("fake", "lost")
        request = pb.StreamRequest.FromString(data)
        self._governance.requests.append(request)
        for answer in self._governance.answers(request):
            self.inbox.send_nowait(answer)

    async def receive(self) -> bytes:
        """The next message, or the loss."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._on_loss, scope)
                data = await self._outbox.receive()
                nursery.cancel_scope.cancel()
            return data
        raise GovernanceUnavailable("fake", "lost")

    async def _on_loss(self, scope: trio.CancelScope) -> None:
        await self.lost.wait()
        scope.cancel()


def acknowledged(request: Any, status: int = 1, **fields: Any) -> bytes:
    metadata = pb.ResponseMetadata(request_id=request.metadata.request_id, status=status)
    return pb.StreamResponse(metadata=metadata, **fields).SerializeToString()


@attrs.define
class FakeGovernance:
    """`ports.GovernanceLink` without a network. It is up if `up`, and answers what its switches say."""

    up: bool = True
    registers: bool = True
    expires: float = 0.0
    beats: bool = True
    status: int = 1
    acknowledges: bool = True
    lasts: float = float("inf")
    attempts: list[tuple[float, str]] = attrs.field(factory=list[tuple[float, str]])
    requests: list[Any] = attrs.field(factory=list[Any])
    connections: list[FakeConnection] = attrs.field(factory=list[FakeConnection])

    @asynccontextmanager
    async def connect(self, endpoint: GovernanceEndpoint) -> AsyncGenerator[FakeConnection]:
        self.attempts.append((trio.current_time(), str(endpoint)))
        if not self.up:
            raise GovernanceUnavailable(str(endpoint), "down")
        connection = FakeConnection(self)
        self.connections.append(connection)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lose, connection)
            try:
                yield connection
            finally:
                nursery.cancel_scope.cancel()

    async def _lose(self, connection: FakeConnection) -> None:
        await trio.sleep(self.lasts)
        connection.lost.set()

    def answers(self, request: Any) -> list[bytes]:
        """The answers to a request."""
        kind = request.WhichOneof("request")
        if kind == "node_registration":
            ack = pb.NodeRegistrationAck(accepted=self.registers, expires_at=int(self.expires * 1000))
            return [acknowledged(request, registration_ack=ack)]
        if kind == "heartbeat":
            ack = pb.HeartbeatAck(sequence=request.heartbeat.sequence)
            return [acknowledged(request, heartbeat_ack=ack)] if self.beats else []
        return [acknowledged(request, self.status)] if self.acknowledges and kind != "status_update" else []

    def tell(self, data: bytes) -> None:
        """Send bytes on the newest stream."""
        self.connections[-1].inbox.send_nowait(data)

    def sent(self, kind: str) -> list[str]:
        """The ids of the requests of this kind."""
        return [one.metadata.request_id for one in self.requests if one.WhichOneof("request") == kind]


class Stream(Actor[GovernanceStream], partial=True):
    """Stands for the stream actor; it remembers everything."""

    def __init__(self, told: list[Any]) -> None:
        self._told = told

    @handles(GovernanceLinkMoved)
    async def moved(self, message: GovernanceLinkMoved) -> None:
        self._told.append(message.state)

    @handles(ProposalReceived)
    async def proposed(self, message: ProposalReceived) -> None:
        self._told.append(message.proposal)

    @handles(SignaturesReceived)
    async def signed(self, message: SignaturesReceived) -> None:
        self._told.append(message)

    @handles(RequestRefused)
    async def refused(self, message: RequestRefused) -> None:
        self._told.append(message)


@attrs.frozen
class Running:
    """A running host and what it has told."""

    address: Address[GovernanceHost]
    governance: FakeGovernance
    told: list[Any]
    folder: RecordFolder
    clock: VirtualClock

    @property
    def state(self) -> GovernanceLinkState:
        """The newest state."""
        return [one for one in self.told if isinstance(one, GovernanceLinkState)][-1]


@asynccontextmanager
async def running(
    folder: Path, governance: FakeGovernance, most: int = 8, *, deaf: bool = False
) -> AsyncGenerator[Running]:
    """Run a host. A `deaf` one has nobody to report to."""
    records = RecordFolder.open(folder / "outbox", most, 4096)
    address: Address[GovernanceHost] = Address("governance host")
    stream: Address[GovernanceStream] = Address("governance stream", capacity=1 if deaf else 1024)
    told, clock = list[Any](), VirtualClock()
    tree = supervisor("NetworkSupervisor", OneForOne(), [
        *([] if deaf else [actor(stream, lambda: Stream(told))]),
        actor(address, lambda: host_module.GovernanceHostActor(
            CONFIG, governance, records, stream, clock, seeded(7),
        ), restart=Immediate()),
    ])  # fmt: skip
    async with open_system(tree, refusals=REFUSALS):
        yield Running(address, governance, told, records, clock)


def notice(number: int) -> SendPegIn:
    txid = BitcoinHash(number.to_bytes(32, "little"))
    return SendPegIn(PegInNotice(txid, Sat(70_000), EvmAddress(b"\x22" * 20), 6, Height(number)))


async def test_the_pauses_double_up_to_a_minute_and_the_servers_take_turns(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A governance that is down would be called without a pause, or one of its servers never."""
    governance = FakeGovernance(up=False)
    async with running(tmp_path, governance):
        await trio.sleep(600)
    times = [at for at, _ in governance.attempts]
    pauses = [late - early for early, late in pairwise(times)]
    for number, pause in enumerate(pauses):
        longest = min(60.0, 2.0**number)
        assert longest / 2 <= pause <= longest
    assert len({round(pause / min(60.0, 2.0**number), 3) for number, pause in enumerate(pauses)}) > 5
    assert [name for _, name in governance.attempts[:4]] == ["one:1", "two:2", "one:1", "two:2"]


async def test_a_connection_that_does_not_last_does_not_shorten_the_pauses(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A governance that accepts and drops would be connected to each second; one that lasts begins anew."""
    governance = FakeGovernance(lasts=0.5)
    async with running(tmp_path, governance):
        await trio.sleep(300)
        assert len(governance.attempts) <= 16
        governance.lasts = 40.0
        await trio.sleep(120)
        first = len(governance.attempts)
        await trio.sleep(410)
        assert 9 <= len(governance.attempts) - first <= 11


async def test_what_is_not_acknowledged_is_sent_again_after_reconnection_and_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A deposit would be forgotten when the governance fails between its arrival and its acknowledgement."""
    governance = FakeGovernance(acknowledges=False)
    async with running(tmp_path, governance) as host:
        await host.address.ask(notice(1))
        await host.address.ask(notice(2))
        await host.address.ask(notice(1))
        await trio.sleep(3)
        both = governance.sent("pegin_notification")
        assert len(both) == len(set(both)) == 2
        governance.connections[-1].lost.set()
        await trio.sleep(5)
        assert governance.sent("pegin_notification") == both * 2
        assert host.state.waiting == 2
    governance.acknowledges, governance.requests = True, []
    async with running(tmp_path, governance) as host:
        await trio.sleep(10)
        assert governance.sent("pegin_notification") == both
        assert host.state.waiting == 0
    assert RecordFolder.open(tmp_path / "outbox", 8, 4096).all() == []


async def test_an_overdue_request_is_sent_again_on_the_same_stream(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A lost acknowledgement, or "later", would hold a request until the next connection."""
    governance = FakeGovernance(status=5)  # rate limited
    async with running(tmp_path, governance) as host:
        await host.address.ask(notice(1))
        await trio.sleep(20)
        assert len(governance.sent("pegin_notification")) == 1
        await trio.sleep(20)
        assert len(governance.sent("pegin_notification")) == 2
        governance.status = 2  # refused for good
        await trio.sleep(40)
        assert len(governance.sent("pegin_notification")) == 3
        assert host.state.waiting == 0
        (refused,) = [one for one in host.told if isinstance(one, RequestRefused)]
        assert refused.request == governance.sent("pegin_notification")[0]


async def test_signatures_that_are_asked_for_reach_the_stream_actor(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A request would be sent for ever, or signatures that come after its acknowledgement would be lost."""
    governance, payment = FakeGovernance(), PaymentToSign(BitcoinHash(b"\x09" * 32), b"tx", (Sat(1),), 3, 1)
    async with running(tmp_path, governance) as host:
        governance.acknowledges = False
        await host.address.ask(SendSignatureRequest(payment))
        await trio.sleep(6)
        (request,) = governance.sent("signature_request")
        assert host.state.waiting == 1
        metadata = pb.ResponseMetadata(request_id=request)
        answer = pb.SignatureResponse(status=1, partial_signatures=[b"\x01" * 96])
        for _ in range(2):
            governance.tell(pb.StreamResponse(metadata=metadata, signature_response=answer).SerializeToString())
        await trio.sleep(6)
        given = [one for one in host.told if isinstance(one, SignaturesReceived)]
        assert [(one.txid, one.key) for each in given for one in each.signatures] == [
            (payment.txid, b"\x01" * 32)
        ] * 2
        assert (host.state.waiting, host.state.refused) == (0, ())


async def test_a_refusal_that_nobody_hears_ends_the_stream_and_forgets_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The host would end with each refusal, and nobody would know which request the governance has not taken."""
    governance = FakeGovernance(status=2)
    async with running(tmp_path, governance, deaf=True) as host:
        await host.address.ask(notice(1))
        await trio.sleep(300)
        assert len(host.folder.all()) == 1
        assert 3 <= len(governance.attempts) <= 9  # with the deadline, and pauses


async def test_a_full_outbox_refuses_and_at_most_sixteen_requests_are_in_flight(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A governance that takes without answering would fill the disk, or get everything at once."""
    governance = FakeGovernance(acknowledges=False)
    async with running(tmp_path, governance, most=20) as host:
        for number in range(20):
            await host.address.ask(notice(number))
        with pytest.raises(NotNow, match="outbox is full"):
            await host.address.ask(notice(20))
        await trio.sleep(20)
        assert len(governance.sent("pegin_notification")) == 16


async def test_a_silent_governance_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A partition without an error would hold the stream for ever."""
    governance = FakeGovernance(beats=False)
    async with running(tmp_path, governance) as host:
        await trio.sleep(29)
        assert host.state.connected
        reached = len(governance.attempts)
        governance.registers = False
        await trio.sleep(1.5)
        assert len(governance.attempts) == reached
        assert not host.state.connected
        assert host.state.reason == "no answer to 3 heartbeats"


async def test_a_refused_registration_and_one_that_ends(tmp_path: Path, autojump_clock: MockClock) -> None:
    governance = FakeGovernance(registers=False)
    async with running(tmp_path, governance) as host:
        await trio.sleep(2)
        assert "refuses the registration" in host.state.reason
        governance.registers, governance.expires = True, host.clock.time() + 100
        await trio.sleep(50)
        assert host.state.connected
        count = len(governance.connections)
        governance.expires = 0.0
        await trio.sleep(100)
        assert len(governance.connections) == count + 1
        assert host.state.connected


async def test_lies_are_counted_by_name_and_end_the_stream_in_the_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A governance that sends garbage would keep the host busy for ever, or end it."""
    governance = FakeGovernance()
    async with running(tmp_path, governance) as host:
        await trio.sleep(1)
        governance.tell(b"\xff")
        governance.tell(pb.StreamResponse(heartbeat_ack=pb.HeartbeatAck(sequence=99)).SerializeToString())
        governance.tell(pb.StreamResponse(metadata={"request_id": "x", "status": 1}).SerializeToString())
        governance.tell(pb.StreamResponse(registration_ack={"accepted": True}).SerializeToString())
        good = pb.ProposalNotification(proposal_id="p", proposal_type=1, voting_deadline=2 * 10**12)
        governance.tell(pb.StreamResponse(proposal_notification=good).SerializeToString())
        await trio.sleep(6)
        assert [one.id for one in host.told if isinstance(one, GovernanceProposal)] == ["p"]
        assert dict(host.state.refused) == {
            "unreadable message": 1,
            "answer to no heartbeat": 1,
            "answer to no request": 1,
            "second answer to the registration": 1,
        }
        assert host.state.connected
        for _ in range(100):
            governance.tell(b"\xff")
        await trio.sleep(0.4)
        assert not host.state.connected
        assert (
            host.state.reason == "100 of its messages were refused, the last one as: unreadable message: 1 bytes"
        )


async def test_a_flood_is_read_at_a_bounded_rate(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A governance would decide how much of a processor its host takes."""
    governance = FakeGovernance()
    async with running(tmp_path, governance) as host:
        await trio.sleep(1)
        good = pb.ProposalNotification(proposal_id="p", proposal_type=1, voting_deadline=2 * 10**12)
        data = pb.StreamResponse(proposal_notification=good).SerializeToString()
        for _ in range(900):
            governance.tell(data)
        await trio.sleep(4)
        seen = len([one for one in host.told if isinstance(one, GovernanceProposal)])
        assert 200 <= seen <= 200 + 5 * 50


async def test_only_the_newest_status_is_sent(tmp_path: Path, autojump_clock: MockClock) -> None:
    governance = FakeGovernance(up=False)
    async with running(tmp_path, governance) as host:
        for height in range(5):
            await host.address.send(SendNodeStatus(NodeStatus("healthy", Height(height), Height(0), True, 1)))
        governance.up = True
        await trio.sleep(3)
        found = [one.status_update.block_height for one in governance.requests if one.HasField("status_update")]
        assert found == [4]
