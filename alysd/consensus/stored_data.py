"""The check, at start, that the database and the signing guard belong together.

A node with an old or empty database would build another branch and abandon blocks that others have seen, even
final blocks. The guard names the last block that this authority signed. If the database lacks that block, it is
too old. A node whose approval alone is a quorum must not start then, because no other node has the missing blocks.
A member of a larger federation gets the missing blocks from the other members, and the lock in its guard keeps it
from approving another branch. If the guard itself is missing or too old, the member must approve nothing until the
chain is past all slots that it may have signed. So such a member never starts without a guard, not even in an
empty folder: the folder may be empty because its disk was lost.
"""

from enum import Enum

import attrs

from alysd.types.hashes import ZERO_HASH, BlsPublicKey
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot


class DataFault(Enum):
    """The ways in which database and guard do not belong together. The values are texts for errors.

    With `GUARD_LOST` and `KEY_USED`, which only `claimed_finding` and `used_elsewhere` return, a node may start.
    """

    DATABASE_LOST = "the database is missing"
    DATABASE_OLDER = "the database is older than the signing guard"
    GUARD_OLDER = "the signing guard is older than the database"
    GUARD_MISSING = "the signing guard is missing"
    GUARD_LOST = "the signing guard was lost, and this key has approved no block since"
    KEY_USED = "this key has approved a block that its signing guard does not know"


class Claim(Enum):
    """The statement of a member's operator when the guard is lost. The values are options of `alysd recover`."""

    NEWEST_DATABASE = "newest-database"  # only the guard was lost: the key was locked at no newer block
    OTHERS_HONEST = "join-others"  # no other member lies, so that what all others approve may be approved


@attrs.frozen
class StoredData:
    """The content of a data folder at start.

    `claimed` is true when a node has been set up in the folder completely. `newest` is the slot of the newest
    block in the database. `own` is the slot of the newest block in the database that this node's key has approved,
    or 0 if the guard is newer. Both are 0 if the database has only the genesis block, and None if there is no
    database. `guard` is None when there is no guard; `has_signed` is true when the database contains the guard's
    block. `authority` is false for a follower, which has no guard. `alone` is true if this node's approval alone
    is a quorum.
    """

    claimed: bool
    newest: Slot | None
    own: Slot | None
    guard: SignedSlot | None
    has_signed: bool
    authority: bool
    alone: bool


@attrs.frozen
class DataFinding:
    """A `fault`, and the last slot `past` of which this key may have signed a block that the database lacks."""

    fault: DataFault
    past: Slot


def judge_data(found: StoredData, now: Slot) -> DataFinding | None:
    """Compare database and guard at start, in slot `now`; None when they belong together.

    After a crash between writing the guard and storing the signed block, the database lacks only this block. This
    is not a fault: the newest stored block is not older than the block on which the signed block builds.
    """
    guard = found.guard
    signed = Slot(0) if guard is None else guard.slot
    unknown = Slot(max(now, signed, found.newest or 0) + 1)
    if found.newest is None and (found.claimed or signed):
        return DataFinding(DataFault.DATABASE_LOST, signed if guard else unknown)
    if not found.authority:
        return None
    newest, own = found.newest or Slot(0), found.own or Slot(0)
    if guard is None:
        return DataFinding(DataFault.GUARD_MISSING, unknown) if own or not found.alone else None
    if found.alone and guard.lock > newest:
        return DataFinding(DataFault.DATABASE_OLDER, signed)
    if signed < own or (signed == own != 0 and not found.has_signed):
        return DataFinding(DataFault.GUARD_OLDER, unknown)
    return None


def used_elsewhere(found: StoredData, now: Slot) -> DataFinding | None:
    """The finding for a guard with an `unknown` approval, in slot `now`; None for other guards.

    A node starts with such a guard, but it signs nothing.
    """
    guard = found.guard
    if guard is None or guard.unknown is None:
        return None
    return DataFinding(DataFault.KEY_USED, Slot(max(now, guard.slot, guard.unknown.slot, found.newest or 0) + 1))


def recovered_guard(
    finding: DataFinding,
    guard: SignedSlot | None,
    key: BlsPublicKey,
    newest: Slot,
    quorum: int,
    *,
    claim: Claim | None = None,
) -> SignedSlot:
    """The guard with which a node may start again after `finding`.

    The guard forbids every slot in which the key may have signed. An authority that is a quorum alone then goes on
    from its newest stored block, which has the slot `newest`. In a larger federation, the missing blocks still
    exist, and the key may have been locked at any of them. So if slots are unknown, the lock becomes
    `finding.past` too, and the key recovers (`consensus.recovery`), as the `claim` of the operator allows.
    """
    if guard is None or guard.slot < finding.past:
        guard = SignedSlot(key, finding.past, ZERO_HASH, finding.past)
    if quorum == 1 or claim is Claim.NEWEST_DATABASE:
        return attrs.evolve(guard, lock=newest)
    return attrs.evolve(guard, joins=guard.recovering and claim is Claim.OTHERS_HONEST)


def claimed_finding(found: StoredData, finding: DataFinding | None, claim: Claim) -> DataFinding | None:
    """The finding for an operator who makes this claim about a lost guard; None if the folder contradicts it.

    The claim is about a member that needs others for a quorum. It may also be made later, when `recovered_guard`
    has replaced the guard.
    """
    guard = found.guard
    if not found.authority or found.alone or (claim is Claim.NEWEST_DATABASE and not found.newest):
        return None
    if finding is None:
        if guard is None or not guard.recovering:
            return None
        return DataFinding(DataFault.GUARD_LOST, guard.slot)
    return finding if guard is None or guard.recovering or guard.slot < finding.past else None
