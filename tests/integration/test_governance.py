"""The governance host in a process of its own, over TLS, with a governance that works, and one that does not."""

import os
import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from alysd.integrations.payment_link import TlsFiles
from alysd.messages.governance import SendPegIn, SendSignatureRequest
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.processes import free_ports
from alysd.testing.updates import members_update
from alysd.types.governance import PaymentToSign
from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat
from tests.integration.governance_host import host_config, host_process, notice, proposal, running_host
from tests.integrations.governance import needs_governance

pytestmark = [
    needs_governance,
    # asyncio does not close the connections of the server, which stands for another program, when its loop ends.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

pytest.importorskip("grpclib")

from alysd.integrations.governance.server import Faults  # noqa: E402  it needs the extra
from alysd.testing.governance import GovernanceThread, open_governance  # noqa: E402  the same
from alysd.wire.governance_v1 import governance_pb2 as pb  # noqa: E402  the same


async def test_a_node_registers_and_exchanges_messages_over_tls(tmp_path: Path) -> None:
    """The whole path works: registration, heartbeats, an acknowledged request, a proposal."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    async with (
        open_governance(authority.member("server"), port) as governance,
        running_host(host_config(tmp_path, authority.member("node"), port)) as host,
    ):
        await host.told.until(lambda: host.told.connected)
        await governance.until(lambda: "heartbeat" in governance.kinds())
        await host.address.ask(SendPegIn(notice(1)))
        await governance.until(lambda: len(governance.ids("pegin_notification")) == 1)
        given = proposal("p-1")
        await governance.do(governance.server.propose, given)
        await host.told.until(lambda: host.told.proposals == [given])
        change = members_update(ChainHand.of(chain_spec()).context, 7, 5000, range(21), range(32))
        await governance.do(governance.server.update, change)
        await host.told.until(lambda: host.told.updates == [change])
        payment = PaymentToSign(BitcoinHash(b"\x09" * 32), bytes(8192), (Sat(1),) * 100, 3, 1)
        await host.address.ask(SendSignatureRequest(payment))
        await governance.until(lambda: len(governance.ids("signature_request")) == 1)
        metadata = pb.ResponseMetadata(request_id=governance.ids("signature_request")[0])
        answer = pb.SignatureResponse(status=pb.STATUS_SUCCESS, partial_signatures=[b"\x01" * 96])
        data = pb.StreamResponse(metadata=metadata, signature_response=answer).SerializeToString()
        await governance.do(governance.server.send, data)
        await host.told.until(lambda: [one.txid for one in host.told.signatures] == [payment.txid])
        await host.told.until(lambda: not list((tmp_path / "outbox").glob("*.record")))


async def test_after_kills_on_both_sides_the_unacknowledged_requests_are_sent_again(tmp_path: Path) -> None:
    """A deposit would be forgotten with a crash of the governance, or of the host."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    server, config = authority.member("server"), host_config(tmp_path, authority.member("node"), port)
    async with running_host(config, quick=True) as host:
        async with open_governance(server, port) as governance:
            governance.server.faults.acknowledges = False
            await host.told.until(lambda: host.told.connected)
            await host.address.ask(SendPegIn(notice(1)))
            await governance.until(lambda: len(governance.ids("pegin_notification")) == 1)
        await host.told.until(lambda: not host.told.connected)
        os.kill(host_process(), signal.SIGKILL)
        async with open_governance(server, port) as governance:
            governance.server.faults.acknowledges = False
            await governance.until(lambda: len(governance.ids("pegin_notification")) == 1)
            assert host.told.state is not None
            governance.server.faults.acknowledges = True
            await governance.do(governance.server.drop)
            await host.told.until(lambda: host.told.connected and host.told.states[-1].waiting == 0)
            assert set(governance.ids("pegin_notification")) == {f"peg-in-{notice(1).txid[::-1].hex()}-1"}
    assert not list((tmp_path / "outbox").glob("*.record"))


async def test_the_second_server_is_used_while_the_first_is_down(tmp_path: Path) -> None:
    first, second = free_ports(2)
    authority = CertificateAuthority(tmp_path)
    config = host_config(tmp_path, authority.member("node"), first, second)
    async with open_governance(authority.member("server"), second), running_host(config) as host:
        await host.told.until(lambda: host.told.connected)
        assert host.told.states[-1].endpoint == f"127.0.0.1:{second}"


def wrong_version(governance: GovernanceThread) -> None:
    governance.server.faults.version = "2"


def refuses(governance: GovernanceThread) -> None:
    governance.server.faults.registers = False


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        (wrong_version, "other protocol version: it speaks 2, this node 1"),
        (refuses, "it refuses the registration"),
    ],
)
async def test_a_governance_that_does_not_fit_is_left_with_the_reason(
    tmp_path: Path, misbehave: Callable[[GovernanceThread], None], reason: str
) -> None:
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    async with open_governance(authority.member("server"), port) as governance:
        misbehave(governance)
        async with running_host(host_config(tmp_path, authority.member("node"), port)) as host:
            await host.told.until(lambda: reason in host.told.reason)
            governance.server.faults = Faults()
            await host.told.until(lambda: host.told.connected)


