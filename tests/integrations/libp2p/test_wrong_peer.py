"""A configured address whose node has another id than the address says: the operator learns which one."""

from contextlib import suppress

import pytest
import trio

from alysd.integrations.key_kinds import new_secret, public_text
from alysd.testing.processes import free_ports
from alysd.types.peers import GossipVerdict, PeerAddress, PeerHostConfig, StreamKind, Topic
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


class Nobody:
    """A node that takes part in nothing."""

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        raise AssertionError(f"{peer} at {address} must not be taken for the peer, inbound: {inbound}")

    async def lost(self, peer: str) -> None:
        raise AssertionError(f"{peer} was never connected")

    async def judge(self, peer: str, topic: Topic, data: bytes) -> GossipVerdict:
        return GossipVerdict.IGNORE

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        return b""


async def test_the_id_of_the_node_at_the_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who had copied the line of another member read only that the peer cannot be reached."""
    from alysd.integrations.libp2p import gossip, limits
    from alysd.integrations.libp2p.connection import upgrade
    from alysd.integrations.libp2p.keys import Identity

    lines: list[str] = []
    said = trio.Event()

    def say(line: str) -> None:
        if line.startswith("WARNING"):
            lines.append(line)
            said.set()

    monkeypatch.setattr(gossip, "say", say)
    monkeypatch.setattr(limits, "REDIAL_SECONDS", 0.01)
    there, named, own = (new_secret("network") for _ in range(3))
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    address = PeerAddress("127.0.0.1", port, public_text("network", named))
    config = PeerHostConfig("127.0.0.1", free_ports(1)[0], (address,), own, "6d3425cf", 32)

    async def welcome(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(Exception):  # the dialler leaves in the middle of the handshake
                await upgrade(stream, Identity.of(there), None)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gossip.Libp2pGossip(config).run, Nobody())
            nursery.start_soon(trio.serve_listeners, welcome, [listener])
            await said.wait()
            nursery.cancel_scope.cancel()
    found = public_text("network", there)
    reason = f"the node there has the id {found}: correct the id in the address, or the address"
    assert lines == [f"WARNING the peer {address} cannot be reached: {reason}; it is dialled again and again"]
