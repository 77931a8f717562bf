"""The rules of members that have lost their guards, and a search for conflicts that such losses could cause."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain as concatenated
from itertools import combinations
from typing import NamedTuple

import attrs
import pytest

from alysd.consensus.approval import STATEMENT_GAP, check_approval, check_recovering, check_stated, commits
from alysd.consensus.federation import approval_message
from alysd.consensus.recovery import check_statement, is_supported, recovery_message
from alysd.consensus.violations import ForgedStatement, NoSuchAuthority, SlotPassed, SlotTooEarly
from alysd.errors import ApprovalForbidden, NotRecovering, WouldBreakLock, WouldDoubleSign
from alysd.testing.blocks import FIRST_SLOT, GENESIS, SIGNATURE, context_of, digest, make_spec
from alysd.types.federation import quorum_of
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, BlsSignature
from alysd.types.proposal import RecoveryStatement
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot
from tests.thorough import cases

KEY = BlsPublicKey(b"\x8f" * 48)
BLOCK, OTHER = BlockHash(digest("a")), BlockHash(digest("b"))
LOST = SignedSlot(KEY, Slot(7), ZERO_HASH, Slot(7), joins=True)

CONTEXT = context_of(make_spec(4))
NOW = float(FIRST_SLOT * CONTEXT.spec.slot_seconds)
STATEMENT = RecoveryStatement(Slot(FIRST_SLOT), 2, SIGNATURE)


# Statements


def verify_recovery(keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
    return (keys, message, signature) == (
        [CONTEXT.first_federation.authorities[2]], recovery_message(GENESIS, Slot(FIRST_SLOT)), SIGNATURE
    )  # fmt: skip


def test_a_statement_is_one_of_its_authority_and_slot() -> None:
    check_statement(STATEMENT, CONTEXT.first_federation, CONTEXT, NOW, verify_recovery)
    with pytest.raises(ForgedStatement, match="not that of authority 1 for a recovery"):
        check_statement(
            attrs.evolve(STATEMENT, authority=1), CONTEXT.first_federation, CONTEXT, NOW, verify_recovery
        )
    with pytest.raises(NoSuchAuthority):
        check_statement(
            attrs.evolve(STATEMENT, authority=4), CONTEXT.first_federation, CONTEXT, NOW, verify_recovery
        )


@pytest.mark.parametrize(("seconds", "error"), [(4, SlotPassed), (-2, SlotTooEarly)])
def test_a_statement_of_another_time_is_refused(seconds: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_statement(STATEMENT, CONTEXT.first_federation, CONTEXT, NOW + seconds, verify_recovery)


def test_a_statement_is_no_approval() -> None:
    """A signature of one could otherwise be used as the other."""
    assert recovery_message(GENESIS, Slot(1)) != recovery_message(GENESIS, Slot(2))
    assert recovery_message(GENESIS, Slot(1)) != approval_message(GENESIS, BLOCK)


def test_only_a_record_without_a_block_is_lost() -> None:
    check_recovering(LOST)
    for whole in (
        SignedSlot(KEY, Slot(0), ZERO_HASH, Slot(0)),  # a new key
        SignedSlot(KEY, Slot(7), BLOCK, Slot(7)),  # a guard of format 1
        SignedSlot(KEY, Slot(7), ZERO_HASH, Slot(5)),  # a member alone, which goes on from its database
        SignedSlot(KEY, Slot(7), BLOCK, Slot(6)),
    ):
        with pytest.raises(NotRecovering, match="not lost"):
            check_recovering(whole)


def test_a_recovering_authority_approves_only_shortly_after_a_statement() -> None:
    """Without one, the others would count on its old approvals."""
    gap = STATEMENT_GAP
    check_stated(Slot(20), LOST, Slot(20))
    check_stated(Slot(20 + gap), LOST, Slot(20))
    check_stated(Slot(20), SignedSlot(KEY, Slot(7), BLOCK, Slot(6)), None)
    for before in (None, Slot(20)):
        with pytest.raises(WouldBreakLock, match=f"slot {21 + gap}: the signing guard of this key was lost"):
            check_stated(Slot(21 + gap), LOST, before)


# Approvals of a recovering member


def test_a_recovering_member_approves_what_the_others_built_without_it() -> None:
    check_approval(Slot(8), BLOCK, Slot(7), LOST)
    with pytest.raises(WouldBreakLock, match="only children of blocks from slot 7 on, or blocks that all other"):
        check_approval(Slot(8), BLOCK, Slot(6), LOST)


def test_a_recovering_member_approves_what_all_others_approve() -> None:
    check_approval(Slot(8), BLOCK, Slot(6), LOST, supported=True)
    with pytest.raises(WouldDoubleSign):
        check_approval(Slot(7), BLOCK, Slot(6), LOST, supported=True)


def test_it_does_so_only_if_its_operator_has_said_that_no_other_lies() -> None:
    with pytest.raises(WouldBreakLock, match="only children of blocks from slot 7 on$"):
        check_approval(Slot(8), BLOCK, Slot(6), attrs.evolve(LOST, joins=False), supported=True)
    check_approval(Slot(8), BLOCK, Slot(7), attrs.evolve(LOST, joins=False))


def test_support_changes_nothing_for_a_member_with_its_guard() -> None:
    with pytest.raises(WouldBreakLock, match="the lock of this key is slot 7"):
        check_approval(Slot(9), BLOCK, Slot(6), SignedSlot(KEY, Slot(8), BLOCK, Slot(7)), supported=True)


@pytest.mark.parametrize(
    ("members", "signed", "recovering", "expected"),
    [
        (4, {2, 3}, {1}, True),
        (4, {2}, {1}, False),  # 3 may have approved another block
        (4, {3}, {1, 2}, False),  # 0, 1 and 2 may have approved a block that 3 does not know
        (4, {1, 2, 3}, set[int](), True),
        (4, {2, 3}, set[int](), False),
        (2, {1}, set[int](), True),
        (3, {1, 2}, set[int](), True),
        (3, {2}, {1}, False),
        (7, {4, 5, 6}, {1, 2, 3}, True),
        (7, {5, 6}, {1, 2, 3, 4}, False),
        (1, set[int](), set[int](), False),
    ],
)
def test_the_others_that_have_to_support_a_block(
    members: int, signed: set[int], recovering: set[int], expected: bool
) -> None:
    signers = [index in signed for index in range(members)]
    assert is_supported(0, signers, recovering, quorum_of(members)) is expected


# The search


class Member(NamedTuple):
    """An honest member: the slot of its last approval, and its lock.

    `lost` is the slot of its new guard while it recovers, otherwise 0. `stated` is the slot of its last statement.
    """

    slot: int = 0
    lock: int = 0
    lost: int = 0
    stated: int = 0


@cache
def may_approve(member: Member, slot: int, parent: int, *, supported: bool, joins: bool) -> bool:
    """Whether the rules allow `member` to approve a new block."""
    last = SignedSlot(KEY, Slot(member.slot), BLOCK, Slot(member.lock))
    if member.lost:
        last = SignedSlot(KEY, Slot(member.lost), ZERO_HASH, Slot(member.lost), joins=joins)
    try:
        check_approval(Slot(slot), OTHER, Slot(parent), last, supported=supported)
    except ApprovalForbidden:
        return False
    return True


Chain = tuple[tuple[int, int], ...]
"""The approved blocks: the index of the parent, and the slot. The first one is the genesis block."""

Members = tuple[Member, ...]


def has_conflict(chain: Chain) -> bool:
    """Whether two committed blocks are on different branches."""

    def ancestors(block: int) -> set[int]:
        found = {block}
        while block:
            block = chain[block][0]
            found.add(block)
        return found

    safe = {parent for parent, slot in chain[1:] if parent and commits(Slot(chain[parent][1]), Slot(slot))}
    return any(one not in ancestors(other) and other not in ancestors(one) for one, other in combinations(safe, 2))


@attrs.frozen
class Search:
    """All chains of `slots` slots in which `liars` members lie, and guards are lost `losses` times.

    A liar approves everything. Any number of members may lose their guards at the begin of a slot. Without
    `enough`, the number of members that must support a block is not limited. Without `joins`, no operator lets a
    recovering member approve what all others approve.
    """

    members: int
    liars: int
    losses: int
    slots: int
    enough: bool = True
    joins: bool = True

    def finds_conflict(self) -> bool:
        """Whether any of the chains has two committed blocks that conflict."""
        seen: set[tuple[int, Chain, Members, int]] = set()
        start = (Member(),) * (self.members - self.liars)
        pending: list[tuple[int, Chain, Members, int]] = [(1, ((0, 0),), start, 0)]
        while pending:
            slot, chain, honest, losses = pending.pop()
            if has_conflict(chain):
                return True
            if slot > self.slots or (slot, chain, honest, losses) in seen:
                continue
            seen.add((slot, chain, honest, losses))
            for after, lost in self.with_losses(slot, honest, losses):
                for one_chain, one in concatenated([(chain, after)], self.blocks(slot, chain, after)):
                    pending.append((slot + 1, one_chain, one, lost))
                    if one_chain != chain:
                        pending += [(slot + 1, *two, lost) for two in self.blocks(slot, one_chain, one)]
        return False

    def with_losses(self, slot: int, honest: Members, losses: int) -> set[tuple[Members, int]]:
        """Each way to lose guards before `slot`. Those who recover then make their statements."""
        found: set[tuple[Members, int]] = set()
        for count in range(self.losses - losses + 1):
            for losing in combinations(range(len(honest)), count):
                after = [one._replace(lost=slot) if n in losing else one for n, one in enumerate(honest)]
                after = [one._replace(stated=slot) if one.lost else one for one in after]
                found.add((tuple(sorted(after)), losses + count))
        return found

    def blocks(self, slot: int, chain: Chain, honest: Members) -> Iterator[tuple[Chain, Members]]:
        """Each way to approve one more block in `slot`."""
        for parent, (_, parent_slot) in enumerate(chain):
            if parent_slot < slot:
                for after in self.votes(honest, slot, parent_slot):
                    yield (*chain, (parent, slot)), after

    def votes(self, honest: Members, slot: int, parent_slot: int) -> set[Members]:
        """The honest members after each way in which a quorum can approve a block."""
        found: set[Members] = set()
        for count in range(quorum_of(self.members) - self.liars, len(honest) + 1):
            for voters in combinations(range(len(honest)), count):
                if all(self.may(honest, voter, voters, slot, parent_slot) for voter in voters):
                    after = [
                        Member(slot, parent_slot if one.lost else max(one.lock, parent_slot), 0, one.stated)
                        if n in voters else one
                        for n, one in enumerate(honest)
                    ]  # fmt: skip
                    found.add(tuple(sorted(after)))
        return found

    def may(self, honest: Members, voter: int, voters: Sequence[int], slot: int, parent_slot: int) -> bool:
        """Whether `voter` may approve a block that `voters` and all liars approve."""
        if may_approve(honest[voter], slot, parent_slot, supported=False, joins=self.joins):
            return True
        signers = [n in voters for n in range(len(honest))] + [True] * self.liars
        recovering = [n for n, one in enumerate(honest) if one.stated > honest[voter].lost]
        quorum = quorum_of(self.members) if self.enough else self.members
        supported = is_supported(voter, signers, recovering, quorum)
        return supported and may_approve(honest[voter], slot, parent_slot, supported=True, joins=self.joins)


@pytest.mark.parametrize(
    ("members", "liars", "losses", "slots"), [(2, 0, 2, 6), (4, 0, 2, cases(4, 5)), (4, 1, 1, 5)]
)
def test_lost_guards_cause_no_conflict(members: int, liars: int, losses: int, slots: int) -> None:
    assert not Search(members, liars, losses, slots).finds_conflict()


def test_fewer_supporters_would_not_be_enough() -> None:
    """Two of three have approved a block that the third does not know. Then both lose their guards."""
    assert Search(3, 0, 2, 5, enough=False).finds_conflict()


def test_a_liar_among_too_many_lost_guards_can_cause_a_conflict() -> None:
    """Two that have forgotten a block and one that lies about it are a quorum. So operators have to decide it."""
    assert Search(4, 1, 2, 5).finds_conflict()
    assert not Search(4, 1, 2, 5, joins=False).finds_conflict()
