"""The tree against the rule as docs/protocol.md writes it, over random histories of branches and proofs."""

from collections.abc import Iterable
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.fork_choice import Tree, UnfinalChanges, best, preference
from alysd.consensus.violations import UnknownParent
from alysd.testing.blocks import FIRST_SLOT, digest, extend, genesis, make_spec
from alysd.types.chain import ChainState, Forkchoice, ForkChoiceChange
from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height, Slot

ROOT = genesis(make_spec())


def child(
    parent: ChainState, slot: int | None = None, final: ChainState | None = None, tag: int = 0
) -> ChainState:
    """The state after a block on `parent`; with `final`, the block includes a proof up to there."""
    state = attrs.evolve(
        parent,
        hash=BlockHash(digest("block", parent.hash, slot, tag)),
        parent_hash=parent.hash,
        height=Height(parent.height + 1),
        slot=Slot(parent.slot + 1 if slot is None else slot),
    )
    if final is None:
        return state
    return attrs.evolve(state, last_final=final.hash, last_final_height=final.height, last_final_slot=final.slot)


def grow(tree: Tree, parent: ChainState, count: int, tag: int = 0) -> list[ChainState]:
    states: list[ChainState] = []
    for _ in range(count):
        parent = child(parent, tag=tag)
        tree.adopt(parent)
        states.append(parent)
    return states


def pairs(states: Iterable[ChainState]) -> tuple[tuple[Height, BlockHash], ...]:
    return tuple((state.height, state.hash) for state in states)


def new_tree() -> Tree:
    return Tree((ROOT,), ROOT.hash)


def test_slot_then_hash_decide_and_not_height() -> None:
    """Members may be locked at the block of the highest slot, even if another branch has more blocks."""
    early, high = child(ROOT, 5), child(child(ROOT, 5), 6)
    late = child(ROOT, 7)
    one, other = sorted((child(ROOT, 5, tag=1), child(ROOT, 5, tag=2)), key=lambda state: state.hash)
    assert best([early, high, late]) == late
    assert best([early, high]) == high
    assert best([other, one]) == one
    assert preference(late) < preference(high) < preference(early)


def test_a_new_tree_is_its_final_block() -> None:
    tree = new_tree()
    assert tree.tip == Forkchoice(ROOT, ROOT, ROOT)
    assert tree.bundle() is None
    assert tree.ancestry(ROOT.hash) == ()
    assert len(tree) == 1


def test_a_block_on_the_head_becomes_the_head() -> None:
    tree = new_tree()
    one = child(ROOT)
    assert tree.adopt(one) == ForkChoiceChange(Forkchoice(one, ROOT, ROOT), pairs([one]), 0)
    two = child(one)
    assert tree.adopt(two) == ForkChoiceChange(Forkchoice(two, one, ROOT), pairs([two]), 0)
    bundle = tree.bundle()
    assert bundle is not None
    assert bundle.hashes == (one.hash,), "no block of the next slot follows the second"
    assert (bundle.end_height, bundle.end_slot, bundle.previous_end_slot) == (1, one.slot, ROOT.last_final_slot)


def test_a_block_is_safe_and_may_become_final_once_the_block_of_the_next_slot_builds_on_it() -> None:
    tree = new_tree()
    one = child(ROOT)
    two = child(one, one.slot + 2)
    three = child(two)
    tree.adopt(one)
    tree.adopt(two)
    assert tree.tip == Forkchoice(two, ROOT, ROOT)
    assert tree.bundle() is None
    tree.adopt(three)
    assert tree.tip == Forkchoice(three, two, ROOT)
    bundle = tree.bundle()
    assert bundle is not None
    assert bundle.hashes == (one.hash, two.hash)


def test_a_safe_block_stays_safe_when_the_head_moves_to_a_branch_without_a_block_of_the_next_slot() -> None:
    """Clients saw the safe block go back by one, although no rule can undo it."""
    tree = new_tree()
    one = grow(tree, ROOT, 1)[0]
    tree.adopt(child(one, tag=1))
    assert tree.tip.safe == one
    late = child(one, one.slot + 2, tag=2)
    tree.adopt(late)
    assert tree.tip == Forkchoice(late, one, ROOT)


