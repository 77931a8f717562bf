"""The governance host in a process of its own, with a governance that abuses HTTP/2, over TLS."""

from pathlib import Path

import pytest

from alysd.messages.governance import SendPegIn
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.processes import free_ports
from tests.integration.governance_host import host_config, host_process, notice, running_host
from tests.integrations.governance import needs_governance

pytestmark = needs_governance

pytest.importorskip("grpclib")

from tests.integration.raw_governance import RawGovernance, raw_governance  # noqa: E402  it needs the extra

MB = 1 << 20

PING = b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
EMPTY_DATA = b"\0\0\0\0\0STRM"
UNKNOWN = b"\0\0\0\x77\0\0\0\0\0"


def private_bytes(process: int) -> int:
    """The private memory of a process."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


async def test_single_frames_without_messages_are_ignored(tmp_path: Path) -> None:
    """HTTP/2 allows them, so a proxy before the governance may send some."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    odd = RawGovernance(authority.member("server"), frames=PING + SETTINGS + EMPTY_DATA + UNKNOWN)
    async with (
        raw_governance(odd, port),
        running_host(host_config(tmp_path, authority.member("node"), port)) as host,
    ):
        await host.told.until(lambda: host.told.connected)
        await host.address.ask(SendPegIn(notice(1)))
        await host.told.until(lambda: any(state.received >= 3 for state in host.told.states))
        assert [state.reason for state in host.told.states if state.connections == 1 and state.reason] == []


@pytest.mark.parametrize(
    "frame", [PING, SETTINGS, EMPTY_DATA, UNKNOWN], ids=["ping", "settings", "data", "unknown"]
)
async def test_a_flood_of_frames_that_carry_no_message_ends_the_stream(tmp_path: Path, frame: bytes) -> None:
    """Flow control does not count such frames: their answers, or they themselves, would fill the memory."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    flood = RawGovernance(authority.member("server"), flood=frame)
    async with (
        raw_governance(flood, port),
        running_host(host_config(tmp_path, authority.member("node"), port)) as host,
    ):
        await host.told.until(lambda: host.told.connected)
        process = host_process()
        before = private_bytes(process)
        await host.told.until(lambda: not host.told.connected)
        assert "frames without messages" in host.told.reason
        assert host_process() == process
        assert private_bytes(process) < before + 20 * MB
        flood.flood = b""
        await host.address.ask(SendPegIn(notice(1)))
        await host.told.until(lambda: host.told.connected and host.told.states[-1].waiting == 0)
