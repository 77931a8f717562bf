"""`alysd import-v1`: the members of a V1 chain make a chain of this version with the same keys."""

import json
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.config.chain_spec import load_chain_spec
from alysd.config.key_file import read_key_file
from alysd.integrations.key_kinds import public_text

SECRETS = [(bytes([0, place]) * 16, bytes([1, place]) * 16) for place in (1, 2)]


class V1:
    """The files of a V1 chain with two members."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.chain = folder, folder / "chain.json"
        self.document = {
            "slotDuration": 4000,
            "authorities": [public_text("bls", one) for one, _ in SECRETS],
            "federationBitcoinPubkeys": ["02" + public_text("bitcoin", one)[2:] for _, one in SECRETS],
            "federation": [f"0x{place:040x}" for place in (7, 8)],
            "bits": 0x207FFFFF,
            "chainId": 727272,
            "maxBlocksWithoutPow": 500,
            "bitcoinStartHeight": 0,
            "retargetParams": {"powLimit": 0x207FFFFF},
            "requiredBtcTxnConfirmations": 6,
        }
        self.chain.write_text(json.dumps(self.document))
        for place, secrets in enumerate(SECRETS):
            for name, secret in zip(("bls", "bitcoin"), secrets, strict=True):
                path = folder / f"{name}{place}.hex"
                path.write_text(secret.hex())  # as V1 has it: without an end of line
                path.chmod(0o600)

    def change(self, **changed: object) -> None:
        self.chain.write_text(json.dumps({**self.document, **changed}))

    def run(self, output: str, *options: str | Path) -> int:
        words = [self.chain, "--output", self.folder / output, "--bitcoin-network", "regtest", *options]
        return main(["import-v1", *map(str, words)])

    def keys(self, place: int, other: int | None = None) -> list[str | Path]:
        """The options for the keys of a member; the Bitcoin key may be that of another one."""
        bitcoin = self.folder / f"bitcoin{place if other is None else other}.hex"
        return [
            "--bls",
            self.folder / f"bls{place}.hex",
            "--bitcoin",
            bitcoin,
            "--keys",
            self.folder / f"keys{place}",
        ]

    def member(self, place: int) -> Path:
        """Make the member file of a member with its imported keys."""
        keys, path = self.folder / f"keys{place}", self.folder / f"member{place}.toml"
        words = ["keys", "member", "--chain-id", "727272", "--bls", keys / "authority.key"]
        assert main([*map(str, words), "--bitcoin", str(keys / "bitcoin.key"), "--out", str(path)]) == 0
        return path


def test_the_members_make_a_chain_with_their_old_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    v1 = V1(tmp_path)
    assert v1.run("alys.toml", "--peg") == 0
    said = capsys.readouterr().out
    assert "not taken over, or changed:" in said
    assert "blocks, balances and contracts of V1" in said
    for place in (0, 1):
        assert v1.run(f"mine{place}.toml", *v1.keys(place)) == 0
        assert f"the keys are those of member {place}" in capsys.readouterr().out
    key = read_key_file(tmp_path / "keys1" / "authority.key", kind="bls")
    assert (key.kind, key.secret) == ("bls", SECRETS[1][0])
    files = [v1.member(place) for place in (0, 1)]
    options = [word for path in files for word in ("--member", str(path))]
    assert v1.run("checked.toml", *options) == 0
    words = ["genesis", "--input", str(tmp_path / "alys.toml"), "--output", str(tmp_path / "chains"), *options]
    assert main(words) == 0
    spec = load_chain_spec(tmp_path / "chains" / "alys.toml")
    assert [f"0x{one.hex()}" for one in spec.authorities] == v1.document["authorities"]
    assert (spec.name, spec.chain_id, spec.slot_seconds, spec.peg_in_confirmations) == ("alys", 727272, 4, 6)
    assert [f"0x{one.hex()}" for one in spec.federation_fee_addresses] == v1.document["federation"]


def test_members_in_another_order_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The order is that of the slots."""
    v1 = V1(tmp_path)
    for place in (0, 1):
        assert v1.run(f"mine{place}.toml", *v1.keys(place)) == 0
    first, second = v1.member(0), v1.member(1)
    assert v1.run("x.toml", "--member", second, "--member", first) == 2
    assert f"{second}: authority is 0x" in capsys.readouterr().err
    assert v1.run("x.toml", "--member", first) == 2
    assert "1 files, but" in capsys.readouterr().err
    assert not (tmp_path / "x.toml").exists()


