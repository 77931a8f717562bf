"""`alysd federation update`: from the members' files to a signed change that the rules accept."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import trio

import alysd.commands.actors
from alysd.cli import main
from alysd.config.chain_spec import load_chain_spec
from alysd.config.update_file import read_update, update_text
from alysd.consensus.federation_update import check_governance, check_update
from alysd.errors import ConfigError
from alysd.integrations.bls import BLS, public_key
from alysd.integrations.key_kinds import public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.possession import x_only_key
from alysd.peg.federation import deposit_address
from alysd.testing.chain import authority_secret, bitcoin_secret
from alysd.testing.config_files import CONF
from alysd.testing.http_server import Reply, result, serving
from alysd.testing.updates import governance_secret
from alysd.validation import genesis_of
from alysd.wire.federation_update import encode_update, update_message
from alysd.workflows.update_checks import update_checks


def key_file(folder: Path, name: str, kind: Any, secret: bytes) -> Path:
    path = folder / name
    write_key_file(path, kind, secret, public_text(kind, secret))
    return path


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """The development chain with two governance keys, both of which sign."""
    keys = [key_file(tmp_path, f"governance{index}.key", "bitcoin", governance_secret(index)) for index in (0, 1)]
    assert len(keys) == 2
    text = (CONF / "chains" / "dev.toml").read_text()
    public = ", ".join(f'"0x{public_text("bitcoin", governance_secret(index))[-64:]}"' for index in (0, 1))
    text = text.replace("governance_keys = []", f"governance_keys = [{public}]")
    text = text.replace("governance_threshold = 0", "governance_threshold = 2")
    text = text.replace("dev.genesis.json", str(CONF / "chains" / "dev.genesis.json"))
    path = tmp_path / "chain.toml"
    path.write_text(text)
    return path


@pytest.fixture
def made(tmp_path: Path, chain: Path) -> Path:
    """The file of a change to two members, without signatures."""
    chain_id, files = load_chain_spec(chain).chain_id, list[str]()
    for member in (0, 1):
        authority = key_file(tmp_path, f"bls{member}.key", "bls", authority_secret(member))
        bitcoin = key_file(tmp_path, f"bitcoin{member}.key", "bitcoin", bitcoin_secret(member))
        path = tmp_path / f"member{member}.toml"
        options = ["--bls", str(authority), "--bitcoin", str(bitcoin), "--fee-address", f"0x{member + 1:040x}"]
        assert main(["keys", "member", "--chain-id", str(chain_id), *options, "--out", str(path)]) == 0
        files += ["--member", str(path)]
    path = tmp_path / "update.json"
    assert (
        main(["federation", "update", "new", "--sequence", "1", "--height", "500", *files, "--out", str(path)])
        == 0
    )
    return path


@pytest.mark.parametrize("kind", ["halt", "resume"])
def test_a_change_of_the_peg_names_nobody(
    tmp_path: Path, chain: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Governance could not halt the peg, or a person would think that such a change has members."""
    path = tmp_path / "peg.json"
    new = ["federation", "update", "new", "--sequence", "1", "--height", "500", f"--{kind}", "--out", str(path)]
    assert main(new) == 0
    assert capsys.readouterr().out.endswith(f"change 1 of the peg: {kind} it from height 500 on\n")
    assert sign(path, chain, 0) == sign(path, chain, 1) == 0
    update, spec = read_update(path), load_chain_spec(chain)
    assert (update.kind, update.members, update.fee_addresses, update.sequence) == (kind, (), (), 1)
    check_governance(update, genesis_of(spec).context, update_message(update, genesis_of(spec).context.genesis))


def test_a_change_is_either_of_the_members_or_of_the_peg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = [
        "federation",
        "update",
        "new",
        "--sequence",
        "1",
        "--height",
        "500",
        "--out",
        str(tmp_path / "update.json"),
    ]
    assert main([*new, "--halt", "--fee-address", "0x" + "11" * 20]) == 2
    assert "names no --member and no --fee-address" in capsys.readouterr().err
    assert main(new) == 2
    assert "--member, or give --halt or --resume" in capsys.readouterr().err
    assert not (tmp_path / "update.json").exists()


def sign(path: Path, chain: Path, key: int) -> int:
    file = chain.parent / f"governance{key}.key"
    return main(["federation", "update", "sign", str(path), "--chain", str(chain), "--key", str(file)])