def test_a_block_of_the_next_slot_that_comes_late_makes_its_parent_safe() -> None:
    tree = new_tree()
    one = grow(tree, ROOT, 1)[0]
    late = child(one, one.slot + 2, tag=1)
    tree.adopt(late)
    assert tree.tip == Forkchoice(late, ROOT, ROOT)
    assert tree.adopt(child(one, tag=2)).tip == Forkchoice(late, one, ROOT)
    assert tree.tip.safe == one


def test_a_branch_with_a_later_slot_displaces_the_head() -> None:
    tree = new_tree()
    common = grow(tree, ROOT, 1)[0]
    old = grow(tree, common, 2, tag=1)
    new = [child(common, tag=2)]
    new.append(child(new[0], tag=2))
    new.append(child(new[1], tag=2))
    tree.adopt(new[0])
    tree.adopt(new[1])
    before = tree.tip
    expected = ForkChoiceChange(Forkchoice(new[2], new[1], ROOT), pairs(new), 2)
    if before.head == new[1]:
        # The tie at the same slot went by hash.
        expected = attrs.evolve(expected, canonical=pairs(new[2:]), removed=0)
    else:
        assert before.head == old[1]
    assert tree.adopt(new[2]) == expected


def test_placing_changes_nothing() -> None:
    tree = new_tree()
    states = grow(tree, ROOT, 3)
    extra = child(states[-1], final=states[0])
    before = tree.tip
    first = tree.place(extra)
    assert tree.place(extra) == first
    assert tree.tip == before
    assert tree.get(extra.hash) is None
    assert first.tip.finalized == states[0]
    assert tree.adopt(extra) == first


def test_a_block_that_is_there_changes_nothing() -> None:
    """A crash between writing and adopting hands the same block in again."""
    tree = new_tree()
    states = grow(tree, ROOT, 3)
    for state in (ROOT, *states):
        assert tree.adopt(state) == ForkChoiceChange(Forkchoice(states[2], states[1], ROOT), (), 0)
    assert len(tree) == 4


def test_a_block_without_a_parent_in_the_tree_is_refused() -> None:
    tree = new_tree()
    states = grow(tree, ROOT, 3)
    tree.adopt(child(states[2], final=states[1]))
    orphan = child(child(states[2], tag=7))
    below = child(states[0], tag=7)
    for state in (orphan, below):
        with pytest.raises(UnknownParent) as caught:
            tree.place(state)
        assert caught.value.parent == state.parent_hash


def test_a_final_block_is_never_abandoned_however_long_the_other_branch() -> None:
    tree = new_tree()
    short = grow(tree, ROOT, 2, tag=1)
    long = grow(tree, ROOT, 5, tag=2)
    assert tree.tip.head == long[-1]
    proof = child(short[-1], final=short[0])
    placement = tree.adopt(proof)
    assert placement == ForkChoiceChange(Forkchoice(proof, short[-1], short[0]), pairs([*short, proof]), 5)
    assert all(tree.get(state.hash) is None for state in long)
    with pytest.raises(UnknownParent):
        tree.adopt(child(long[-1]))


def test_a_proof_on_a_side_branch_that_the_head_shares_moves_only_the_final_block() -> None:
    tree = new_tree()
    common = grow(tree, ROOT, 2)
    head = grow(tree, common[-1], 4, tag=1)
    proof = child(common[-1], final=common[0], tag=2)
    assert tree.adopt(proof) == ForkChoiceChange(Forkchoice(head[-1], head[-2], common[0]), (), 0)
    # The head's own branch has not included the proof: its next proof still begins at its own last final block.
    bundle = tree.bundle()
    assert bundle is not None
    assert bundle.hashes == tuple(state.hash for state in (*common, *head[:-1]))


