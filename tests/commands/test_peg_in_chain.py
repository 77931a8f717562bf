"""`alysd peg in --chain`: a node that names its own Bitcoin address gets no deposit."""

from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.cli import main
from alysd.config.chain_spec import load_chain_spec
from alysd.config.update_file import update_text
from alysd.peg.federation import deposit_address
from alysd.testing.http_server import Reply, result, serving
from alysd.testing.updates import governance_keys, members_update
from alysd.validation import genesis_of

TO = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
THIEF = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


def chain_file(folder: Path, *options: str) -> Path:
    assert main(["init", str(folder), "--dev", *options]) == 0
    return folder / "chains" / "dev.toml"


async def run(chain: Path, *options: str, **changed: Any) -> tuple[int, int]:
    """Run the command against a node whose answer is right but for these changes. The status and the requests."""
    spec = load_chain_spec(chain)
    right = {
        "address": deposit_address(spec.federation_bitcoin_keys, "regtest"),
        "network": "regtest",
        "minimum": spec.peg_in_minimum,
        "confirmations": spec.peg_in_confirmations,
    }

    async def answered(_request: dict[str, Any]) -> Reply:
        return result({**right, **changed})

    async with serving(answered) as server:
        words = ["peg", "in", "--to", TO, "--no-qr", "--chain", str(chain), "--url", server.url, *options]
        return await trio.to_thread.run_sync(main, words), len(server.requests)


async def test_the_federations_own_address_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = chain_file(tmp_path / "chain", "--peg")
    capsys.readouterr()
    assert (await run(chain))[0] == 0
    said = capsys.readouterr().out
    assert deposit_address(load_chain_spec(chain).federation_bitcoin_keys, "regtest") in said
    assert "The address is that of the chain specification's federation." in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"address": THIEF}, f"the node names the address {THIEF}, but "),
        (
            {"address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "network": "mainnet"},
            "names the network mainnet",
        ),
        ({"minimum": 1}, "the node names the minimum 1,"),
        ({"confirmations": 1}, "the node names the confirmations 1,"),
    ],
)
async def test_another_answer_is_refused(
    changed: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = chain_file(tmp_path / "chain", "--peg")
    capsys.readouterr()
    assert (await run(chain, **changed))[0] == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert "do not pay" in said.err
    assert "has changed" not in said.err, "without governance keys, the federation cannot change"


async def test_a_federation_that_can_change_is_named_as_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = governed(tmp_path)
    capsys.readouterr()
    assert (await run(chain, address=THIEF))[0] == 2
    assert "or the federation has changed since then" in capsys.readouterr().err
    assert (await run(chain))[0] == 0
    said = capsys.readouterr().out
    assert "no file shows\nwhether they have changed the federation since" in said, "the files cannot know"
    assert "that of the chain specification" not in said


async def test_the_address_after_signed_changes_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = governed(tmp_path)
    context = genesis_of(load_chain_spec(chain)).context
    update = members_update(context, 1, 500, [5, 6], [0])
    file = tmp_path / "update.json"
    file.write_text(update_text(update))
    later = deposit_address(tuple(one.bitcoin_key for one in update.members), "regtest")
    capsys.readouterr()
    assert (await run(chain, "--update", str(file), address=later))[0] == 0
    assert later in capsys.readouterr().out
    assert (await run(chain, "--update", str(file)))[0] == 2
    assert "do not pay: the node names the address" in capsys.readouterr().err
    file.write_text(update_text(attrs.evolve(update, sequence=2)))
    assert (await run(chain, "--update", str(file), address=later))[0] == 2
    assert "update.json: it is change 2 of the members, and change 1 is needed" in capsys.readouterr().err
    assert main(["peg", "in", "--to", TO, "--update", str(file)]) == 2
    assert "--update: needs --chain" in capsys.readouterr().err


def governed(folder: Path) -> Path:
    """The specification of a chain with a peg and a governance key."""
    chain, key = chain_file(folder / "chain", "--peg"), governance_keys(1)[0].hex()
    text = chain.read_text().replace("governance_keys = []", f'governance_keys = ["0x{key}"]')
    chain.write_text(text.replace("governance_threshold = 0", "governance_threshold = 1"))
    return chain


async def test_a_chain_without_a_peg_is_refused_before_the_node_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(chain_file(tmp_path / "chain")) == (2, 0)
    assert "the chain alys-dev has no peg" in capsys.readouterr().err


def test_a_file_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peg", "in", "--to", TO, "--chain", str(tmp_path / "none.toml")]) == 2
    assert str(tmp_path / "none.toml") in capsys.readouterr().err
