"""The signer of payments that a configuration names: its key, passphrase and record, or words about them."""

from pathlib import Path

import attrs
import pytest

from alysd.cli import main
from alysd.config import encrypted_secret
from alysd.config.bridge import bridge_account
from alysd.config.chain_spec import load_chain_spec
from alysd.config.key_file import read_key_file
from alysd.errors import AlysError, ConfigError, Corrupt, PaymentForbidden, PaymentRecordMissing, SignerUnavailable
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.payment_record import locked_record
from alysd.integrations.possession import x_only_key
from alysd.payment_signer import open_payment_signer
from alysd.testing.chain import bitcoin_secret, member_keys
from alysd.testing.config_files import CONF, load, problems_of
from alysd.testing.updates import governance_keys
from alysd.testing.virtual_time import VirtualClock
from alysd.types.chain_spec import ChainSpec, has_peg
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.units import Slot
from alysd.validation import ValidNode, data_of, validate_node
from tests.peg.payment_kit import make_payment, spendings_of

NO_PEG = load_chain_spec(CONF / "chains" / "dev.toml")


def with_peg() -> ChainSpec:
    """The development chain with a peg, whose only member has the Bitcoin key of a test's member 0."""
    genesis = NO_PEG.execution_genesis
    alloc = {key: one for key, one in genesis["alloc"].items() if BRIDGE_ADDRESS.hex() not in key.lower()}
    alloc = {key: one for key, one in alloc.items() if int(one["balance"], 0) == 0}
    bridge = {"0x" + BRIDGE_ADDRESS.hex(): bridge_account(peg=True)}
    authority = read_key_file(CONF / "dev-authority.key", known_to_all=True).secret
    member = member_keys(authority, bitcoin_secret(0), NO_PEG.chain_id)
    return attrs.evolve(
        NO_PEG,
        execution_genesis={**genesis, "alloc": alloc | bridge},
        federation_bitcoin_keys=(member.bitcoin_key,),
        federation_bitcoin_proofs=(member.bitcoin_proof,),
    )


def key_file(folder: Path, secret: bytes, passphrase: str | None = None) -> Path:
    path = folder / "bitcoin.key"
    write_key_file(path, "bitcoin", secret, "x", passphrase)
    return path


def validated(folder: Path, spec: ChainSpec, *settings: str) -> ValidNode:
    """The valid configuration of a node with these settings, and with a Bitcoin node on a chain with a peg."""
    (folder / "data").mkdir(exist_ok=True)
    if has_peg(spec.execution_genesis):
        settings = (*settings, "bitcoin.url=http://127.0.0.1:18443")
    return validated_as_given(folder, spec, *settings)


def validated_as_given(folder: Path, spec: ChainSpec, *settings: str) -> ValidNode:
    config = load(CONF / "dev.toml", f"storage.path={folder / 'data'}", *settings)
    development = attrs.evolve(config.development, account_key_file=None)
    return validate_node(attrs.evolve(config, development=development), spec)


async def opened(valid: ValidNode) -> bool:
    """Whether the node has a signer, which signs."""
    async with open_payment_signer(valid, VirtualClock()) as signers:
        signer = signers.signer
        if signer is None:
            return False
        payment = make_payment(spendings_of(1))
        assert (await signer.sign(payment, payment.versions[0].txid)).key == signer.key
        return True


def set_up(valid: ValidNode) -> None:
    """Start the node for the first time, and stop it."""
    data_of(valid).open(Slot(1)).store.close()


async def test_a_node_with_a_key_signs_and_records(tmp_path: Path) -> None:
    path = key_file(tmp_path, bitcoin_secret(0))
    valid = validated(tmp_path, with_peg(), f"peg.key_file={path}")
    for _ in range(2):
        set_up(valid)
        assert await opened(valid)
    lines = valid.config.storage.payment_record.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["alysd", "key", "signed"]
    assert not await opened(validated(tmp_path, with_peg()))


async def test_a_record_that_a_signer_uses_is_refused(tmp_path: Path) -> None:
    """Each of the two could have signed another payment of one output."""
    path = key_file(tmp_path, bitcoin_secret(0))
    valid = validated(tmp_path, with_peg(), f"peg.key_file={path}")
    set_up(valid)
    with (
        locked_record(valid.config.storage.payment_record),
        pytest.raises(ConfigError, match="is in use: another"),
    ):
        await opened(valid)
    assert await opened(valid)


async def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted_secret, "LOG_COST", 4)
    key = f"peg.key_file={key_file(tmp_path, bitcoin_secret(0), 'sesame')}"
    phrase = tmp_path / "passphrase"
    phrase.write_text("sesame\n")
    phrase.chmod(0o600)
    valid = validated(tmp_path, with_peg(), key, f"peg.passphrase_file={phrase}")
    set_up(valid)
    assert await opened(valid)
    with pytest.raises(ConfigError, match="encrypted, and nothing names its passphrase"):
        validated(tmp_path, with_peg(), key)