def test_a_late_child_of_the_final_block_finds_the_range_that_it_must_prove_itself() -> None:
    tree = new_tree()
    states = grow(tree, ROOT, 3)
    tree.adopt(child(states[2], final=states[2], tag=1))
    assert tree.tip.finalized == states[2]
    assert tree.ancestry(states[2].hash) == tuple(states)
    assert tree.adopt(child(states[2], final=states[2], tag=2)).tip.finalized == states[2]


def test_what_lies_below_the_last_range_is_forgotten() -> None:
    """Otherwise the tree would grow as long as the node runs."""
    tree = new_tree()
    state, finals = ROOT, [ROOT]
    for _ in range(50):
        blocks = grow(tree, state, 4)
        grow(tree, blocks[0], 2, tag=9)
        state = child(blocks[-1], final=blocks[-1])
        tree.adopt(state)
        finals.append(blocks[-1])
        assert len(tree) <= 12
    assert tree.tip == Forkchoice(state, finals[-1], finals[-1])
    assert tree.get(finals[-2].hash) is None
    assert tree.get(ROOT.hash) is None
    with pytest.raises(UnknownParent):
        tree.ancestry(ROOT.hash)


def test_states_that_do_not_hold_the_final_block_are_no_tree() -> None:
    one = child(ROOT)
    two = child(one, final=one)
    cases: list[tuple[tuple[ChainState, ...], ChainState]] = [
        ((), ROOT),
        ((ROOT,), one),
        ((ROOT, two), two),
        # Without the block that was final before it, nobody could prove the range that a late child needs.
        ((one,), one),
    ]
    for states, final in cases:
        with pytest.raises(UnknownParent):
            Tree(states, final.hash)
    assert Tree((one, two), two.hash).tip.finalized == two


class Naive:
    """The rule, word by word: everything is kept, everything is computed anew."""

    def __init__(self) -> None:
        self.all = {ROOT.hash: ROOT}
        self.final = ROOT

    def down(self, state: ChainState) -> list[ChainState]:
        path = [state]
        while path[-1].hash != ROOT.hash:
            path.append(self.all[path[-1].parent_hash])
        return path

    def live(self) -> list[ChainState]:
        return [state for state in self.all.values() if self.final in self.down(state)]

    def head(self) -> ChainState:
        return best(self.live())

    def safe(self, below: list[ChainState]) -> ChainState:
        committed = [
            one
            for one in below[1:]
            if any(child.parent_hash == one.hash and child.slot == one.slot + 1 for child in self.live())
        ]
        return max([self.final, *committed[:1]], key=lambda one: one.height)

    def bundle(self, below: list[ChainState]) -> list[BlockHash]:
        waiting = self.ancestry(below[0])
        pairs = pairwise(waiting)
        ends = [n for n, (one, child) in enumerate(pairs, 1) if child.slot == one.slot + 1]
        return [one.hash for one in waiting[: max(ends, default=0)]]

    def add(self, state: ChainState) -> None:
        self.all[state.hash] = state
        if state.last_final_height > self.final.height:
            self.final = self.all[state.last_final]

    def ancestry(self, state: ChainState) -> tuple[ChainState, ...]:
        above = [one for one in self.down(state) if one.height > state.last_final_height]
        return tuple(reversed(above))


choices = st.tuples(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 10**6), st.integers(0, 3))


