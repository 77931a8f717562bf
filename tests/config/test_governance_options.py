"""The section [governance]: options that need each other, and certificates that are checked before a start."""

from pathlib import Path

import attrs
import pytest

from alysd.config.addresses import NodeId, ServerAddress
from alysd.config.connection_sections import GovernanceConfig
from alysd.errors import ConfigError
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.config_files import folder_with, load, problems_of
from alysd.validation import check_governance
from tests.integrations.governance import needs_governance


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (("governance.endpoints=a.b:1",), "governance.endpoints needs governance.node_id"),
        (("governance.endpoints=a.b:1",), "governance.endpoints needs governance.authority"),
        (("governance.node_id=n",), "governance.node_id needs governance.endpoints"),
        (("governance.key={key}",), "governance.key needs governance.endpoints"),
        (("governance.endpoints=" + ",".join(["a:1"] * 9),), "has 9 servers, at most 8"),
        (("governance.endpoints=a.b",), "must be a host and a port"),
        (("governance.endpoints=::1:5",), "must be a host and a port"),
        (("governance.node_id=a b",), "must be a name of 1 to 64 letters"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, settings: tuple[str, ...], problem: str) -> None:
    path = folder_with(tmp_path)
    key = tmp_path / "authority.key"
    with pytest.raises(ConfigError) as raised:
        load(path, *(setting.format(key=key) for setting in settings))
    assert problem in "\n".join(problems_of(raised.value))


@needs_governance
def test_certificates_are_checked_before_the_start(tmp_path: Path) -> None:
    """The node would start, and never reach the governance."""
    files = CertificateAuthority(tmp_path).member("node")
    right = GovernanceConfig(
        (ServerAddress("a.b", 1),), NodeId("n"), files.certificate, files.key, files.authority
    )
    check_governance(right)
    check_governance(GovernanceConfig())
    for wrong, words in (
        (attrs.evolve(right, certificate=files.key), "not a certificate and its key"),
        (attrs.evolve(right, authority=files.key), "not a certificate in PEM form"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_governance(wrong)
    files.key.chmod(0o644)
    with pytest.raises(ConfigError, match="accessible to other users"):
        check_governance(right)


def missing(_name: str) -> None:
    """Nothing is installed."""


def test_a_node_without_the_extra_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alysd.validation.find_spec", missing)
    files = CertificateAuthority(tmp_path).member("node")
    section = GovernanceConfig(
        (ServerAddress("a.b", 1),), NodeId("n"), files.certificate, files.key, files.authority
    )
    with pytest.raises(ConfigError, match=r"install alysd with the extra alysd\[governance\]"):
        check_governance(section)
