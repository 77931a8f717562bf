"""The data folder of an authority: what is lost or older is noticed, and a kill at any moment is not."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio

from alysd.consensus.stored_data import DataFault
from alysd.errors import (
    ApprovalForbidden,
    ConfigError,
    Corrupt,
    DataMismatch,
    KeyUsedElsewhere,
    PaymentRecordMissing,
)
from alysd.integrations.node_data import NodeData
from alysd.integrations.payment_record import PaymentRecord
from alysd.testing.chain import ChainHand, authority_secret, chain_spec
from alysd.types.block import Approvals
from alysd.types.chain import ExecutedBlock
from alysd.types.hashes import BlockHash, XOnlyKey
from alysd.types.units import Slot
from tests.integrations.stored_blocks import NOW, child, live, node_data, placement


def refused(folder: Path) -> str:
    with pytest.raises(DataMismatch) as caught:
        node_data(folder).open(NOW)
    return str(caught.value)


def empty_database(folder: Path) -> None:
    (folder / "chain" / "data.mdb").write_bytes(b"")


def delete_database(folder: Path) -> None:
    shutil.rmtree(folder / "chain")


def older_database(folder: Path) -> None:
    delete_database(folder)
    shutil.copytree(folder.parent / "copy" / "chain", folder / "chain")


def older_guard(folder: Path) -> None:
    shutil.copy(folder.parent / "copy" / "signing-guard", folder / "signing-guard")


def no_guard(folder: Path) -> None:
    (folder / "signing-guard").unlink()


DAMAGE: dict[str, tuple[Callable[[Path], None], DataFault, Slot, int]] = {
    "emptied": (empty_database, DataFault.DATABASE_LOST, Slot(6), 0),
    "deleted": (delete_database, DataFault.DATABASE_LOST, Slot(6), 0),
    "older database": (older_database, DataFault.DATABASE_OLDER, Slot(6), 3),
    "older guard": (older_guard, DataFault.GUARD_OLDER, Slot(NOW + 1), 6),
    "no guard": (no_guard, DataFault.GUARD_MISSING, Slot(NOW + 1), 6),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_was_lost_is_noticed_and_started_from_only_after_recover(tmp_path: Path, name: str) -> None:
    """The node would abandon blocks that were final, healthy and silent."""
    damage, fault, past, kept = DAMAGE[name]
    folder = tmp_path / "data"
    folder.mkdir()
    live(folder, 3)
    shutil.copytree(folder, tmp_path / "copy")
    live(folder, 3, first_slot=4)
    damage(folder)
    words = refused(folder)
    assert f"{folder}: {fault.value}: this key may have signed blocks up to slot {past}" in words
    assert "`alysd recover` gives up" in words
    found, finding = node_data(folder).examine(NOW)
    assert finding is not None
    assert (finding.fault, finding.past) == (fault, past)
    assert found.newest == (None if fault is DataFault.DATABASE_LOST else kept)
    assert refused(folder) == words, "looking changes nothing"

    node_data(folder).accept(finding)
    opened = node_data(folder).open(NOW)
    assert opened.store.newest_slot() == kept
    assert opened.signer is not None
    assert opened.signer.last_slot == past, "no slot that may be signed is signed again"
    opened.store.close()
    live(folder, 3, first_slot=past + 1)
    assert node_data(folder).examine(NOW)[1] is None


def test_a_database_that_lacks_only_the_block_that_was_signed_last_is_believed(tmp_path: Path) -> None:
    """A crash between signing and storing would need a person."""
    state = live(tmp_path, 3)
    opened = node_data(tmp_path).open(NOW)
    assert opened.signer is not None
    assert opened.not_stored is None
    trio.run(opened.signer.approve, child(state, 7)[0].block, state.slot)
    opened.store.close()
    opened = node_data(tmp_path).open(NOW)
    assert opened.not_stored == 7, "an older copy of the database may look the same, so it is said"
    opened.store.close()
    live(tmp_path, 1, first_slot=8)
    opened = node_data(tmp_path).open(NOW)
    assert opened.not_stored is None
    opened.store.close()


def test_a_follower_whose_database_was_deleted_says_so(tmp_path: Path) -> None:
    """An unmounted disk would begin a second copy of the chain below the mount point."""
    node_data(tmp_path, follower=True).open(NOW).store.close()
    node_data(tmp_path, follower=True).open(NOW).store.close()
    shutil.rmtree(tmp_path / "chain")
    with pytest.raises(DataMismatch, match=r"missing\. Mount its disk, .* `alysd recover` begins with an empty"):
        node_data(tmp_path, follower=True).open(NOW)
    finding = node_data(tmp_path, follower=True).examine(NOW)[1]
    assert finding is not None
    node_data(tmp_path, follower=True).accept(finding)
    node_data(tmp_path, follower=True).open(NOW).store.close()
    assert not (tmp_path / "signing-guard").exists()


def test_a_damaged_guard_is_replaced_once_it_has_been_moved_away(tmp_path: Path) -> None:
    live(tmp_path, 3)
    guard = tmp_path / "signing-guard"
    guard.write_bytes(guard.read_bytes()[:-2])
    with pytest.raises(Corrupt, match="move the file away, then run `alysd recover`"):
        node_data(tmp_path).open(NOW)
    guard.rename(tmp_path / "damaged")
    finding = node_data(tmp_path).examine(NOW)[1]
    assert finding is not None
    node_data(tmp_path).accept(finding)
    live(tmp_path, 1, first_slot=NOW + 2)


def test_blocks_of_the_future_can_be_given_up_as_the_manual_says(tmp_path: Path) -> None:
    """The key would sign nothing for a year, even with a database from before."""
    folder = tmp_path / "data"
    folder.mkdir()
    live(folder, 3)
    shutil.copytree(folder, tmp_path / "copy")
    live(folder, 3, first_slot=NOW + 1_000_000)
    older_database(folder)
    no_guard(folder)
    finding = node_data(folder).examine(NOW)[1]
    assert finding is not None
    assert finding.past == NOW + 1
    node_data(folder).accept(finding)
    live(folder, 1, first_slot=NOW + 2)


KILLED_AT_EACH_STEP = """
import os, signal, sys, traceback
from pathlib import Path
from alysd.integrations import lmdb_records
from tests.integrations.stored_blocks import live

