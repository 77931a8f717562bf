"""The negotiation of a protocol on a connection or stream (libp2p/specs, connections: multistream-select).

Each line is a length byte, text, and a line feed. Lines of 127 bytes and more, which need a longer length, name no
protocol of this node. A peer may propose at most 8 protocols. The command `ls`, which asks for a list of
protocols, is refused like an unknown protocol.
"""

from collections.abc import Container, Sequence
from typing import Protocol

HEADER = "/multistream/1.0.0"
_REFUSED = "na"
_PROPOSALS = 8


class NegotiationFailed(Exception):
    """The peer does not use multistream-select, or supports none of the protocols."""


class ProtocolsRefused(NegotiationFailed):
    """The peer uses multistream-select, and supports none of the protocols."""


class Channel(Protocol):
    """A connection or stream with exact reads."""

    async def read_exactly(self, n: int) -> bytes:
        """Read exactly `n` bytes."""
        ...

    async def write(self, data: bytes) -> None:
        """Write all bytes."""
        ...


async def offer(channel: Channel, protocols: Sequence[str]) -> str:
    """Propose protocols in order, until the peer accepts one.

    Raises `ProtocolsRefused` if it accepts none, and `NegotiationFailed` for a peer that breaks the protocol.
    """
    await channel.write(_line(HEADER) + _line(protocols[0]))
    await _read_header(channel)
    for index, protocol in enumerate(protocols):
        if index:
            await channel.write(_line(protocol))
        if await _read_line(channel) == protocol:
            return protocol
    raise ProtocolsRefused(f"the peer supports none of the protocols {', '.join(protocols)}")


async def select(channel: Channel, known: Container[str]) -> str:
    """Answer the peer's proposals, until one is known. Raises `NegotiationFailed`."""
    await channel.write(_line(HEADER))
    await _read_header(channel)
    for _ in range(_PROPOSALS):
        proposed = await _read_line(channel)
        if proposed in known:
            await channel.write(_line(proposed))
            return proposed
        await channel.write(_line(_REFUSED))
    raise NegotiationFailed(f"the peer has proposed {_PROPOSALS} protocols, all of them unknown")


def _line(text: str) -> bytes:
    data = text.encode() + b"\n"
    return bytes([len(data)]) + data


async def _read_header(channel: Channel) -> None:
    found = await _read_line(channel)
    if found != HEADER:
        raise NegotiationFailed(f"the peer does not use multistream-select: expected {HEADER}, found {found!r}")


async def _read_line(channel: Channel) -> str:
    (length,) = await channel.read_exactly(1)
    if not 1 <= length < 128:
        raise NegotiationFailed(f"a line has {length} bytes; it must have 1 to 127")
    line = await channel.read_exactly(length)
    if not line.endswith(b"\n") or not line.isascii():
        raise NegotiationFailed(f"a line must be ASCII text with an end of line, found {line!r}")
    return line[:-1].decode()
