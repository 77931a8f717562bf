"""A governance for development: one process that a person or a test drives. It keeps nothing and votes on nothing.

It runs on asyncio. Its methods, except `serve`, are plain functions to call in its event loop.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from google.protobuf.message import DecodeError
from grpclib.const import Cardinality, Handler
from grpclib.exceptions import GRPCError, StreamTerminatedError

from alysd.integrations.governance.closing_server import ClosingServer
from alysd.integrations.governance.raw_codec import CAPABILITIES, HEALTH, STREAM, RawCodec
from alysd.integrations.payment_link import TlsFiles
from alysd.types.federation_update import FederationUpdate
from alysd.types.governance import GovernanceProposal
from alysd.wire.governance import KINDS
from alysd.wire.governance_update import encode_federation_update
from alysd.wire.governance_v1 import governance_pb2 as pb
from alysd.wire.governance_values import PROTOCOL_VERSION
from alysd.wire.plain_text import plain

MOST_WAITING = 1024
"""The messages that wait for a node that does not read. A test of a flood sends more: `send` then fails."""

NAME = "dev-governance"
"""The name of the server in its messages."""

ACKNOWLEDGED = ("pegin_notification", "proposal_attestation", "signature_request")
"""The kinds of requests that the server acknowledges."""

RawStream = Any
"""grpclib's stream of a request, with bytes for messages."""


@attrs.define
class Faults:
    """How the server misbehaves, for tests."""

    registers: bool = True
    """Whether it accepts registrations."""
    acknowledges: bool = True
    """Whether it acknowledges requests."""
    answers: bool = True
    """Whether it answers anything: without, it reads and is silent."""
    reads: bool = True
    """Whether it reads."""
    version: str = PROTOCOL_VERSION
    """The protocol version that it says it speaks."""


@attrs.define(eq=False)
class ConnectedNode:
    """A registered node, the messages that wait for it, and the task of its stream."""

    name: str
    outgoing: "asyncio.Queue[bytes]"
    task: "asyncio.Task[Any]"


