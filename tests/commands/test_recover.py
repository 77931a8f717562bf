"""`alysd recover`: what it says, what it asks, and that the node starts afterwards."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from alysd.cli import main
from alysd.commands.federation_files import open_federation
from alysd.config.chain_spec import load_chain_spec
from alysd.errors import DataMismatch
from alysd.integrations import bls
from alysd.integrations.clock import SystemClock
from alysd.integrations.signing_guard import read_guard, write_guard
from alysd.testing.config_files import CONF, load
from alysd.types.block import Approvals
from alysd.types.chain import ExecutedBlock
from alysd.types.hashes import ZERO_HASH
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot
from alysd.validation import ValidNode, data_of, validate_node
from tests.integrations.libp2p import needs_libp2p
from tests.integrations.stored_blocks import child, placement

Recover = Callable[..., int]


@pytest.fixture
def valid(tmp_path: Path) -> ValidNode:
    """A node that was set up, whose database was lost."""
    config = load(CONF / "dev.toml", f"storage.path={tmp_path / 'data'}")
    valid = validate_node(config, load_chain_spec(config.chain.spec))
    (tmp_path / "data").mkdir()
    data_of(valid).open(Slot(1)).store.close()
    return valid


@pytest.fixture
def recover(valid: ValidNode, monkeypatch: pytest.MonkeyPatch) -> Recover:
    def run(*options: str, typed: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        path = f"storage.path={valid.config.storage.path}"
        return main(["recover", "--config", str(CONF / "dev.toml"), "--set", path, *options])

    return run


def lose(valid: ValidNode) -> None:
    shutil.rmtree(valid.config.storage.path / "chain")
    with pytest.raises(DataMismatch):
        data_of(valid).open(Slot(1))


def test_a_folder_without_a_fault_is_left_as_it_is(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (valid.config.storage.path / "signing-guard").read_bytes()
    assert recover("--yes") == 0
    assert "there is nothing to recover" in capsys.readouterr().out
    assert (valid.config.storage.path / "signing-guard").read_bytes() == before


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "alys\n"])
def test_nothing_changes_without_the_chains_name(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    """A habit of typing `y` would give blocks up."""
    lose(valid)
    assert recover(typed=typed) == 2
    shown = capsys.readouterr()
    assert shown.err == "alysd: nothing was changed: type the chain's name, alys-dev, or use --yes\n"
    for words in (
        "the database is missing",
        "The database has no block",
        "may have signed blocks up to slot 0 (1970-01-01",
        "blocks that are not in the database are given up, also final ones",
        "safe only if no other node uses this key",
    ):
        assert words in shown.out
    with pytest.raises(DataMismatch):
        data_of(valid).open(Slot(1))


@pytest.mark.parametrize(("options", "typed"), [((), "alys-dev\n"), (("--yes",), "")])
def test_a_confirmed_recovery_lets_the_node_start(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], typed: str
) -> None:
    lose(valid)
    assert recover(*options, typed=typed) == 0
    assert capsys.readouterr().out.endswith("done; `alysd run` starts the node\n")
    data_of(valid).open(Slot(1)).store.close()


def test_a_follower_is_told_that_it_begins_anew(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lose(valid)
    text = (CONF / "dev.toml").read_text().replace('authority_key_file = "dev-authority.key"', "")
    text = text.replace('spec = "chains', f'spec = "{CONF}/chains').replace(
        '= "dev-account', f'= "{CONF}/dev-account'
    )
    (tmp_path / "follower.toml").write_text(text)
    assert recover("--config", str(tmp_path / "follower.toml"), "--set", "mining.internal=false", "--yes") == 0
    shown = capsys.readouterr().out
    assert "the node begins with an empty database" in shown
    assert "signed" not in shown


def test_damage_is_named_and_left_alone(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ended in a stack trace. It must keep the damaged file, which may be the best copy."""
    guard = valid.config.storage.path / "signing-guard"
    guard.write_bytes(b"x")
    assert recover("--yes") == 2
    assert "is damaged" in capsys.readouterr().err
    assert guard.read_bytes() == b"x"


FUTURE = Slot(2_000_000_000)
"""Begins in the year 2096."""


def sign_in(valid: ValidNode, slot: Slot) -> None:
    """Let the guard name this slot as signed."""
    guard = valid.config.storage.path / "signing-guard"
    assert valid.authority_secret is not None
    last = read_guard(guard, bls.public_key(valid.authority_secret))
    assert last is not None
    write_guard(guard, attrs.evolve(last, slot=slot))


@pytest.mark.parametrize("lost", [False, True])
def test_a_guard_of_the_future_is_said(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str], lost: bool
) -> None:
    """The command said that there is nothing to recover, but the key could not sign for a year."""
    sign_in(valid, FUTURE)
    if lost:
        lose(valid)
    assert recover("--yes") == 0
    shown = capsys.readouterr().out
    assert "This key signs no block before 2096-" in shown
    assert "the signing guard names slot 2000000000" in shown
    assert "Wait until that time." in shown


