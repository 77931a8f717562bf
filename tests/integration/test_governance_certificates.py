"""The governance host with certificates and files as careless operators make them, over TLS."""

from pathlib import Path

import pytest

from alysd.testing.certificates import CertificateAuthority
from alysd.testing.processes import free_ports
from tests.integration.governance_host import host_config, running_host
from tests.integrations.governance import needs_governance

pytestmark = [
    needs_governance,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # as in test_governance.py
]

pytest.importorskip("grpclib")

from alysd.testing.governance import open_governance  # noqa: E402  it needs the extra


async def test_a_certificate_of_another_host_or_time_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Any server with a certificate of the authority could be the governance; a wrong clock would not be found."""
    first, second = free_ports(2)
    authority = CertificateAuthority(tmp_path)
    other, early = authority.member("other", host="127.0.0.9"), authority.member("early", 3, since=1)
    async with (
        open_governance(other, first) as one,
        open_governance(early, second) as two,
        running_host(host_config(tmp_path, authority.member("node"), first, second)) as host,
    ):
        for reason in ("IP address mismatch, certificate is not valid for '127.0.0.1'", "is not yet valid"):
            await host.told.until(lambda: any(reason in state.reason for state in host.told.states))  # noqa: B023
        assert one.server.requests == two.server.requests == []


async def test_files_that_become_unusable_are_named_and_used_again_when_repaired(tmp_path: Path) -> None:
    """A renewal that goes wrong would end the process, or need a restart."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    node = authority.member("node")
    async with (
        open_governance(authority.member("server"), port) as governance,
        running_host(host_config(tmp_path, node, port)) as host,
    ):
        await host.told.until(lambda: host.told.connected)
        node.key.chmod(0o644)
        await governance.do(governance.server.drop)
        await host.told.until(lambda: f"chmod 600 {node.key}" in host.told.reason)
        node.key.unlink()
        await host.told.until(lambda: "No such file" in host.told.reason)
        authority.member("node")
        await host.told.until(lambda: host.told.connected)
