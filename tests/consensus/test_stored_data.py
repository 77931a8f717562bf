"""Database and guard at start, case by case: what is believed, and what is not."""

import attrs
import pytest

from alysd.consensus.stored_data import (
    Claim,
    DataFault,
    DataFinding,
    StoredData,
    claimed_finding,
    judge_data,
    recovered_guard,
    used_elsewhere,
)
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey
from alysd.types.signing import SignedSlot, UnknownApproval
from alysd.types.units import Slot

NOW = Slot(1000)


def guard(slot: int, lock: int) -> SignedSlot:
    return SignedSlot(BlsPublicKey(b"\x01" * 48), Slot(slot), BlockHash(b"\x02" * 32), Slot(lock))


def stored(
    newest: int | None,
    guard: SignedSlot | None,
    *,
    claimed: bool = True,
    own: int | None = None,
    signed: bool = False,
    authority: bool = True,
    alone: bool = True,
) -> StoredData:
    slot = None if newest is None else Slot(newest)
    mine = slot if own is None else Slot(own)
    return StoredData(claimed, slot, mine, guard, signed, authority, alone)


BELONG_TOGETHER = {
    "a new folder": stored(None, None, claimed=False),
    "a new folder, killed after the guard was made": stored(0, guard(0, 0), claimed=False),
    "a new folder, killed after the database was made": stored(0, None, claimed=False),
    "a new folder with a guard that signed nothing": stored(None, guard(0, 0), claimed=False),
    "nothing signed yet": stored(0, guard(0, 0)),
    "stopped in order": stored(7, guard(7, 6), signed=True),
    "killed between signing and storing": stored(6, guard(7, 6)),
    "killed so at the first block": stored(0, guard(7, 0)),
    "several slots signed on one head, none stored": stored(6, guard(9, 6)),
    "a sibling of the head was stored": stored(6, guard(9, 5)),
    "a follower": stored(7, None, authority=False),
    "a member's copy of the database, which lacks what others have": stored(5, guard(7, 6), own=0, alone=False),
    "a member that has recovered": stored(5, guard(1001, 1001), own=0, alone=False),
    "a new member with its first guard": stored(None, guard(0, 0), claimed=False, alone=False),
    "a new member, killed after the database was made": stored(0, guard(0, 0), claimed=False, alone=False),
    "a member that others outran": stored(9, guard(7, 6), own=7, signed=True, alone=False),
    "another member made the newest block": stored(8, guard(7, 6), own=7, signed=True),
}


@pytest.mark.parametrize("name", BELONG_TOGETHER)
def test_it_starts_without_a_question(name: str) -> None:
    """A node that was killed would wait for a person."""
    assert judge_data(BELONG_TOGETHER[name], NOW) is None


UNKNOWN = Slot(NOW + 1)
FAULTS = {
    "the database was deleted": (stored(None, guard(7, 6)), DataFault.DATABASE_LOST, 7),
    "all but the guard was deleted": (stored(None, guard(7, 6), claimed=False), DataFault.DATABASE_LOST, 7),
    "database and guard were deleted": (stored(None, None), DataFault.DATABASE_LOST, UNKNOWN),
    "a follower's database was deleted": (stored(None, None, authority=False), DataFault.DATABASE_LOST, UNKNOWN),
    "a copy of the database": (stored(5, guard(7, 6)), DataFault.DATABASE_OLDER, 7),
    "a copy of the new database": (stored(0, guard(7, 6)), DataFault.DATABASE_OLDER, 7),
    "a copy of the guard": (stored(7, guard(6, 5), signed=True), DataFault.GUARD_OLDER, UNKNOWN),
    "the guard of another copy": (stored(7, guard(7, 6)), DataFault.GUARD_OLDER, UNKNOWN),
    "the guard was made anew": (stored(7, guard(0, 0)), DataFault.GUARD_OLDER, UNKNOWN),
    "the guard was deleted": (stored(7, None), DataFault.GUARD_MISSING, UNKNOWN),
    "chain file and guard were deleted": (
        stored(7, None, claimed=False),
        DataFault.GUARD_MISSING,
        UNKNOWN,
    ),
    "a member's folder was lost": (
        stored(None, None, claimed=False, alone=False),
        DataFault.GUARD_MISSING,
        UNKNOWN,
    ),
    "a member's folder was lost, and it has followed since": (
        stored(0, None, alone=False),
        DataFault.GUARD_MISSING,
        UNKNOWN,
    ),
    "a member's database and guard were deleted": (
        stored(None, None, alone=False),
        DataFault.DATABASE_LOST,
        UNKNOWN,
    ),
    "the guard was deleted, the clock is behind": (stored(2000, None), DataFault.GUARD_MISSING, 2001),
}


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_noticed(name: str) -> None:
    """The node would build another chain from there, and abandon blocks that were final."""
    found, fault, past = FAULTS[name]
    assert judge_data(found, NOW) == DataFinding(fault, Slot(past))


KEY = BlsPublicKey(b"\x01" * 48)


def test_an_authority_that_is_a_quorum_alone_goes_on_from_its_newest_block() -> None:
    finding = DataFinding(DataFault.GUARD_MISSING, UNKNOWN)
    assert recovered_guard(finding, None, KEY, Slot(7), 1) == SignedSlot(KEY, UNKNOWN, ZERO_HASH, Slot(7))
    known = guard(9, 8)
    assert recovered_guard(DataFinding(DataFault.DATABASE_OLDER, Slot(9)), known, KEY, Slot(5), 1) == guard(9, 5)


