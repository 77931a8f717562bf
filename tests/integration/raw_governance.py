"""A governance that speaks HTTP/2 by hand, for what no honest library does: it does not read, or floods."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from ssl import Purpose
from typing import Any

import attrs
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived

from alysd.integrations.governance.raw_codec import CAPABILITIES, PREFIX_BYTES
from alysd.integrations.payment_link import TlsFiles
from alysd.wire.governance_v1 import governance_pb2 as pb
from alysd.wire.governance_values import PROTOCOL_VERSION

_BEGUN = ((":status", "200"), ("content-type", "application/grpc+proto"))


def framed(message: Any) -> bytes:
    """A message of protobuf as gRPC sends it."""
    data: bytes = message.SerializeToString()
    return b"\0" + len(data).to_bytes(PREFIX_BYTES - 1, "big") + data


@attrs.define
class RawGovernance:
    """Registers every node, and acknowledges what it reads. It reads on while `reads`, and keeps the ids of that.

    After the registration it sends the message `announced`, if there is one, the bytes `frames`, and then `flood`
    for ever. STRM in these bytes stands for the number of the stream.
    """

    files: TlsFiles
    reads: bool = True
    announced: Any = None
    frames: bytes = b""
    flood: bytes = b""
    ids: list[str] = attrs.field(factory=list[str])
    connections: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection to its end."""
        self.connections += 1
        context = self.files.context(Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2"])
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await _Talk(self, trio.SSLStream(stream, context, server_side=True)).run()

    def registered(self) -> Any:
        """The answer to a registration."""
        return pb.StreamResponse(
            metadata=pb.ResponseMetadata(status=pb.STATUS_SUCCESS),
            registration_ack=pb.NodeRegistrationAck(accepted=True),
        )


@attrs.define
class _Talk:
    """A connection of HTTP/2."""

    governance: RawGovernance
    tls: Any
    http: H2Connection = attrs.field(factory=lambda: H2Connection(H2Configuration(client_side=False)))
    buffers: dict[int, bytes] = attrs.field(factory=dict[int, bytes])

    async def run(self) -> None:
        """Answer until the node ends the connection, or until reading or sending has to stop."""
        self.http.initiate_connection()
        while data := await self.tls.receive_some():
            for event in self.http.receive_data(data):
                match event:
                    case RequestReceived(stream_id=number, headers=headers):
                        self.begin(number, dict(headers)[b":path"].decode())
                    case DataReceived(stream_id=number, data=arrived) if number in self.buffers:
                        self.http.acknowledge_received_data(len(arrived), number)
                        self.buffers[number] += arrived
                        await self.answer(number)
                    case _:
                        pass
            await self.tls.send_all(self.http.data_to_send())

    def begin(self, number: int, path: str) -> None:
        """Answer the question for capabilities, and open any other stream."""
        self.http.send_headers(number, _BEGUN)
        if path == CAPABILITIES:
            self.http.send_data(number, framed(pb.CapabilitiesResponse(protocol_versions=[PROTOCOL_VERSION])))
            self.http.send_headers(number, [("grpc-status", "0")], end_stream=True)
        else:
            self.buffers[number] = b""

    async def answer(self, number: int) -> None:
        """Answer the whole requests that have arrived."""
        while len(data := self.buffers[number]) >= PREFIX_BYTES:
            end = PREFIX_BYTES + int.from_bytes(data[1:PREFIX_BYTES], "big")
            if len(data) < end:
                return
            request = pb.StreamRequest.FromString(data[PREFIX_BYTES:end])
            self.buffers[number] = data[end:]
            self.governance.ids.append(request.metadata.request_id)
            match request.WhichOneof("request"):
                case "node_registration":
                    self.http.send_data(number, framed(self.governance.registered()))
                    await self.misbehave(number)
                case "heartbeat":
                    self.send(number, request, heartbeat_ack=pb.HeartbeatAck(sequence=request.heartbeat.sequence))
                case _:
                    self.send(number, request)

    def send(self, number: int, request: Any, **fields: Any) -> None:
        """Acknowledge a request."""
        metadata = pb.ResponseMetadata(request_id=request.metadata.request_id, status=pb.STATUS_SUCCESS)
        self.http.send_data(number, framed(pb.StreamResponse(metadata=metadata, **fields)))

    async def misbehave(self, number: int) -> None:
        """Do what is asked for after the registration."""
        governance = self.governance
        if governance.announced is not None:
            self.http.send_data(number, framed(governance.announced))
        await self.tls.send_all(self.http.data_to_send())
        stream = number.to_bytes(4, "big")
        if governance.frames:
            await self.tls.send_all(governance.frames.replace(b"STRM", stream))
        while governance.flood:
            await self.tls.send_all(governance.flood.replace(b"STRM", stream) * 100)
        while not governance.reads:  # noqa: ASYNC110  a test's fault: nobody waits for its end
            await trio.sleep(0.05)


@asynccontextmanager
async def raw_governance(governance: RawGovernance, port: int) -> AsyncGenerator[RawGovernance]:
    """Serve at 127.0.0.1:`port` while the `with` block runs."""
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    for listener in listeners:
        listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, governance.serve, listeners))
        try:
            yield governance
        finally:
            nursery.cancel_scope.cancel()