def test_a_guard_that_recover_itself_sets_is_not_of_the_future(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(valid)
    (valid.config.storage.path / "signing-guard").unlink()
    assert recover("--yes") == 0
    assert "signs no block before" not in capsys.readouterr().out


def test_a_guard_after_all_calendars_is_no_crash(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str]
) -> None:
    sign_in(valid, Slot(10**20 - 1))
    assert recover("--yes") == 0
    assert f"before {2 * 10**20} s after 1970" in capsys.readouterr().out


@needs_libp2p
@pytest.mark.parametrize("lost", ["folder", "database"])
def test_a_member_is_told_that_the_others_have_its_blocks(
    lost: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was told that final blocks are given up, and that everybody else would be on another chain."""
    (member, _) = open_federation(tmp_path / "new", 2)
    data = member.config.parent / "data"
    config = load(member.config)
    valid = validate_node(config, load_chain_spec(config.chain.spec))
    data_of(valid).open(Slot(1)).store.close()
    if lost == "database":
        sign_in(valid, Slot(7))
        shutil.rmtree(data / "chain")
    else:
        shutil.rmtree(data)
    assert main(["recover", "--config", str(member.config), "--yes"]) == 0
    said = capsys.readouterr().out
    assert "the node gets the blocks that it lacks from the other members" in said
    words = "this key approves no block " + (
        "up to slot 7 (" if lost == "database" else "before the others have approved one after slot "
    )
    assert words in said
    assert "given up" not in said
    data_of(valid).open(Slot(1)).store.close()


def test_a_complete_database_is_said_of_a_lost_guard_only(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recover("--newest-database", "--yes") == 0
    assert "there is nothing to recover" in capsys.readouterr().out
    lose(valid)
    assert recover("--newest-database", "--yes") == 2
    said = "--newest-database is for a member that needs others for a quorum, and this authority is a quorum alone"
    assert said in capsys.readouterr().err


@needs_libp2p
def test_a_claim_that_does_not_apply_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (member, _) = open_federation(tmp_path / "new", 2)
    config = load(member.config)
    node = validate_node(config, load_chain_spec(config.chain.spec))
    data_of(node).open(Slot(6)).store.close()
    guard = config.storage.path / "signing-guard"
    kept = guard.read_bytes()
    guard.unlink()
    assert main(["recover", "--config", str(member.config), "--newest-database", "--yes"]) == 2
    assert "a member that has its blocks, and this database has none: leave it out" in capsys.readouterr().err
    guard.write_bytes(kept)
    sign_in(node, Slot(9))
    shutil.rmtree(config.storage.path / "chain")
    assert main(["recover", "--config", str(member.config), "--join-others", "--yes"]) == 2
    assert "a member that has lost its signing guard, and this one has its guard" in capsys.readouterr().err


def test_the_time_that_a_guard_is_made_from_is_shown(
    valid: ValidNode, recover: Recover, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a new machine was an hour behind, and the guard allowed the slots of that hour."""
    lose(valid)

    def shown(_: SystemClock) -> float:
        return 1_700_000_000.0

    monkeypatch.setattr(SystemClock, "time", shown)
    assert recover(typed="alys-dev\n") == 0
    said = capsys.readouterr().out
    assert "This machine's clock shows 2023-11-14 22:13:20 UTC, slot 850000000. Compare it" in said
    assert "To confirm the time and all this, type the chain's name (alys-dev)" in said


@needs_libp2p
def test_the_condition_of_a_complete_database_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (member, _) = open_federation(tmp_path / "new", 2)
    config = load(member.config)
    valid = validate_node(config, load_chain_spec(config.chain.spec))
    opened = data_of(valid).open(Slot(6))
    genesis = opened.store.forkchoice().finalized
    signed, after = child(genesis, 5)
    approvals = Approvals((False, True), signed.approvals.signature)
    signed = attrs.evolve(signed, approvals=approvals)
    opened.store.commit_blocks([(ExecutedBlock(signed, after, ()), placement(after, after, final=genesis))])
    opened.store.close()
    assert valid.authority_secret is not None
    key = bls.public_key(valid.authority_secret)
    guard = config.storage.path / "signing-guard"
    recovering = SignedSlot(key, Slot(9), ZERO_HASH, Slot(9))
    write_guard(guard, recovering)
    assert main(["recover", "--config", str(member.config), "--newest-database", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "safe only if no block is missing in the database" in said
    assert "the signing guard was lost, and this key has approved no block since." in said
    assert "missing." not in said, "the guard that the command made before is there"
    assert read_guard(guard, key) == attrs.evolve(recovering, lock=Slot(5))
    write_guard(guard, recovering)
    assert main(["recover", "--config", str(member.config), "--join-others", "--yes"]) == 0
    assert "safe only if no other member lies" in capsys.readouterr().out
    assert read_guard(guard, key) == attrs.evolve(recovering, joins=True)
