"""`alysd governance` shows proposals, and `alysd dev-governance` obeys its keyboard and checks its files."""

from pathlib import Path
from typing import Any

import pytest

from alysd.cli import main
from alysd.commands import governance
from alysd.config.update_file import update_text
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.updates import members_update
from alysd.types.governance import GovernanceProposal
from tests.integrations.governance import needs_governance

ONE: dict[str, Any] = {
    "id": "p-1", "kind": "upgrade", "deadline": 2_000_000_000, "votes": 3, "bytes": 2, "hash": "0x05",
    "signature": "0x04", "data": "0x0102",
}  # fmt: skip


def node(monkeypatch: pytest.MonkeyPatch, **answers: dict[str, Any]) -> None:
    """Put these answers in place of a node's."""

    def answer(_url: str, method: str, *_params: object) -> dict[str, Any]:
        return answers[method]

    monkeypatch.setattr(governance, "ask_once", answer)


def test_proposals_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    up = {"connected": True, "endpoint": "a.b:1", "waiting": 2}
    hostile = {**ONE, "id": "\x1b[2J", "deadline": "soon", "signature": None}
    plain: dict[str, Any] = {"sequence": None, "height": 3}
    node(monkeypatch, getgovernance=up, listgovernanceproposals={"proposals": [ONE, hostile]}, getfederation=plain)
    assert main(["governance", "list"]) == 0
    assert capsys.readouterr().out == (
        "connected to a.b:1, 2 requests unanswered\n"
        "the chain has no governance keys: its federation never changes\n"
        "p-1  upgrade  until 2033-05-18 03:33 UTC  2 bytes  attested\n"
        "\\x1b[2J  upgrade  until an unknown time  2 bytes  not attested\n"
    )
    state: dict[str, Any] = {"sequence": 2, "pending": None, "height": 800}
    node(monkeypatch, getgovernance=DOWN, listgovernanceproposals={}, getfederation=state)
    assert main(["governance", "list"]) == 0
    assert capsys.readouterr().out == (
        "not connected to the governance: gone\nrefused: unreadable message, 2 times\n"
        "declined: federation update: WrongSequence, 3 times\n"
        "members: the next change has the sequence 3; the head is at 800\nno proposals\n"
    )


def test_one_proposal_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    node(monkeypatch, getgovernanceproposal=ONE)
    assert main(["governance", "show", "p-1"]) == 0
    shown = capsys.readouterr().out
    assert "vote      until 2033-05-18 03:33 UTC, 3 votes needed\n" in shown
    assert shown.endswith("data      0x0102 (2 bytes)\n")
    node(monkeypatch, getgovernanceproposal={})
    assert main(["governance", "show", "p-2"]) == 2
    assert "keeps no proposal p-2" in capsys.readouterr().err


DOWN = {
    "connected": False,
    "reason": "gone",
    "refused": {"unreadable message": 2},
    "declined": {"federation update: WrongSequence": 3},
}


@needs_governance
def test_the_keyboard_is_obeyed(tmp_path: Path) -> None:
    from alysd.commands.dev_governance import HELP, obey
    from alysd.integrations.governance.server import DevGovernance

    server = DevGovernance(CertificateAuthority(tmp_path).member("server"), print)
    assert obey(server, ["nodes"]) == "no node is registered"
    assert obey(server, ["propose", "p-1", "upgrade", "0x0102", "60"]) == "p-1 is announced to 0 nodes"
    assert obey(server, ["propose", "p-2", "upgrade", "words"]) == "p-2 is announced to 0 nodes"
    assert [one.data for one in server.proposals] == [b"\x01\x02", b"words"]
    assert all(isinstance(one, GovernanceProposal) for one in server.proposals)
    for wrong in ("propose p-3 other x", "propose p/3 upgrade x", "propose p upgrade x soon"):
        assert obey(server, [*wrong.split()]).startswith(
            "propose ID KIND DATA [SECONDS], with KIND one of federation"
        )
    assert obey(server, ["propose", "p", "upgrade", "0xzz"]) == "DATA is no hex"
    assert "at most 65536 are kept" in obey(server, ["propose", "p", "upgrade", "x" * 65537])
    assert obey(server, ["mute"]) == "it answers nothing"
    assert not server.faults.answers
    assert obey(server, ["unmute"]) == "it answers again"
    change = members_update(ChainHand.of(chain_spec()).context, 7, 5000, range(2))
    file = tmp_path / "update.json"
    file.write_text(update_text(change))
    assert obey(server, ["update", str(file)]) == "change 7 (members) is sent to 0 nodes"
    assert len(server.updates) == 1
    file.write_text("0x1234")
    assert "not a change of the federation" in obey(server, ["update", str(file)])
    assert "missing" in obey(server, ["update", str(tmp_path / "missing")])
    assert obey(server, ["drop"]) == "0 streams are ended"
    assert obey(server, ["garbage"]) == "100 bytes that are no message are sent"
    assert obey(server, ["nonsense"]) == HELP.rstrip()


@needs_governance
def test_files_and_addresses_are_checked_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = CertificateAuthority(tmp_path).member("server")
    options = ["--certificate", str(files.certificate), "--authority", str(files.authority), "--key"]
    assert main(["dev-governance", "--address", "here", *options, str(files.key)]) == 2
    assert main(["dev-governance", *options, str(tmp_path / "missing")]) == 2
    files.key.chmod(0o644)
    assert main(["dev-governance", *options, str(files.key)]) == 2
    first, second, third = capsys.readouterr().err.splitlines()[:3]
    assert first.startswith("alysd: --address here: must be an address")
    assert "the certificate or its key cannot be read: No such file or directory" in second
    assert "accessible to other users" in third