@pytest.mark.parametrize(
    ("secret", "spec", "said"),
    [
        (bitcoin_secret(1), with_peg(), "none of the 1 Bitcoin keys of the chain"),
        (bytes(32), with_peg(), "not a Bitcoin key"),
        (bitcoin_secret(0), NO_PEG, "has no peg: remove the section"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(tmp_path: Path, secret: bytes, spec: ChainSpec, said: str) -> None:
    """The member would be missing among the signers, and nobody would know."""
    with pytest.raises(ConfigError, match=said):
        validated(tmp_path, spec, f"peg.key_file={key_file(tmp_path, secret)}")


def test_a_key_of_no_member_yet_is_allowed_on_a_chain_that_can_change_its_federation(tmp_path: Path) -> None:
    """A new member starts its node before the update is in a block, and a former one signs for its old outputs."""
    governed = attrs.evolve(with_peg(), governance_keys=governance_keys(1), governance_threshold=1)
    assert validated(tmp_path, governed, f"peg.key_file={key_file(tmp_path, bitcoin_secret(1))}")


def test_a_separate_signer_is_refused_on_a_chain_that_can_change_its_federation(tmp_path: Path) -> None:
    """It knows the first federation alone, and would sign nothing after a change."""
    governed = attrs.evolve(with_peg(), governance_keys=governance_keys(1), governance_threshold=1)
    with pytest.raises(ConfigError, match=r"has governance_keys, .*let the node sign, with peg.key_file"):
        validated(tmp_path, governed, f"peg.signer=unix:{tmp_path / 'signer.sock'}")


def test_a_key_without_a_bitcoin_node_is_refused(tmp_path: Path) -> None:
    """The member would sign payments while the peg is halted, because it cannot see that a deposit is gone."""
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError, match=r"bitcoin.key\" needs bitcoin.url: .* set bitcoin.url, or remove peg"):
        validated_as_given(tmp_path, with_peg(), f"peg.key_file={key_file(tmp_path, bitcoin_secret(0))}")


def test_a_passphrase_or_a_limit_without_a_key_is_refused(tmp_path: Path) -> None:
    phrase = tmp_path / "passphrase"
    phrase.write_text("sesame\n")
    with pytest.raises(AlysError, match=r"peg.passphrase_file needs peg.key_file"):
        validated(tmp_path, with_peg(), f"peg.passphrase_file={phrase}")
    with pytest.raises(AlysError, match=r"peg.hourly_limit_sat needs peg.key_file"):
        validated(tmp_path, with_peg(), "peg.hourly_limit_sat=1000")


@pytest.mark.parametrize("limit", ["0", "2100000000000001", "1e6"])
def test_a_limit_out_of_bounds_is_refused(tmp_path: Path, limit: str) -> None:
    key = f"peg.key_file={key_file(tmp_path, bitcoin_secret(0))}"
    with pytest.raises(AlysError, match=r"peg.hourly_limit_sat.*whole number"):
        validated(tmp_path, with_peg(), key, f"peg.hourly_limit_sat={limit}")


async def test_the_configured_limit_holds(tmp_path: Path) -> None:
    """Nobody could set it before: a thief of the node could have everything at once."""
    key = f"peg.key_file={key_file(tmp_path, bitcoin_secret(0))}"
    payment = make_payment(spendings_of(1))
    limit = payment.spent - payment.change
    for low in (limit - 1, limit):
        valid = validated(tmp_path, with_peg(), key, f"peg.hourly_limit_sat={low}")
        set_up(valid)
        if low < limit:
            with pytest.raises(PaymentForbidden, match=f"limit of {low} sat per hour: raise the limit"):
                await opened(valid)
    assert await opened(valid)


async def test_a_lost_record_stops_the_node(tmp_path: Path) -> None:
    """An empty record in its place would let the key sign a second payment from every output."""
    key = f"peg.key_file={key_file(tmp_path, bitcoin_secret(0))}"
    valid = validated(tmp_path, with_peg(), key)
    set_up(valid)
    valid.config.storage.payment_record.unlink()
    set_up(valid)
    with pytest.raises(PaymentRecordMissing, match="restore its newest copy"):
        await opened(valid)


async def test_a_key_that_is_added_later_needs_a_record(tmp_path: Path) -> None:
    set_up(validated(tmp_path, with_peg()))
    path = key_file(tmp_path, bitcoin_secret(0))
    valid = validated(tmp_path, with_peg(), f"peg.key_file={path}")
    set_up(valid)
    record = valid.config.storage.payment_record
    assert not record.exists()
    assert main(["keys", "record", "--bitcoin", str(path), "--out", str(record), "--yes"]) == 0
    assert await opened(valid)


async def test_a_damaged_record_stops_the_node(tmp_path: Path) -> None:
    """Without it, the key could sign two payments from one output."""
    path = key_file(tmp_path, bitcoin_secret(0))
    valid = validated(tmp_path, with_peg(), f"peg.key_file={path}")
    set_up(valid)
    assert await opened(valid)
    record = valid.config.storage.payment_record
    record.write_bytes(record.read_bytes().replace(b"signed", b"singed"))
    with pytest.raises(Corrupt, match="could pay twice from one output"):
        await opened(valid)


async def test_a_signer_in_another_process_has_the_key_of_this_member(tmp_path: Path) -> None:
    """Its feed is a child of the node's tree, so the health of the node shows when it does not answer."""
    valid = validated(tmp_path, with_peg(), f"peg.signer=unix:{tmp_path}/signer.sock")
    async with open_payment_signer(valid, VirtualClock()) as signers:
        remote = signers.remote
        assert remote is not None
        assert signers.signer is remote
        assert remote.key == x_only_key(bitcoin_secret(0))
        with pytest.raises(SignerUnavailable, match=r"signer at unix:.*/signer.sock: No such file or directory"):
            await remote.known()


def test_certificates_are_checked_before_the_start(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no certificate")
    text.chmod(0o600)
    settings = [f"peg.signer_{name}={text}" for name in ("certificate", "key", "authority")]
    with pytest.raises(ConfigError) as raised:
        validated(tmp_path, with_peg(), "peg.signer=tls://127.0.0.1:1", *settings)
    assert "are not a certificate and its key in PEM form" in str(problems_of(raised.value))