class DevGovernance:
    """Serves nodes that show a certificate of the authority in `files`. `heard` gets a line for each event."""

    def __init__(self, files: TlsFiles, heard: Callable[[str], object]) -> None:
        self._files = files
        self._heard = heard
        self.faults = Faults()
        self.nodes: list[ConnectedNode] = []
        self.requests: list[pb.StreamRequest] = []
        self.proposals: list[GovernanceProposal] = []
        self.updates: list[bytes] = []
        self.connections = 0

    def __mapping__(self) -> Mapping[str, Handler]:
        """The methods of the service, for grpclib."""
        return {
            STREAM: Handler(self._stream, Cardinality.STREAM_STREAM, bytes, bytes),
            HEALTH: Handler(self._health, Cardinality.UNARY_UNARY, bytes, bytes),
            CAPABILITIES: Handler(self._capabilities, Cardinality.UNARY_UNARY, bytes, bytes),
        }

    async def serve(self, host: str, port: int, stop: asyncio.Event, started: Callable[[], object]) -> None:
        """Serve until `stop` is set. Raises `ConfigError` for wrong files, and `OSError` for a used address."""
        context = self._files.context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2"])
        server = ClosingServer([self], codec=RawCodec())
        await server.start(host, port, ssl=context)
        started()
        try:
            await stop.wait()
        finally:
            self.drop()
            if not await server.end():
                self._heard("some connections did not close in order")

    def propose(self, proposal: GovernanceProposal) -> None:
        """Announce a proposal to all nodes, now and whenever one registers."""
        self.proposals.append(proposal)
        self.send(_announcement(proposal))

    def update(self, update: FederationUpdate) -> None:
        """Send a change of the federation to all nodes, now and whenever one registers."""
        data = pb.StreamResponse(
            metadata=pb.ResponseMetadata(timestamp=_now(), node_id=NAME, status=pb.STATUS_SUCCESS),
            federation_update=encode_federation_update(update),
        ).SerializeToString()
        self.updates.append(data)
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send a message, of any bytes, to all registered nodes. Raises `asyncio.QueueFull`."""
        for node in self.nodes:
            node.outgoing.put_nowait(data)

    def drop(self) -> None:
        """End the streams of all nodes."""
        for node in self.nodes:
            node.task.cancel()

    async def _stream(self, stream: RawStream) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  grpclib runs each request in a task
        node = ConnectedNode("", asyncio.Queue(MOST_WAITING), task)
        sender = asyncio.ensure_future(self._carry_out(stream, node))
        try:
            await self._serve_node(stream, node)
        except (GRPCError, StreamTerminatedError, ConnectionError):
            pass  # the node has gone
        finally:
            sender.cancel()
            await asyncio.wait([sender])
            if node in self.nodes:
                self.nodes.remove(node)
                self._heard(f"{node.name} has left")

    async def _serve_node(self, stream: RawStream, node: ConnectedNode) -> None:
        while True:
            while not self.faults.reads:  # noqa: ASYNC110  a test's fault: nobody waits for its end
                await asyncio.sleep(0.05)
            data: bytes | None = await stream.recv_message()
            if data is None:
                return
            try:
                request = pb.StreamRequest.FromString(data)
            except DecodeError:
                self._heard("a node has sent bytes that are no request")
                return
            self.requests.append(request)
            if self.faults.answers:
                self._answer(request, node)

    async def _carry_out(self, stream: RawStream, node: ConnectedNode) -> None:
        try:
            while True:
                await stream.send_message(await node.outgoing.get())
        except (GRPCError, StreamTerminatedError, ConnectionError):
            return  # the node has gone, which the reading side sees too

    def _answer(self, request: pb.StreamRequest, node: ConnectedNode) -> None:
        metadata = request.metadata
        answer = pb.StreamResponse(
            metadata=pb.ResponseMetadata(
                request_id=metadata.request_id,
                timestamp=_now(),
                node_id=NAME,
                status=pb.STATUS_SUCCESS,
            )
        )
        match request.WhichOneof("request"):
            case "node_registration":
                answer.registration_ack.accepted = self.faults.registers
                answer.registration_ack.assigned_node_id = metadata.node_id
                node.outgoing.put_nowait(answer.SerializeToString())
                if self.faults.registers:
                    self._register(request, node)
            case "heartbeat":
                beat = request.heartbeat
                answer.heartbeat_ack.CopyFrom(
                    pb.HeartbeatAck(
                        original_timestamp=beat.timestamp, ack_timestamp=_now(), sequence=beat.sequence
                    )
                )
                node.outgoing.put_nowait(answer.SerializeToString())
            case "status_update":
                status = request.status_update
                self._heard(f"{node.name} is {plain(status.status)} at height {status.block_height}")
            case "pegin_notification" | "proposal_attestation" | "signature_request" as kind if (
                self.faults.acknowledges
            ):
                self._heard(f"{node.name} sends {kind.replace('_', ' ')} {plain(metadata.request_id)}")
                node.outgoing.put_nowait(answer.SerializeToString())
            case _:
                pass

    def _register(self, request: pb.StreamRequest, node: ConnectedNode) -> None:
        node.name = plain(request.metadata.node_id)
        self.nodes.append(node)
        info = request.node_registration.node_info
        self._heard(f"{node.name} has registered: {plain(info.role)} of {plain(info.chain)}")
        for proposal in self.proposals:
            node.outgoing.put_nowait(_announcement(proposal))
        for update in self.updates:
            node.outgoing.put_nowait(update)

    async def _health(self, stream: RawStream) -> None:
        await stream.recv_message()
        await stream.send_message(pb.HealthResponse(status=pb.STATUS_SUCCESS).SerializeToString())

    async def _capabilities(self, stream: RawStream) -> None:
        await stream.recv_message()
        answer = pb.CapabilitiesResponse(protocol_versions=[self.faults.version], capabilities=["proposals"])
        await stream.send_message(answer.SerializeToString())


def _announcement(proposal: GovernanceProposal) -> bytes:
    number = next(number for number, kind in KINDS.items() if kind is proposal.kind)
    return pb.StreamResponse(
        metadata=pb.ResponseMetadata(timestamp=_now(), node_id=NAME, status=pb.STATUS_SUCCESS),
        proposal_notification=pb.ProposalNotification(
            proposal_id=proposal.id,
            proposal_type=number,  # pyright: ignore[reportArgumentType]  a number of this enumeration
            proposal_data=proposal.data,
            voting_deadline=proposal.deadline * 1000,
            required_votes=proposal.votes,
        ),
    ).SerializeToString()


def _now() -> int:
    return int(time.time() * 1000)