async def test_garbage_lies_and_floods_end_at_most_a_stream(tmp_path: Path) -> None:
    """The process of the host would end, or grow, or take a whole processor."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    async with (
        open_governance(authority.member("server"), port) as governance,
        running_host(host_config(tmp_path, authority.member("node"), port)) as host,
    ):
        pid, told, send = 0, host.told, governance.server.send
        await told.until(lambda: told.connected)
        pid = host_process()
        for count in range(1, 3):  # refused and counted, on the same stream
            await governance.do(send, b"\xff" * 100)
            await told.until(lambda: dict(told.states[-1].refused).get("unreadable message", 0) >= count)  # noqa: B023
        assert told.states[-1].connections == 1
        for _ in range(100):
            await governance.do(send, b"\xff" * 100)
        await told.until(lambda: told.connected and told.states[-1].connections == 2)
        assert any("100 of its messages were refused" in state.reason for state in told.states)
        await governance.do(send, bytes(200_000))
        await told.until(lambda: told.connected and told.states[-1].connections == 3)
        reasons = [state.reason for state in told.states if state.reason]
        assert any("200000 bytes; at most 131072" in reason for reason in reasons), reasons
        begun, data = trio.current_time(), b"x" * 60_000
        for number in range(400):
            governance.server.proposals.clear()
            await governance.do(governance.server.propose, proposal(f"p-{number}", data))
        await told.until(lambda: len(told.proposals) >= 250)
        assert len(told.proposals) <= 200 + 50 * (trio.current_time() - begun) + 50
        assert host_process() == pid


async def raw_server(stream: trio.SocketStream, files: TlsFiles | None) -> None:
    """Answer any client with bytes that are neither HTTP/2 nor text."""
    garbage = bytes(range(256)) * 64
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if files is None:
            await stream.send_all(garbage)
            return
        context = files.context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2"])
        tls = trio.SSLStream(stream, context, server_side=True)
        await tls.send_all(garbage)
        await trio.sleep(0.2)


@pytest.mark.parametrize("with_tls", [False, True])
async def test_a_server_that_is_no_governance_ends_nothing(tmp_path: Path, with_tls: bool) -> None:
    """Bytes that are no HTTP/2 would end the process, or be waited for without end."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    server = authority.member("server")
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        handler = partial(raw_server, files=server if with_tls else None)
        nursery.start_soon(partial(trio.serve_listeners, handler, listeners))
        async with running_host(host_config(tmp_path, authority.member("node"), port)) as host:
            await host.told.until(lambda: len([one for one in host.told.states if one.reason]) > 2)
            pid = host_process()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                async with open_governance(server, port):
                    await host.told.until(lambda: host.told.connected)
                    assert host_process() == pid


@pytest.mark.parametrize("side", ["server", "node", "stranger"])
async def test_an_expired_or_foreign_certificate_is_refused_by_the_other_side(tmp_path: Path, side: str) -> None:
    """Anybody could be the governance, or a node; a renewed certificate works without a restart."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    server = authority.member("server", days=-1 if side == "server" else 1)
    node = authority.member("node", days=-1 if side == "node" else 1)
    if side == "stranger":
        other = CertificateAuthority(tmp_path, "other").member("node")
        node = attrs.evolve(other, authority=authority.file)
    async with (
        open_governance(server, port) as governance,
        running_host(host_config(tmp_path, node, port)) as host,
    ):
        await host.told.until(lambda: len([one for one in host.told.states if one.reason]) > 2)
        assert not any(state.connected for state in host.told.states)
        assert governance.server.requests == []
        if side == "server":
            assert "certificate" in host.told.reason
        else:
            authority.member("node")  # in the same files
            await host.told.until(lambda: host.told.connected)


async def test_a_silent_partition_is_noticed(tmp_path: Path) -> None:
    """A stream that neither breaks nor answers would be kept for ever."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    async with (
        open_governance(authority.member("server"), port) as governance,
        running_host(host_config(tmp_path, authority.member("node"), port), quick=True) as host,
    ):
        await host.told.until(lambda: host.told.connected)
        governance.server.faults.answers = False
        await host.told.until(lambda: not host.told.connected)
        assert host.told.reason == "no answer to 3 heartbeats"
        governance.server.faults.answers = True
        await host.told.until(lambda: host.told.connected)