def test_a_change_is_made_signed_by_two_and_combined(
    made: Path, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Holders of keys sign copies of the file on machines of their own."""
    copy = made.with_name("copy.json")
    copy.write_text(made.read_text())
    members = [
        f"  member       0x{public_key(authority_secret(one)).hex()}\n"
        f"  bitcoin key  {x_only_key(bitcoin_secret(one)).hex()}"
        for one in (0, 1)
    ]
    fees = [f"  fee address  0x{one:040x}" for one in (1, 2)]
    described = "\n".join(["change 1 of the members, from height 500 on:", *members, *fees, ""])
    assert sign(made, chain, 1) == 0
    assert capsys.readouterr().out == f"{described}1 signature, and the chain needs 2\n"
    assert sign(copy, chain, 0) == 0
    assert main(["federation", "update", "combine", str(made), str(copy)]) == 0
    assert capsys.readouterr().out.endswith("\n2 signatures\n")
    genesis, update = genesis_of(load_chain_spec(chain)), read_update(made)
    assert [one.index for one in update.signatures] == [0, 1]
    assert len(update.members) == 2
    check_update(update, genesis.state, genesis.context, update_checks(BLS))
    assert update_text(update) == made.read_text()


def test_the_holder_sees_the_deposit_address_before_the_key_is_read(
    made: Path, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The person who makes a change could name Bitcoin keys of their own, and get all bitcoin."""
    genesis = json.loads((CONF / "chains" / "dev.genesis.json").read_text())
    for account in genesis["alloc"].values():
        account["balance"] = "0x0"  # a chain with a peg begins without money
    bridge = next(account for place, account in genesis["alloc"].items() if place.lower().endswith("bb" * 20))
    bridge["storage"] = {"0x" + "00" * 32: "0x" + "00" * 31 + "01"}
    (chain.parent / "peg.genesis.json").write_text(json.dumps(genesis))
    text = chain.read_text().replace(
        str(CONF / "chains" / "dev.genesis.json"), str(chain.parent / "peg.genesis.json")
    )
    chain.write_text(re.sub(r"(peg_(in|out)_minimum) = \d+", r"\1 = 1000000", text))
    capsys.readouterr()
    no_key = ["--key", str(chain.parent / "none.key")]
    assert main(["federation", "update", "sign", str(made), "--chain", str(chain), *no_key]) == 2
    keys = [x_only_key(bitcoin_secret(one)) for one in (0, 1)]
    assert f"  deposits to  {deposit_address(keys, 'regtest')}\n" in capsys.readouterr().out
    assert read_update(made).signatures == ()


def test_signing_again_changes_nothing(made: Path, chain: Path) -> None:
    sign(made, chain, 0)
    before = made.read_text()
    sign(made, chain, 0)
    assert made.read_text() == before


def test_what_does_not_belong_together_is_refused(
    made: Path, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = made.with_name("other.json")
    other.write_text(made.read_text().replace('"sequence": 1', '"sequence": 2'))
    assert main(["federation", "update", "combine", str(made), str(other)]) == 2
    assert "another change" in capsys.readouterr().err
    stranger = made.with_name("bitcoin0.key")
    assert main(["federation", "update", "sign", str(made), "--chain", str(chain), "--key", str(stranger)]) == 2
    assert "is none of the 2 governance_keys" in capsys.readouterr().err


CHANGES: list[dict[str, Any]] = [
    {"kind": "sell"},
    {"sequence": -1},
    {"sequence": True},
    {"members": {}},
    {"members": [{}]},
    {"fee_addresses": ["0x11"]},
    {"signatures": [{"index": 0, "signature": "0x"}]},
    {"more": 1},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_of_another_form_is_refused(made: Path, change: dict[str, Any]) -> None:
    made.write_text(json.dumps({**json.loads(made.read_text()), **change}))
    with pytest.raises(ConfigError, match="not a change of the federation"):
        read_update(made)


@pytest.mark.parametrize("text", ["", "[]", "7", "{"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "update.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a change of the federation"):
        read_update(path)


def test_submit_gives_the_node_the_whole_change(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, str]] = []
    answer: dict[str, Any] = {"new": True}

    def ask(_path: Path, request: dict[str, str]) -> dict[str, Any]:
        asked.append(request)
        return answer

    monkeypatch.setattr(alysd.commands.actors, "ask", ask)
    submit = ["federation", "update", "submit", str(made), "--config", str(CONF / "dev.toml")]
    assert main(submit) == 0
    assert asked == [{"command": "submit_update", "update": encode_update(read_update(made)).hex()}]
    assert "takes effect at height 500" in capsys.readouterr().out
    answer = {"new": False}
    assert main(submit) == 0
    assert "the node had it already" in capsys.readouterr().out
    answer = {"error": "update_refused", "rule": "TooSoon", "message": "the update takes effect at height 500"}
    assert main(submit) == 2
    assert "takes effect at height 500" in capsys.readouterr().err


async def test_status_shows_both_sequences_or_names_the_wrong_server(capsys: pytest.CaptureFixture[str]) -> None:
    """The URL of the Ethereum RPC is an easy mistake: it answers, but knows none of the methods."""
    state = {"sequence": 4, "height": 9, "peg": {"halted": False, "sequence": 2, "pending": None}}
    replies = [result(state), Reply(body=b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}')]

    async def answered(_request: dict[str, Any]) -> Reply:
        return replies.pop(0)

    async with serving(answered) as server:
        words = ["federation", "update", "status", "--url", server.url]
        assert await trio.to_thread.run_sync(main, words) == 0
        assert await trio.to_thread.run_sync(main, words) == 2
        shown = capsys.readouterr()
    assert shown.out == (
        "members: the next change has the sequence 5; the head is at 9\n"
        "peg: the next change (halt) has the sequence 3; the head is at 9\n"
    )
    assert f"{server.url} does not know the method getfederation: give the URL of an Alys node" in shown.err
    assert main(["federation", "update", "status", "--url", "127.0.0.1:3000"]) == 2
    assert "must be a URL that begins with http://" in capsys.readouterr().err
