"""gRPC messages as bytes of bounded size: grpclib's part of the stream, without protobuf and without copies."""

from typing import Any

from grpclib.client import Stream
from grpclib.encoding.proto import ProtoCodec

from alysd.wire.governance_values import MAX_MESSAGE_BYTES

PREFIX_BYTES = 5
"""The bytes before each message of gRPC: a flag for compression, and the length."""

STREAM = "/governance.v1.GovernanceStream/Stream"
HEALTH = "/governance.v1.GovernanceStream/Health"
CAPABILITIES = "/governance.v1.GovernanceStream/GetCapabilities"


class UnusableFrame(Exception):
    """A message of gRPC that is compressed, larger than allowed, or cut off."""


class RawCodec(ProtoCodec):
    """Leaves messages as the bytes that they are."""

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002  the signature of grpclib
        """The bytes themselves."""
        return message

    def decode(self, data: bytes, message_type: Any) -> Any:  # noqa: ARG002  the same
        """The bytes themselves."""
        return data


class BoundedStream(Stream[bytes, bytes]):
    """A stream that refuses a message by its length, before it arrives.

    grpclib would collect a message of any announced length, up to 4 GiB.
    """

    async def recv_message(self) -> bytes | None:
        """The next message; None at the end of the stream. Raises `UnusableFrame`."""
        if not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        with self._wrapper:
            prefix = await self._stream.recv_data(PREFIX_BYTES)
            if not prefix:
                return None
            length = int.from_bytes(prefix[1:], "big")
            if prefix[0]:
                raise UnusableFrame("the message is compressed, which this node does not accept")
            if length > MAX_MESSAGE_BYTES:
                raise UnusableFrame(f"the message has {length} bytes; at most {MAX_MESSAGE_BYTES} are accepted")
            return await self._stream.recv_data(length)