def test_keys_that_do_not_belong_together_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    v1 = V1(tmp_path)
    assert v1.run("x.toml", *v1.keys(0, other=1)) == 2
    assert "the two keys are of the members [0, 1]" in capsys.readouterr().err
    stranger = tmp_path / "stranger.hex"
    stranger.write_text("05" * 32)
    stranger.chmod(0o600)
    assert v1.run("x.toml", "--bls", stranger, "--keys", tmp_path / "k") == 2
    assert "is not that of a member" in capsys.readouterr().err
    stranger.chmod(0o644)
    assert v1.run("x.toml", "--bls", stranger, "--keys", tmp_path / "k") == 2
    assert "accessible to other users" in capsys.readouterr().err
    stranger.chmod(0o600)
    stranger.write_text("ff" * 32)
    for kind in ("--bls", "--bitcoin"):
        assert v1.run("x.toml", kind, stranger, "--keys", tmp_path / "k") == 2
    assert v1.run("x.toml", "--keys", tmp_path / "k") == 2
    assert "are needed together" in capsys.readouterr().err
    assert not (tmp_path / "k").exists()
    assert not (tmp_path / "x.toml").exists()


def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    v1 = V1(tmp_path)
    assert v1.run("alys.toml", *v1.keys(0)) == 0
    assert v1.run("alys.toml") == 2
    assert v1.run("other.toml", *v1.keys(0)) == 2
    assert "authority.key: the file exists, and nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "other.toml").exists()


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("Alys.toml", (), "only small letters"),
        ('a".toml', (), "only small letters"),
        ("alys.toml", ("--minimum", "0"), "--minimum 0: must be from 1"),
    ],
)
def test_a_wrong_option_is_refused(
    output: str, options: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert V1(tmp_path).run(output, *options) == 2
    assert words in capsys.readouterr().err


def test_a_chain_that_no_node_would_load_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`alysd genesis` wrote the files, and each node then refused them."""
    v1 = V1(tmp_path)
    assert v1.run("alys.toml", "--peg", "--minimum", "1000") == 0
    options: list[str] = []
    for place in (0, 1):
        assert v1.run(f"mine{place}.toml", *v1.keys(place)) == 0
        options += ["--member", str(v1.member(place))]
    words = ["genesis", "--input", str(tmp_path / "alys.toml"), "--output", str(tmp_path / "chains"), *options]
    assert main(words) == 2
    assert "peg_in_minimum 1,000" in capsys.readouterr().err
    assert not (tmp_path / "chains").exists()


def test_keys_that_nobody_can_have_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    v1 = V1(tmp_path)
    v1.change(authorities=["0x" + "ab" * 48, public_text("bls", SECRETS[1][0])])
    assert v1.run("chain.toml") == 2
    assert "of member 0 is no point of BLS12-381" in capsys.readouterr().err
    assert not (tmp_path / "chain.toml").exists()


def test_a_chain_with_a_peg_has_no_more_members_than_bitcoin_can_relay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    v1, secrets = V1(tmp_path), [bytes([2, place]) * 16 for place in range(21)]
    v1.change(
        authorities=[public_text("bls", one) for one in secrets],
        federationBitcoinPubkeys=["02" + public_text("bitcoin", one)[2:] for one in secrets],
        federation=[f"0x{place + 1:040x}" for place in range(21)],
    )
    assert v1.run("chain.toml", "--peg") == 2
    assert "has 21 members, and a chain with a peg has at most 20" in capsys.readouterr().err
    assert v1.run("chain.toml") == 0