left = 0

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(function):
    def call(*args, **options):
        step()
        result = function(*args, **options)
        step()
        return result
    return call

def forked(work):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

os.fsync, Path.replace, Path.mkdir = watched(os.fsync), watched(Path.replace), watched(Path.mkdir)
lmdb_records.Records.write = watched(lmdb_records.Records.write)
lmdb_records.lmdb.open = watched(lmdb_records.lmdb.open)
root, die_at = Path(sys.argv[1]), 0
while True:
    die_at += 1
    folder = root / str(die_at)
    left = die_at
    ended = forked(lambda: live(folder, 2))
    left = 0
    if ended == 0:
        break
    assert ended == -signal.SIGKILL, ended
    assert forked(lambda: live(folder, 1, first_slot=3)) == 0, f"it does not start after a kill at step {die_at}"
print(die_at)
"""


def test_killed_at_any_sync_or_rename_it_starts_without_a_person(tmp_path: Path) -> None:
    """A node must start again after a power cut without help."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 40, "it was killed at each step of two blocks"


MEMBER = ChainHand.of(chain_spec(4))


def member_data(folder: Path) -> NodeData:
    """The data folder of authority 0 of a federation of four."""
    keys = MEMBER.context.first_federation.authorities
    return NodeData(folder, "test", MEMBER.genesis, MEMBER.genesis_state, authority_secret(0), keys)


@pytest.fixture
def member(tmp_path: Path) -> Path:
    """The data folder of a new member, with its first guard."""
    folder = tmp_path / "data"
    folder.mkdir()
    member_data(folder).check_unused()
    member_data(folder).write_first_guard()
    return folder


def member_lives(folder: Path, slots: dict[int, bool]) -> None:
    """Store a block in each of the `slots`, which this member has approved or not, and stop."""
    opened = member_data(folder).open(NOW)
    assert opened.signer is not None
    state = max(opened.store.load_chain().states, key=lambda one: one.height)
    for slot, approves in slots.items():
        signed, after = child(state, slot)
        bits = (approves, True, True, True)
        signed = attrs.evolve(signed, approvals=Approvals(bits, signed.approvals.signature))
        if approves:
            trio.run(opened.signer.approve, signed.block, state.slot)
        placed = placement(after, after, final=MEMBER.genesis_state)
        opened.store.commit_blocks([(ExecutedBlock(signed, after, ()), placed)])
        state = after
    opened.store.close()


