"""The rules of approval and commitment, and a search through all small chains for a conflict."""

from collections.abc import Iterator
from itertools import combinations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.approval import check_approval, commits, committed
from alysd.errors import ApprovalForbidden, WouldBreakLock, WouldDoubleSign
from alysd.testing.blocks import digest, extend, genesis, make_spec
from alysd.types.federation import quorum_of
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, displayed
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot

KEY = BlsPublicKey(b"\x8f" * 48)
BLOCK, OTHER = BlockHash(digest("a")), BlockHash(digest("b"))
LAST = SignedSlot(KEY, Slot(7), BLOCK, Slot(5))


def test_the_next_block_on_the_lock_or_above_it_may_be_approved() -> None:
    check_approval(Slot(8), OTHER, Slot(5), LAST)
    check_approval(Slot(8), OTHER, Slot(7), LAST)
    check_approval(Slot(100), OTHER, Slot(6), LAST)


def test_the_block_that_was_approved_last_may_be_approved_again() -> None:
    """After a crash between the guard and the import, the author has to sign the same block again."""
    check_approval(Slot(7), BLOCK, Slot(5), LAST)


@pytest.mark.parametrize(("slot", "block"), [(6, OTHER), (6, BLOCK), (7, OTHER)])
def test_a_slot_is_approved_once_and_none_before_it(slot: int, block: BlockHash) -> None:
    with pytest.raises(WouldDoubleSign, match=f"slot {slot}"):
        check_approval(Slot(slot), block, Slot(5), LAST)


def test_a_parent_below_the_lock_is_refused_with_both_slots() -> None:
    with pytest.raises(WouldBreakLock, match="the parent has slot 4, but the lock of this key is slot 5"):
        check_approval(Slot(8), OTHER, Slot(4), LAST)


def test_the_refusal_names_the_block_that_was_approved() -> None:
    with pytest.raises(WouldDoubleSign, match=displayed(BLOCK)):
        check_approval(Slot(7), OTHER, Slot(5), LAST)


def test_the_part_of_a_branch_that_is_committed_ends_below_the_newest_child_of_the_next_slot() -> None:
    spec = make_spec()
    for offsets, length in (([], 0), ([0], 0), ([0, 1], 1), ([0, 2], 0), ([0, 1, 2], 2), ([0, 1, 3, 4, 9], 3)):
        branch = extend(genesis(spec), offsets, spec)
        assert [*committed(branch)] == branch[:length]


@attrs.frozen
class Rules:
    """The rules of which a search takes one away."""

    lock: bool = True
    once_per_slot: bool = True
    next_slot: bool = True


@attrs.frozen
class Member:
    """An honest member: the slot of its last approval, and its lock."""

    slot: int = 0
    lock: int = 0

    def may_approve(self, slot: int, parent: int, rules: Rules) -> bool:
        """Whether the rules that hold allow the approval of a new block."""
        last_slot = self.slot if rules.once_per_slot else slot - 1
        last = SignedSlot(KEY, Slot(last_slot), ZERO_HASH, Slot(self.lock if rules.lock else 0))
        try:
            check_approval(Slot(slot), OTHER, Slot(parent), last)
        except ApprovalForbidden:
            return False
        return True


Chain = tuple[tuple[int, int], ...]
"""The approved blocks: the index of the parent, and the slot. The first one is the genesis block."""

Position = tuple[int, Chain, tuple[Member, ...]]
"""The next slot, the approved blocks, and the honest members."""


def conflict(chain: Chain, rules: Rules) -> bool:
    """Whether two committed blocks are on different branches."""

    def ancestors(block: int) -> set[int]:
        found = {block}
        while block:
            block = chain[block][0]
            found.add(block)
        return found

    safe = {
        parent
        for parent, slot in chain[1:]
        if parent and (commits(Slot(chain[parent][1]), Slot(slot)) or not rules.next_slot)
    }
    return any(one not in ancestors(other) and other not in ancestors(one) for one, other in combinations(safe, 2))


@attrs.frozen
class Search:
    """All chains of `slots` slots in which `liars` of `members` members approve everything.

    Each slot brings up to two approved blocks, on any approved block: an honest author is one of the cases of a
    lying one. Messages arrive or not as it suits the liars. An honest member that approves a block knows its
    parent. To know more could only forbid it more.
    """

    members: int
    liars: int
    slots: int
    rules: Rules = Rules()

    def finds_conflict(self) -> bool:
        """Whether any of the chains has two committed blocks that conflict."""
        seen: set[Position] = set()
        pending: list[Position] = [(1, ((0, 0),), (Member(),) * (self.members - self.liars))]
        while pending:
            slot, chain, honest = pending.pop()
            if conflict(chain, self.rules):
                return True
            if slot > self.slots or (slot, chain, honest) in seen:
                continue
            seen.add((slot, chain, honest))
            pending.append((slot + 1, chain, honest))
            for one in self.blocks(slot, chain, honest):
                pending.append((slot + 1, *one))
                pending.extend((slot + 1, *two) for two in self.blocks(slot, *one))
        return False

    def blocks(
        self, slot: int, chain: Chain, honest: tuple[Member, ...]
    ) -> Iterator[tuple[Chain, tuple[Member, ...]]]:
        """Each way to approve one more block in `slot`, with as few honest members as a quorum needs."""
        needed = quorum_of(self.members) - self.liars
        for parent, (_, parent_slot) in enumerate(chain):
            if parent_slot >= slot:
                continue
            able = [n for n, one in enumerate(honest) if one.may_approve(slot, parent_slot, self.rules)]
            for voters in combinations(able, needed):
                after = [
                    Member(slot, max(one.lock, parent_slot)) if n in voters else one
                    for n, one in enumerate(honest)
                ]
                # Honest members are alike: their order makes no difference.
                yield (*chain, (parent, slot)), tuple(sorted(after, key=attrs.astuple))


@pytest.mark.parametrize(("members", "liars", "slots"), [(1, 0, 7), (3, 0, 6), (4, 1, 6)])
def test_no_chain_has_a_conflict_while_less_than_a_third_lie(members: int, liars: int, slots: int) -> None:
    assert not Search(members, liars, slots).finds_conflict()


@pytest.mark.parametrize("rule", ["lock", "once_per_slot", "next_slot"])
def test_each_rule_is_needed(rule: str) -> None:
    """The search finds a conflict when one rule is taken away. Otherwise it would prove nothing."""
    assert Search(4, 1, 6, Rules(**{rule: False})).finds_conflict()


def test_with_a_third_of_liars_a_conflict_is_found() -> None:
    assert Search(3, 1, 4).finds_conflict()
    assert Search(4, 2, 4).finds_conflict()


@given(st.integers(1, 21))
def test_two_quorums_share_an_honest_member(members: int) -> None:
    """The argument for safety depends on it, for every size of a federation."""
    liars = (members - 1) // 3
    assert 2 * quorum_of(members) - members >= liars + 1
    assert quorum_of(members) <= members - liars, "the honest members alone can approve"
