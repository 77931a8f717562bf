"""`alysd keys`."""

import io
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.commands import passphrase
from alysd.commands.federation_files import open_federation
from alysd.config import encrypted_secret
from alysd.config.chain_spec import load_chain_spec
from alysd.config.key_file import KeyKind, read_key_file
from alysd.errors import ConfigError
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.payment_record import PaymentRecord
from alysd.testing.chain import authority_secret, bitcoin_secret, member_keys
from alysd.testing.config_files import CONF, load
from alysd.types.hashes import XOnlyKey
from alysd.types.units import Slot
from alysd.validation import data_of, validate_node
from tests.integrations.libp2p import needs_libp2p


@pytest.mark.parametrize("kind", ["bls", "bitcoin", "network", "account"])
def test_a_new_key_is_written_and_only_its_public_half_shown(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The secret would stay in a terminal's history."""
    path = tmp_path / "member.key"
    assert main(["keys", "new", kind, "--out", str(path)]) == 0
    said = capsys.readouterr()
    secret = read_key_file(path).secret.hex()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in said.out + said.err
    public = said.out.splitlines()[-1]
    assert main(["keys", "show", str(path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{kind} key\npublic {public}\n")
    assert ("proof 0x" in shown.out) == (kind == "bls")
    assert shown.err == ""
    assert main(["keys", "show", str(path), "--secret"]) == 0
    assert capsys.readouterr().out.endswith(f"secret {secret}\n")


def test_without_a_name_the_file_is_named_after_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out, the key is in the file KIND.key of the working directory."""
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "new", "bls"]) == 0
    assert read_key_file(tmp_path / "bls.key", kind="bls")


def test_a_key_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second call would destroy a share of the locked BTC."""
    path = tmp_path / "member.key"
    assert main(["keys", "new", "bitcoin", "--out", str(path)]) == 0
    before = path.read_bytes()
    assert main(["keys", "new", "bitcoin", "--out", str(path)]) == 2
    assert path.read_bytes() == before
    assert "the file exists" in capsys.readouterr().err


def test_a_file_of_unknown_kind_wants_to_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The public half of another kind would be shown."""
    path = tmp_path / "k"
    path.write_text("11" * 32)
    path.chmod(0o600)
    assert main(["keys", "show", str(path)]) == 2
    assert "add --kind" in capsys.readouterr().err
    assert main(["keys", "show", str(path), "--kind", "bitcoin"]) == 0
    assert capsys.readouterr().out.startswith("bitcoin key\npublic 0x")


def test_a_secret_out_of_range_is_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of zeros would end in a stack trace."""
    path = tmp_path / "k"
    path.write_text("00" * 32)
    path.chmod(0o600)
    assert main(["keys", "show", str(path), "--kind", "network"]) == 2
    assert "not a network key" in capsys.readouterr().err


def test_a_file_that_others_may_read_is_remarked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A leaked key would go unnoticed."""
    path = tmp_path / "k"
    path.write_bytes((CONF / "dev-authority.key").read_bytes())
    path.chmod(0o644)
    assert main(["keys", "show", str(path)]) == 0
    assert f"chmod 600 {path}" in capsys.readouterr().err


def bitcoin_key(folder: Path) -> Path:
    """The file of a Bitcoin key."""
    path = folder / "bitcoin.key"
    write_key_file(path, "bitcoin", bitcoin_secret(0), "")
    return path


def test_the_proofs_are_those_that_a_chain_specification_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A member could not join, because loading checks the proofs."""
    member = member_keys(authority_secret(0), bitcoin_secret(0), 4242)
    path = tmp_path / "bls.key"
    write_key_file(path, "bls", authority_secret(0), "")
    assert main(["keys", "show", str(path)]) == 0
    assert capsys.readouterr().out.endswith(f"proof 0x{member.authority_proof.hex()}\n")
    options = "--chain-id", "4242", "--authority", "0x" + member.authority.hex()
    assert main(["keys", "show", str(bitcoin_key(tmp_path)), *options]) == 0
    assert capsys.readouterr().out.endswith(f"proof 0x{member.bitcoin_proof.hex()}\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--chain-id", "5"), "needs both --authority and --chain-id"),
        (("--authority", "0x12"), "needs both --authority and --chain-id"),
        (("--chain-id", "0", "--authority", "12"), "--chain-id 0: must be 1 to 4294967295, but not 8192 to 16383"),
        (("--chain-id", "5", "--authority", "12"), "--authority: must be a BLS public key: 48 bytes in hex"),
        (("--chain-id", "5", "--authority", "9f" + "00" * 47), "are not a BLS public key"),
    ],
)
def test_a_proof_for_nobody_is_refused(
    options: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The member would learn of a typing mistake from the others."""
    assert main(["keys", "show", str(bitcoin_key(tmp_path)), *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--chain-id", "8192"], "--chain-id 8192: must be 1 to 4294967295, but not 8192 to 16383"),
        (["--chain-id", "0"], "--chain-id 0: must be 1 to 4294967295, but not 8192 to 16383"),
        (["--address", "/ip4/127.0.0.1/tcp/9333"], "--network and --address belong together"),
        (["--fee-address", "0x12"], "--fee-address: must be an EVM address"),
        (["--network", "network.key", "--address", "127.0.0.1:9333"], "--address: must be a multiaddress such as"),
        (
            ["--bitcoin", "bls.key"],
            "bls.key: this is a key of the kind bls, but a key of the kind bitcoin is required",
        ),
    ],
)
def test_a_member_file_is_not_made_with_a_mistake(
    options: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The founders would find the mistake, or nobody."""
    monkeypatch.chdir(tmp_path)
    for kind in ("bls", "bitcoin", "network"):
        assert main(["keys", "new", kind]) == 0
    command = ["keys", "member", "--chain-id", "4242", "--bls", "bls.key", "--bitcoin", "bitcoin.key"]
    assert main([*command, "--out", "member.toml", *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "member.toml").exists()
    assert main([*command, "--out", "member.toml"]) == 0
    assert "secret" not in (tmp_path / "member.toml").read_text().replace("has no secret", "")
    assert main([*command, "--out", "member.toml"]) == 2, "an existing file is not overwritten"


@needs_libp2p
def test_a_new_member_gets_its_first_guard_only_from_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that has lost its disk would count as new, and its key could approve two blocks of one slot."""
    (member, _) = open_federation(tmp_path / "new", 2)
    guard, command = member.config.parent / "data/signing-guard", ["keys", "guard", "--config", str(member.config)]
    guard.unlink()
    run = [sys.executable, "-m", "alysd", "run", "--config", str(member.config)]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert f"{guard.parent}: the signing guard is missing" in ended.stderr
    assert ended.stderr.endswith("Only if no node has ever used this key: `alysd keys guard`\n")
    assert not guard.exists()
    for typed in ("", "yes\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert main(command) == 2
        assert "type the chain's name, federation-of-2, or use --yes" in capsys.readouterr().err
        assert not guard.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("federation-of-2\n"))
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "If a node has ever run with this key" in said
    assert said.endswith("done; `alysd run` starts the node\n")
    config = load(member.config)
    data_of(validate_node(config, load_chain_spec(config.chain.spec))).open(Slot(1)).store.close()
    assert main([*command, "--yes"]) == 2
    assert "has a signing guard, up to slot 0: keep it" in capsys.readouterr().err


# Passphrases


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted_secret, "LOG_COST", 4)


def passphrase_file(folder: Path, text: str = "open sesame\n") -> Path:
    path = folder / "passphrase"
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("kind", ["bitcoin", "account"])
def test_a_key_to_money_can_be_encrypted(
    kind: KeyKind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of the file is then worth nothing to a thief."""
    path, phrase = tmp_path / "member.key", passphrase_file(tmp_path)
    with_phrase = ["--passphrase-file", str(phrase)]
    assert main(["keys", "new", kind, "--out", str(path), *with_phrase]) == 0
    public = capsys.readouterr().out.splitlines()[-1]
    assert path.read_text().splitlines()[2].startswith("encrypted scrypt 4 8 1 ")
    assert main(["keys", "show", str(path), *with_phrase]) == 0
    assert capsys.readouterr().out == f"{kind} key\npublic {public}\n"
    passphrase_file(tmp_path, "open barley\n")
    assert main(["keys", "show", str(path), *with_phrase]) == 2
    assert "the passphrase is wrong" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="nothing names its passphrase"):
        read_key_file(path, kind=kind)


@pytest.mark.usefixtures("cheap")
def test_a_member_file_is_made_with_an_encrypted_key(tmp_path: Path) -> None:
    bls, bitcoin, phrase = tmp_path / "bls.key", tmp_path / "bitcoin.key", passphrase_file(tmp_path)
    assert main(["keys", "new", "bls", "--out", str(bls)]) == 0
    with_phrase = ["--passphrase-file", str(phrase)]
    assert main(["keys", "new", "bitcoin", "--out", str(bitcoin), *with_phrase]) == 0
    out = tmp_path / "member.toml"
    options = ["--chain-id", "7", "--bls", str(bls), "--bitcoin", str(bitcoin), "--out", str(out)]
    assert main(["keys", "member", *options, *with_phrase]) == 0
    assert out.exists()


@pytest.mark.usefixtures("cheap")
def test_a_terminal_asks_for_the_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing mistake would make the key unreadable for ever, so a new passphrase is asked for twice."""
    path = tmp_path / "bitcoin.key"
    new = ["keys", "new", "bitcoin", "--out", str(path), "--passphrase"]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(new) == 2
    assert "name a --passphrase-file" in capsys.readouterr().err
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    typed: list[str] = []

    def answer(_: str) -> str:
        return typed.pop(0)

    monkeypatch.setattr(passphrase, "getpass", answer)
    for typed[:], said in ((["a", "b"], "the two passphrases differ"), (["", ""], "must not be empty")):
        assert main(new) == 2
        assert said in capsys.readouterr().err
        assert not path.exists()
    typed[:] = ["typed"] * 3
    assert main(new) == 0
    assert main(["keys", "show", str(path)]) == 0
    assert typed == []


def test_only_a_bitcoin_key_has_a_passphrase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The node could not start by itself."""
    options = ["--out", str(tmp_path / "k"), "--passphrase-file", str(passphrase_file(tmp_path))]
    assert main(["keys", "new", "bls", *options]) == 2
    assert "a bls key cannot be encrypted" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "mode", "said"), [("\n", 0o600, "it is empty"), ("x\n", 0o644, "chmod 600")])
def test_a_passphrase_file_has_a_secret_first_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, mode: int, said: str
) -> None:
    phrase = passphrase_file(tmp_path, text)
    phrase.chmod(mode)
    options = ["--out", str(tmp_path / "k"), "--passphrase-file", str(phrase)]
    assert main(["keys", "new", "bitcoin", *options]) == 2
    assert said in capsys.readouterr().err


def test_an_empty_payment_record_is_made_only_by_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, record = tmp_path / "bitcoin.key", tmp_path / "signed-payments"
    assert main(["keys", "new", "bitcoin", "--out", str(key)]) == 0
    public = capsys.readouterr().out.splitlines()[-1].removeprefix("0x")
    command = ["keys", "record", "--bitcoin", str(key), "--out", str(record)]
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert main(command) == 2
    assert f"nothing was changed: type these digits, {public[:8]}, or use --yes" in capsys.readouterr().err
    assert not record.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{public[:8]}\n"))
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"the key {public} can sign every payment once more" in said
    PaymentRecord.open(record, XOnlyKey(bytes.fromhex(public))).close()
    assert main([*command, "--yes"]) == 2
    assert "exists: keep it" in capsys.readouterr().err