def test_a_member_starts_whose_newest_block_was_approved_by_the_others_alone(member: Path) -> None:
    """A quorum of the others may be faster than this member, which then imports the block without approving it."""
    member_lives(member, dict.fromkeys(range(1, 200), False))
    member_lives(member, {200: True, 201: True, 202: False})
    member_data(member).open(NOW).store.close()


def test_a_member_that_has_lost_its_folder_starts_only_after_recover(member: Path) -> None:
    """It counted as new, and its key approved a second block of a slot."""
    member_lives(member, {1: True, 2: True})
    shutil.rmtree(member)
    member.mkdir()
    with pytest.raises(DataMismatch, match="the signing guard is missing, .* two blocks of one slot.*recover`"):
        member_data(member).open(NOW)
    assert list(member.iterdir()) == [], "the next start must not find a guard that this one has made"
    _, finding = member_data(member).examine(NOW)
    assert finding is not None
    member_data(member).accept(finding)
    opened = member_data(member).open(NOW)
    signer = opened.signer
    assert signer is not None

    def approve(slot: int, parent: int) -> None:
        trio.run(signer.approve, child(MEMBER.genesis_state, slot)[0].block, Slot(parent))

    for slot, parent in ((2, 1), (NOW + 1, NOW), (NOW + 5, NOW)):
        with pytest.raises(ApprovalForbidden):
            approve(slot, parent)
    trio.run(signer.state_recovery, Slot(NOW + 4))
    with pytest.raises(ApprovalForbidden):
        approve(NOW + 5, NOW + 4)
    approve(NOW + 6, NOW + 5)
    opened.store.close()


def test_the_first_guard_is_refused_where_the_key_may_have_signed(member: Path) -> None:
    """A person would answer the refusal of a start with the command that lets the key sign twice."""
    with pytest.raises(DataMismatch, match="has a signing guard, up to slot 0: keep it"):
        member_data(member).check_unused()
    member_lives(member, {1: True})
    (member / "signing-guard").unlink()
    with pytest.raises(DataMismatch, match="the chain has begun: use `alysd recover`"):
        member_data(member).check_unused()
    shutil.rmtree(member / "chain")
    with pytest.raises(DataMismatch, match="the chain has begun: use `alysd recover`"):
        member_data(member).check_unused()
    with pytest.raises(ConfigError, match="a follower needs no signing guard"):
        attrs.evolve(member_data(member), secret=None).check_unused()
    assert not (member / "signing-guard").exists()


def test_a_member_that_has_followed_a_chain_without_blocks_may_begin(tmp_path: Path) -> None:
    """Founders start their nodes without the key to see that they are connected."""
    attrs.evolve(member_data(tmp_path), secret=None).open(NOW).store.close()
    with pytest.raises(DataMismatch, match="the signing guard is missing"):
        member_data(tmp_path).open(NOW)
    member_data(tmp_path).check_unused()
    member_data(tmp_path).write_first_guard()
    member_data(tmp_path).open(NOW).store.close()


def test_a_member_whose_guard_is_older_than_its_approvals_starts_only_after_recover(
    tmp_path: Path, member: Path
) -> None:
    folder = member
    member_lives(folder, {1: True})
    shutil.copy(folder / "signing-guard", tmp_path / "guard")
    member_lives(folder, {2: True, 3: False})
    shutil.copy(tmp_path / "guard", folder / "signing-guard")
    with pytest.raises(DataMismatch, match="the signing guard is older than the database.* the other members"):
        member_data(folder).open(NOW)
    _, finding = member_data(folder).examine(NOW)
    assert finding is not None
    member_data(folder).accept(finding)
    opened = member_data(folder).open(NOW)
    assert opened.signer is not None
    assert opened.signer.last_slot == NOW + 1
    opened.store.close()
    assert member_data(folder).examine(NOW)[1] is None, "and also the next time"