def test_a_member_that_has_lost_its_guard_approves_only_on_blocks_from_after_that_time() -> None:
    """With a lock of slot 0 it approved another branch than before, as only a liar does."""
    expected = SignedSlot(KEY, UNKNOWN, ZERO_HASH, UNKNOWN)
    for lost, newest in ((None, 0), (None, 7), (guard(6, 5), 7)):
        finding = DataFinding(DataFault.GUARD_MISSING, UNKNOWN)
        assert recovered_guard(finding, lost, KEY, Slot(newest), 3) == expected


def test_a_member_that_has_lost_its_database_keeps_its_guard() -> None:
    known = guard(9, 8)
    assert recovered_guard(DataFinding(DataFault.DATABASE_LOST, Slot(9)), known, KEY, Slot(0), 3) == known


def test_a_member_whose_database_is_the_newest_was_locked_at_no_later_block() -> None:
    """If a quorum of members has lost the guards, no other way leads on."""
    lost = DataFinding(DataFault.GUARD_MISSING, UNKNOWN)
    recovering = recovered_guard(lost, None, KEY, Slot(7), 3)
    assert recovering.recovering
    for found, finding in ((stored(7, None, alone=False), lost), (stored(7, recovering, alone=False), None)):
        again = claimed_finding(found, finding, Claim.NEWEST_DATABASE)
        assert again == (lost if found.guard is None else DataFinding(DataFault.GUARD_LOST, UNKNOWN))
        assert again is not None
        guard_now = recovered_guard(again, found.guard, KEY, Slot(7), 3, claim=Claim.NEWEST_DATABASE)
        assert guard_now == SignedSlot(KEY, UNKNOWN, ZERO_HASH, Slot(7))
        assert not guard_now.recovering


def test_only_a_lost_guard_can_be_replaced_so() -> None:
    newest, old = Claim.NEWEST_DATABASE, DataFinding(DataFault.GUARD_OLDER, UNKNOWN)
    assert claimed_finding(stored(7, guard(7, 6), signed=True, alone=False), None, newest) is None
    assert (
        claimed_finding(
            stored(None, guard(7, 6), alone=False), DataFinding(DataFault.DATABASE_LOST, Slot(7)), newest
        )
        is None
    )
    assert (
        claimed_finding(stored(0, recovered_guard(LOST_ALL, None, KEY, Slot(0), 3), alone=False), None, newest)
        is None
    )
    assert claimed_finding(stored(7, guard(6, 5), signed=True, alone=False), old, newest) == old


def test_a_claim_is_about_a_member_that_needs_others() -> None:
    """An authority alone was told that its blocks could conflict with those of others."""
    for claim in Claim:
        missing, lost = (
            DataFinding(fault, UNKNOWN) for fault in (DataFault.GUARD_MISSING, DataFault.DATABASE_LOST)
        )
        assert claimed_finding(stored(7, None, alone=False), missing, claim) == missing
        assert claimed_finding(stored(7, None), missing, claim) is None
        assert claimed_finding(stored(7, None, authority=False, alone=False), lost, claim) is None


LOST_ALL = DataFinding(DataFault.DATABASE_LOST, UNKNOWN)


def test_a_member_joins_the_others_if_its_operator_says_that_none_of_them_lies() -> None:
    lost = DataFinding(DataFault.DATABASE_LOST, UNKNOWN)
    expected = SignedSlot(KEY, UNKNOWN, ZERO_HASH, UNKNOWN, joins=True)
    assert claimed_finding(stored(None, None, alone=False), lost, Claim.OTHERS_HONEST) == lost
    assert recovered_guard(lost, None, KEY, Slot(0), 3, claim=Claim.OTHERS_HONEST) == expected
    waiting = recovered_guard(lost, None, KEY, Slot(0), 3)
    assert not waiting.joins
    again = claimed_finding(stored(0, waiting, alone=False), None, Claim.OTHERS_HONEST)
    assert again is not None
    assert recovered_guard(again, waiting, KEY, Slot(0), 3, claim=Claim.OTHERS_HONEST) == expected


@pytest.mark.parametrize(("guarded", "unknown", "newest"), [(7, 9, 8), (9, 9, 8), (1003, 9, 8), (7, 2000, 8)])
def test_a_key_that_is_used_elsewhere_signs_again_after_all_that_it_may_have_signed(
    guarded: int, unknown: int, newest: int
) -> None:
    halted = attrs.evolve(
        guard(guarded, 6), unknown=UnknownApproval(Slot(unknown), BlockHash(b"\x03" * 32)), joins=True
    )
    found = stored(newest, halted, own=0, alone=False)
    assert judge_data(found, NOW) is None, "it starts, and follows"
    finding = used_elsewhere(found, NOW)
    assert finding is not None
    assert finding == DataFinding(DataFault.KEY_USED, Slot(max(guarded, unknown, newest, NOW) + 1))
    assert recovered_guard(finding, halted, halted.key, Slot(newest), 3) == SignedSlot(
        halted.key, finding.past, ZERO_HASH, finding.past
    )
    assert used_elsewhere(stored(8, guard(7, 6)), NOW) is None
    assert used_elsewhere(stored(8, None), NOW) is None


def test_a_member_with_its_guard_has_nothing_to_join() -> None:
    known, lost = guard(7, 6), DataFinding(DataFault.DATABASE_LOST, Slot(7))
    assert claimed_finding(stored(None, known, alone=False), lost, Claim.OTHERS_HONEST) is None
    assert claimed_finding(stored(7, known, signed=True, alone=False), None, Claim.OTHERS_HONEST) is None
    assert recovered_guard(lost, known, KEY, Slot(0), 3, claim=Claim.OTHERS_HONEST) == known
