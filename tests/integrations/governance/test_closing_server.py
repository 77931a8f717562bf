"""The end of a governance: no connection stays open, whatever its peer does."""

import gc
import ssl
from pathlib import Path

import pytest
import trio

from alysd.integrations.payment_link import TlsFiles
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.processes import free_ports
from tests.integrations.governance import needs_governance

pytestmark = needs_governance


async def connected(files: TlsFiles, port: int) -> "trio.SSLStream[trio.SocketStream]":
    """A connection that has got the first bytes of HTTP/2."""
    context = files.context(ssl.Purpose.SERVER_AUTH)
    context.set_alpn_protocols(["h2"])
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(plain, context, server_hostname="127.0.0.1", https_compatible=True)
    assert await stream.receive_some()
    return stream


@pytest.mark.parametrize("closes", [True, False])
async def test_the_end_closes_all_connections(
    closes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that does not close its connection would keep it open for ever."""
    from alysd.integrations.governance import closing_server
    from alysd.testing.governance import open_governance

    monkeypatch.setattr(closing_server, "CLOSE_SECONDS", 0.2)
    authority, (port,) = CertificateAuthority(tmp_path), free_ports(1)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, open_governance(authority.member("server"), port) as governance:
            stream = await connected(authority.member("node"), port)
            if closes:
                nursery.start_soon(_until_closed, stream)
    gc.collect()  # warns about a connection that the server has left open
    await stream.transport_stream.aclose()
    assert governance.heard == ([] if closes else ["some connections did not close in order"])


async def _until_closed(stream: "trio.SSLStream[trio.SocketStream]") -> None:
    while await stream.receive_some():
        pass
    await stream.aclose()