def test_a_member_whose_key_is_used_elsewhere_follows_and_signs_again_only_after_recover(member: Path) -> None:
    """It signed again after a restart, while the other node still ran."""
    member_lives(member, {1: True})
    opened = member_data(member).open(NOW)
    assert opened.signer is not None
    assert trio.run(opened.signer.saw, Slot(9), BlockHash(b"\x05" * 32))
    opened.store.close()
    opened = member_data(member).open(NOW)
    assert opened.signer is not None
    signed, _ = child(MEMBER.genesis_state, NOW + 2)
    with pytest.raises(KeyUsedElsewhere):
        trio.run(opened.signer.approve, signed.block, Slot(NOW + 2))
    opened.store.close()
    _, finding = member_data(member).examine(NOW)
    assert finding is not None
    member_data(member).accept(finding)
    assert member_data(member).examine(NOW)[1] is None
    opened = member_data(member).open(NOW)
    assert opened.signer is not None
    assert opened.signer.last.recovering
    opened.store.close()


def test_a_member_with_a_copy_of_its_database_starts(tmp_path: Path, member: Path) -> None:
    """The others have the missing blocks, and its lock forbids it to approve what is older."""
    folder = member
    member_lives(folder, {1: True, 2: True})
    shutil.copytree(folder / "chain", tmp_path / "copy")
    member_lives(folder, {3: True, 4: True})
    shutil.rmtree(folder / "chain")
    shutil.copytree(tmp_path / "copy", folder / "chain")
    opened = member_data(folder).open(NOW)
    assert opened.not_stored == 4
    opened.store.close()


def test_the_payment_record_of_a_member_comes_with_its_first_guard_alone(tmp_path: Path, member: Path) -> None:
    """A lost disk looks like a new member: an empty record would let its Bitcoin key pay twice."""
    folder, key = tmp_path / "other", XOnlyKey(bytes(range(32)))
    folder.mkdir()
    data = attrs.evolve(member_data(folder), bitcoin_key=key)
    data.write_first_guard()
    PaymentRecord.open(folder / "signed-payments", key).close()
    (folder / "signed-payments").unlink()
    data.open(NOW).store.close()
    assert not (folder / "signed-payments").exists()


def test_a_chain_of_one_makes_its_payment_record_with_the_folder_alone(tmp_path: Path) -> None:
    record, key = tmp_path / "signed-payments", XOnlyKey(bytes(range(32)))
    data = attrs.evolve(node_data(tmp_path), bitcoin_key=key)
    data.open(NOW).store.close()
    PaymentRecord.open(record, key).close()
    record.unlink()
    data.open(NOW).store.close()
    assert not record.exists()


@pytest.mark.parametrize("name", ["emptied", "deleted"])
def test_a_lost_database_is_found_without_opening_it(tmp_path: Path, name: str) -> None:
    """`alysd check` would approve a folder with which the node does not start."""
    live(tmp_path, 3)
    node_data(tmp_path).check_complete(NOW)
    DAMAGE[name][0](tmp_path)
    with pytest.raises(DataMismatch) as caught:
        node_data(tmp_path).check_complete(NOW)
    assert str(caught.value) == refused(tmp_path)


def test_a_member_without_its_guard_or_its_payment_record_is_not_complete(tmp_path: Path, member: Path) -> None:
    folder, key = tmp_path / "other", XOnlyKey(bytes(range(32)))
    folder.mkdir()
    data = attrs.evolve(member_data(folder), bitcoin_key=key)
    with pytest.raises(DataMismatch, match="the signing guard is missing"):
        data.check_complete(NOW)
    data.write_first_guard()
    data.check_complete(NOW)
    (folder / "signed-payments").unlink()
    with pytest.raises(PaymentRecordMissing, match="signed-payments of payments signed with the key"):
        data.check_complete(NOW)
    attrs.evolve(data, bitcoin_key=None).check_complete(NOW)
    member_data(member).check_complete(NOW)


def test_a_new_folder_of_a_chain_of_one_is_complete(tmp_path: Path) -> None:
    """The first start makes the guard and the record, and a node that runs may be using them."""
    data = attrs.evolve(node_data(tmp_path), bitcoin_key=XOnlyKey(bytes(range(32))))
    data.check_complete(NOW)
    opened = data.open(NOW)
    data.check_complete(NOW)
    opened.store.close()
    (tmp_path / "signed-payments").unlink()
    with pytest.raises(PaymentRecordMissing):
        data.check_complete(NOW)
