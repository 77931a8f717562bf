"""`alysd genesis`."""

from pathlib import Path

import pytest

from alysd.cli import main
from alysd.config.chain_spec import load_chain_files, load_chain_spec
from alysd.integrations.possession import check_possession
from alysd.testing.config_files import CONF
from alysd.types.hashes import displayed
from alysd.validation import genesis_of
from alysd.wire.multiaddress import parse_peer_address

SHORT = CONF / "chains" / "short" / "dev.toml"


def test_both_files_are_those_in_the_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain that is shipped could not be made again."""
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path / "new")]) == 0
    for name in ("dev.toml", "dev.genesis.json"):
        assert (tmp_path / "new" / name).read_bytes() == (CONF / "chains" / name).read_bytes()
    assert capsys.readouterr().out.splitlines()[-1].startswith("genesis a3a78cee")


def test_a_chain_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A living chain would get another beginning."""
    (tmp_path / "dev.genesis.json").write_text("{}")
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path)]) == 2
    assert (tmp_path / "dev.genesis.json").read_text() == "{}"
    assert "the file exists" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake must not end in a stack trace."""
    (tmp_path / "file").write_text("")
    assert main(["genesis", "--input", str(SHORT), "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"alysd: {tmp_path}/file/dev.genesis.json: ")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("chain_id = 121212", "chain_id = 121213", "federation_bitcoin_proofs[0] of the chain alys-dev"),
        ("0xa4c25b3a", "0xa4c25b3b", "authority_proofs[0] of the chain alys-dev"),
        ('"1000 BTC"', '"21000001 BTC"', "more than the 21,000,000 BTC that can exist"),
    ],
)
def test_a_chain_that_no_node_would_load_is_not_written(
    old: str, new: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The members would learn of it one by one, with the files in their hands."""
    text = SHORT.read_text()
    assert old in text
    description = tmp_path / "short.toml"
    description.write_text(text.replace(old, new, 1))
    assert main(["genesis", "--input", str(description), "--output", str(tmp_path / "new")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def found(folder: Path, members: int) -> list[str]:
    """Make the keys and member files of a federation with the commands; returns the options of `alysd genesis`."""
    options = ["genesis", "--input", str(folder / "alys.toml"), "--output", str(folder / "new")]
    (folder / "alys.toml").write_text(
        'name = "alys"\nchain_id = 4242\nbitcoin_network = "regtest"\npeg_in_minimum = 100_000\n'
        "peg_out_minimum = 100_000\nbits = 0x207fffff\npow_limit = 0x207fffff\n"
    )
    for index in range(members):
        home = folder / f"member-{index}"
        home.mkdir(exist_ok=True)
        command = ["keys", "member", "--chain-id", "4242", "--out", str(home / "member.toml")]
        for kind in ("bls", "bitcoin", "network"):
            assert main(["keys", "new", kind, "--out", str(home / f"{kind}.key")]) == 0
            command += [f"--{kind}", str(home / f"{kind}.key")]
        command += [
            "--address",
            f"/dns/member-{index}.example.org/tcp/9333",
            "--fee-address",
            f"0x{index + 1:040x}",
        ]
        assert main(command) == 0
        options += ["--member", str(home / "member.toml")]
    return options


def test_the_files_of_four_members_become_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Founders would copy 20 strings by hand, and one wrong place would be a chain that nobody can approve."""
    options = found(tmp_path, 4)
    said = capsys.readouterr().out
    assert main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    spec = load_chain_spec(tmp_path / "new/alys.toml")
    check_possession(spec)
    assert len(spec.authorities) == 4
    assert [address[-1] for address in spec.federation_fee_addresses] == [1, 2, 3, 4]
    for index, key in enumerate(spec.authorities):
        assert f"0x{key.hex()}" in said
        assert lines[1 + index].startswith(
            f"member {index}: authority 0x{key.hex()[:16]}…, from {tmp_path}/member-"
        )
    assert lines[5] == "quorum 3 of 4: blocks need 3 running members; at most 1 may lie"
    peers = [parse_peer_address(line.strip()) for line in lines if "/p2p/" in line]
    assert [peer.host for peer in peers] == [f"member-{index}.example.org" for index in range(4)]
    assert load_chain_files(tmp_path / "new/alys.toml").bootnodes == tuple(peers)
    assert lines[-1] == f"genesis {displayed(genesis_of(spec).context.genesis)}"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("authority_proof", "authority_proof: does not prove that the member has the secret of the authority key"),
        ("bitcoin_proof", "bitcoin_proof: does not prove that the member has the secret on chain 4242"),
        ("authority", "authority: these 48 bytes are not a BLS public key"),
    ],
)
def test_a_member_file_with_a_false_key_is_named(
    key: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rogue key would let its owner approve for all."""
    options = found(tmp_path, 2)
    path = tmp_path / "member-1/member.toml"
    text = path.read_text()
    at = text.index(f"{key} = ") + len(f'{key} = "0x') + 10
    path.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    assert main(options) == 2
    assert f"alysd: {path}: {words}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("key", ["fee_address", "peer"])
def test_two_members_with_the_same_value_are_named(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal fee addresses were reported as those of the chain: 'contains an entry twice', with no file."""
    options = found(tmp_path, 2)
    first, second = (tmp_path / f"member-{index}/member.toml" for index in range(2))
    copied, replaced = (
        next(line for line in path.read_text().splitlines() if line.startswith(key)) for path in (first, second)
    )
    second.write_text(second.read_text().replace(replaced, copied))
    assert main(options) == 2
    assert f"{second}: its {key} is also that of {first}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_description_that_has_the_lists_too_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the two would silently count."""
    options = found(tmp_path, 1)
    text = (tmp_path / "alys.toml").read_text()
    (tmp_path / "alys.toml").write_text(text + f'federation_fee_addresses = ["0x{7:040x}"]\n')
    assert main(options) == 2
    assert "federation_fee_addresses = " in (said := capsys.readouterr().err)
    assert "the member files have it too: remove it here" in said
