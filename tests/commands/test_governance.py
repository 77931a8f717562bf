"""`alysd governance` shows proposals, and `alysd dev-governance` obeys its keyboard and checks its files."""

import asyncio
import time
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


@pytest.mark.parametrize("words", [["--url", "{}", "list"], ["list", "--url", "{}"]])
def test_the_url_may_stand_before_or_after_the_action(
    monkeypatch: pytest.MonkeyPatch, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def answer(url: str, _method: str, *_params: object) -> dict[str, Any]:
        asked.append(url)
        return {}

    monkeypatch.setattr(governance, "ask_once", answer)
    assert main(["governance", *(word.format("http://a.b:1") for word in words)]) == 0
    assert set(asked) == {"http://a.b:1"}
    assert main(["governance", "list"]) == 0
    assert asked[-1] == "http://127.0.0.1:3000"


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
    assert obey(server, "nodes") == "no node is registered"
    assert obey(server, "mute") == "it answers nothing"
    assert not server.faults.answers
    assert obey(server, "unmute") == "it answers again"
    assert obey(server, "drop") == "0 streams ended"
    assert obey(server, "garbage") == "100 bytes that are no message are sent to 0 nodes"
    assert obey(server, "help") == HELP.rstrip()
    assert obey(server, "nonsense x") == "there is no command `nonsense`: `help` shows the commands"
    assert obey(server, "drop all") == "`drop` takes nothing after it: `help` shows the commands"
    change = members_update(ChainHand.of(chain_spec()).context, 7, 5000, range(2))
    file = tmp_path / "an update.json"
    file.write_text(update_text(change))
    assert obey(server, f"update {file}") == "change 7 (members) is sent to 0 nodes"
    assert obey(server, f'update "{file}"') == "change 7 (members) is sent to 0 nodes"
    assert len(server.updates) == 2
    file.write_text("0x1234")
    assert "not a change of the federation" in obey(server, f"update {file}")
    assert "missing" in obey(server, f"update {tmp_path / 'missing'}")
    assert obey(server, "update") == "update FILE: FILE is missing"


PROPOSALS: list[tuple[str, bytes]] = [
    ("words", b"words"),
    ("raise the limit  to 60", b"raise the limit  to 60"),
    ('"raise the limit"', b"raise the limit"),
    ("'raise it'", b"raise it"),
    ("don't raise it", b"don't raise it"),
    ('"', b'"'),
    ("0x0102", b"\x01\x02"),
    ("0X0102", b"0X0102"),
    ("seconds=60 raise it", b"raise it"),
    ("seconds=60", b"seconds=60"),
]


@needs_governance
@pytest.mark.parametrize(("typed", "data"), PROPOSALS)
def test_the_data_of_a_proposal_is_the_rest_of_the_line(tmp_path: Path, typed: str, data: bytes) -> None:
    """A second word was taken for the seconds, and quotes for a part of the text."""
    from alysd.commands.dev_governance import obey
    from alysd.integrations.governance.server import DevGovernance

    server = DevGovernance(CertificateAuthority(tmp_path).member("server"), print)
    assert obey(server, f"propose p-1 upgrade {typed}") == f"p-1 ({len(data)} bytes) is announced to 0 nodes"
    (proposal,) = server.proposals
    assert isinstance(proposal, GovernanceProposal)
    assert (proposal.id, proposal.kind.value, proposal.data) == ("p-1", "upgrade", data)
    seconds = 60 if typed.startswith("seconds=60 ") else 86400
    assert abs(proposal.deadline - time.time() - seconds) < 30


@needs_governance
@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("propose", "KIND or ID is missing"),
        ("propose p", "KIND or ID is missing"),
        ("propose p upgrade", "DATA is missing"),
        ("propose p-3 other x", "KIND is one of federation, parameter, emergency, upgrade, found other"),
        ("propose p/3 upgrade x", "ID has 1 to 64 letters"),
        ("propose p upgrade seconds=soon x", "N is a whole number of at most 9 digits, found soon"),
        ("propose p upgrade 0xzz", "DATA begins with 0x, but is no hex of whole bytes"),
        ("propose p upgrade 0x0102 60", "DATA begins with 0x, but is no hex of whole bytes"),
        ("propose p upgrade " + "x" * 65537, "at most 65536 are kept"),
    ],
)
def test_a_mistake_in_a_proposal_is_named(tmp_path: Path, line: str, mistake: str) -> None:
    from alysd.commands.dev_governance import obey
    from alysd.integrations.governance.server import DevGovernance

    server = DevGovernance(CertificateAuthority(tmp_path).member("server"), print)
    assert mistake in obey(server, line)
    assert server.proposals == []


@needs_governance
def test_a_node_that_does_not_read_does_not_end_the_keyboard(tmp_path: Path) -> None:
    from alysd.commands.dev_governance import obey
    from alysd.integrations.governance.server import DevGovernance

    class Full(DevGovernance):
        def send(self, data: bytes) -> None:
            raise asyncio.QueueFull

    server = Full(CertificateAuthority(tmp_path).member("server"), print)
    assert obey(server, "garbage").startswith("a node does not read")


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