@given(st.lists(choices, max_size=60))
def test_the_tree_is_the_rule_over_any_history(history: list[tuple[int, int, int, int]]) -> None:
    """A wrong head forks this node off; a wrong canonical change leaves its database inconsistent."""
    tree, naive = new_tree(), Naive()
    canonical = {ROOT.height: ROOT.hash}
    for step, (which, gap, proof, rarity) in enumerate(history):
        live = sorted(naive.live(), key=lambda state: state.hash)
        # Prefer recent blocks, so that branches get long.
        recent = sorted(live, key=lambda state: -state.height)[:4]
        parent = (recent if rarity else live)[which % (len(recent) if rarity else len(live))]
        ancestry = naive.ancestry(parent)
        final = ancestry[proof % len(ancestry)] if ancestry and rarity == 1 else None
        state = child(parent, parent.slot + gap, final, tag=step)
        naive.add(state)
        old = tree.tip.head
        placement = tree.adopt(state)
        assert tree.tip == placement.tip
        head, below = naive.head(), naive.down(naive.head())
        assert (tree.tip.head, tree.tip.finalized) == (head, naive.final)
        assert tree.tip.safe == naive.safe(below)
        assert [*(bundle.hashes if (bundle := tree.bundle()) else ())] == naive.bundle(below)
        for height in range(old.height - placement.removed + 1, old.height + 1):
            del canonical[Height(height)]
        canonical.update(placement.canonical)
        assert canonical == {one.height: one.hash for one in below}
        for one in naive.live():
            assert tree.get(one.hash) == one
            assert tree.ancestry(one.hash) == naive.ancestry(one)
        stored = sorted(
            (one for one in naive.all.values() if one.height >= naive.final.last_final_height),
            key=lambda one: (one.hash != naive.final.last_final, one.height),
        )
        again = Tree(stored, naive.final.hash)
        assert again.tip == tree.tip
        assert len(again) == len(tree)


ONE, TWO, OTHER = (BlockHash(bytes([n]) * 32) for n in (1, 2, 3))
KEY = b"\x07" * 32


def write(height: int) -> EntryChange:
    return EntryChange(Table.PROOFS, KEY, Proof(ONE, Height(height), AuxHash(bytes(32))))


def test_the_newest_change_of_the_branch_is_found() -> None:
    changes = UnfinalChanges()
    changes.add(ONE, [write(1)])
    changes.add(TWO, [EntryChange(Table.PROOFS, KEY, None)])
    changes.add(OTHER, [write(8), write(9)])
    assert changes.find(Table.PROOFS, KEY, [ONE]) == write(1)
    assert changes.find(Table.PROOFS, KEY, [TWO, ONE]) == EntryChange(Table.PROOFS, KEY, None)
    assert changes.find(Table.PROOFS, KEY, [OTHER, ONE]) == write(9), "the later change of a block holds"
    assert changes.find(Table.PROOFS, KEY, [BlockHash(bytes(32))]) is None
    assert changes.find(Table.PROOFS, bytes(32), [TWO, ONE]) is None


def test_what_is_dropped_leaves_nothing_behind() -> None:
    """A node would keep every change that it ever saw."""
    changes = UnfinalChanges()
    changes.add(ONE, [write(1), write(2)])
    changes.add(TWO, [write(3)])
    changes.add(OTHER, [])
    assert len(changes) == 2
    changes.drop(ONE)
    changes.drop(ONE)
    assert changes.find(Table.PROOFS, KEY, [TWO, ONE]) == write(3)
    changes.drop(TWO)
    assert len(changes) == 0
    assert changes.find(Table.PROOFS, KEY, [TWO, ONE]) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=12))
def test_the_rival_of_a_new_block_is_the_newest_canonical_block_that_no_one_may_approve_too(
    plan: list[tuple[int, int]],
) -> None:
    """Evidence against a quorum would be missed, or an honest quorum be reported."""
    spec = make_spec()
    tree, states = Tree([genesis(spec)], genesis(spec).hash), [genesis(spec)]
    for back, ahead in plan:
        parent = states[-1 - back % len(states)]
        (state,) = extend(parent, [ahead + (parent.slot - FIRST_SLOT if parent.height else 0)], spec)
        expected: ChainState | None = None
        other = tree.tip.head
        while other.height and tree.get(state.hash) is None:
            above = tree.get(other.parent_hash)
            assert above is not None
            lower, upper = sorted(((other.slot, above.slot), (state.slot, parent.slot)))
            if expected is None and (lower[0] == upper[0] or upper[1] < lower[1]):
                expected = other
            other = above
        assert tree.rival(state) == expected
        tree.adopt(state)
        states.append(state)
