"""The fork choice rule, which selects the head (docs/protocol.md, "Fork choice").

The head is the approved descendant of the last final block with the highest slot, then the lowest hash. `Tree`
keeps the states that the rule chooses from, and the table changes that are not final. The time to place a block is
proportional to the number of blocks that become canonical or are removed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from types import MappingProxyType

from alysd.consensus.approval import commits, committed
from alysd.consensus.violations import UnknownParent
from alysd.types.auxpow import Bundle
from alysd.types.chain import ChainState, Forkchoice, ForkChoiceChange
from alysd.types.hashes import BlockHash
from alysd.types.tables import Entry, EntryChange, EntryKey, Table
from alysd.types.units import Height


def preference(state: ChainState) -> tuple[int, bytes]:
    """The fork choice rule as a sort key: the block with the smallest key is preferred."""
    return (-state.slot, state.hash)


def best(candidates: Iterable[ChainState]) -> ChainState:
    """The preferred block; raises `ValueError` if there is none."""
    return min(candidates, key=preference)


class UnfinalChanges:
    """The changes that the blocks above the last final one make to entries, by block and by the entry's key.

    The lookup of a key that none of these blocks changes takes constant time. Any other lookup walks down the
    branch.
    """

    def __init__(self) -> None:
        self._by_block: dict[BlockHash, Sequence[EntryChange]] = {}
        self._by_key: dict[tuple[Table, bytes], dict[BlockHash, EntryChange]] = {}

    def __len__(self) -> int:
        return len(self._by_block)

    def add(self, block: BlockHash, changes: Sequence[EntryChange]) -> None:
        """Add the changes of `block`. The last change of a key takes effect."""
        if changes:
            self._by_block[block] = changes
        for change in changes:
            self._by_key.setdefault((change.table, change.key), {})[block] = change

    def drop(self, block: BlockHash) -> None:
        """Remove the changes of a block that has become final or can no longer become final."""
        for change in self._by_block.pop(block, ()):
            blocks = self._by_key.get((change.table, change.key), {})
            blocks.pop(block, None)
            if not blocks:
                self._by_key.pop((change.table, change.key), None)

    def keys_of(self, table: Table) -> Sequence[bytes]:
        """The keys of a table that any of the blocks changes, in order."""
        return sorted(key for place, key in self._by_key if place is table)

    def find(self, table: Table, key: bytes, branch: Iterable[BlockHash]) -> EntryChange | None:
        """The newest change of a key on a `branch`, or None. The `branch` is given from its newest block down."""
        blocks = self._by_key.get((table, key))
        if blocks is None:
            return None
        return next((blocks[block] for block in branch if block in blocks), None)


class Tree:
    """The tree of blocks from the last final block upwards, with the head.

    `states` is ordered by height. It begins with the oldest state to keep and includes that of `final`. States
    that do not descend from the first one are left out.

    Below the final block the tree keeps the path down to the end of the previous final range. A branch from the
    final block that does not include the proof of this block needs the path: the branch can include another proof,
    whose range also begins after that end. A chain that is `halted` accepts only blocks with a proof, so this path
    has at most 2 · (`max_blocks_without_auxpow` + 1) blocks.

    Raises `UnknownParent` if `final`, or the end of the final range before it, does not descend from the first
    state.
    """

    def __init__(
        self,
        states: Sequence[ChainState],
        final: BlockHash,
        changes: Mapping[BlockHash, Sequence[EntryChange]] = MappingProxyType({}),
    ) -> None:
        self._states: dict[BlockHash, ChainState] = {}
        self._children: dict[BlockHash, list[ChainState]] = {}
        self._changes = UnfinalChanges()
        for state in states:
            if not self._states or state.parent_hash in self._states:
                self._link(state)
        if final not in self._states or self._states[final].last_final not in self._states:
            raise UnknownParent(final)
        self._root, last_final = states[0], self._states[final]
        self._tip = self._forkchoice(best(self._subtree(last_final)), last_final)
        self._canonical: dict[Height, BlockHash] = {
            state.height: state.hash for state in self._down(self._tip.head, last_final)
        }
        self._prune(self._root, last_final)
        for state in islice(self._subtree(last_final), 1, None):
            self._changes.add(state.hash, changes.get(state.hash, ()))

    def __len__(self) -> int:
        return len(self._states)

    @property
    def tip(self) -> Forkchoice:
        """The head, the safe and the final block."""
        return self._tip

    def get(self, block: BlockHash) -> ChainState | None:
        """The state after `block` if it is the last final block or above it, else None."""
        state = self._states.get(block)
        return state if state is not None and state.height >= self._tip.finalized.height else None

    def ancestry(self, tip: BlockHash) -> tuple[ChainState, ...]:
        """The states after the blocks, up to `tip`, that no proof of work on the branch of `tip` makes final.

        The states are ordered from the oldest block to `tip`. Raises `UnknownParent` unless `tip` is the last
        final block of the tree or above it.
        """
        state = self.get(tip)
        if state is None:
            raise UnknownParent(tip)
        path = list(self._down(state, self._states[state.last_final]))
        return tuple(reversed(path[:-1]))

    def changes(self, keys: Sequence[EntryKey], at: BlockHash) -> tuple[EntryChange | None, ...]:
        """The newest change of each entry by the blocks after the last final one up to `at`, or None.

        Raises `UnknownParent` unless `at` is the last final block or above it.
        """
        state = self.get(at)
        if state is None:
            raise UnknownParent(at)
        final = self._tip.finalized
        return tuple(
            self._changes.find(table, key, (one.hash for one in self._down(state, final))) for table, key in keys
        )

    def changed(self, table: Table, at: BlockHash) -> Mapping[bytes, Entry | None]:
        """The entries of `table` that the blocks above the last final one up to `at` have changed.

        The value is None for a deleted entry. Raises `UnknownParent` as `changes`.
        """
        keys = self._changes.keys_of(table)
        found = self.changes([(table, key) for key in keys], at)
        return {key: change.value for key, change in zip(keys, found, strict=True) if change is not None}

    def bundle(self) -> Bundle | None:
        """The committed blocks that the next proof should make final; None if there are none."""
        head = self._tip.head
        states = committed(self.ancestry(head.hash))
        if not states:
            return None
        return Bundle(
            hashes=tuple(state.hash for state in states),
            end_height=states[-1].height,
            end_slot=states[-1].slot,
            previous_end_slot=head.last_final_slot,
        )

    def rival(self, state: ChainState) -> ChainState | None:
        """The newest canonical block that no authority may have approved along with the new block of `state`.

        Either both have the same slot, or the one with the later slot has a parent with an earlier slot than the
        other's parent. Such a pair shows that more than f authorities have broken the approval rule. There is no
        such block at or below the slot of the parent of `state`. For a child of the head, this takes no time.
        """
        parent = self._states.get(state.parent_hash)
        if parent is None or state.hash in self._states:
            return None
        for other in takewhile(
            lambda one: one.slot > parent.slot and one is not self._tip.finalized,
            self._down(self._tip.head, self._tip.finalized),
        ):
            if other.slot == state.slot:
                return other
            parents = (self._states[other.parent_hash], parent)
            earlier, later = parents if other.slot < state.slot else parents[::-1]
            if later.slot < earlier.slot:
                return other
        return None

    def place(self, state: ChainState) -> ForkChoiceChange:
        """Compute the change that the block of `state` would cause, without changing the tree.

        A block that is already in the tree causes no change. Raises `UnknownParent` for a block that does not
        descend from the last final one.
        """
        if self.get(state.hash) is not None:
            return ForkChoiceChange(self.tip, (), 0)
        if self.get(state.parent_hash) is None:
            raise UnknownParent(state.parent_hash)
        old = self._tip
        final, head = old.finalized, best((old.head, state))
        if state.last_final_height > final.height:
            final = self._states[state.last_final]
            if self._canonical.get(final.height) != final.hash:
                # The proof is not on the head's branch, so only descendants of the new final block remain as
                # candidates.
                head = best((state, *self._subtree(final)))
        added: list[ChainState] = []
        walk = head
        while self._canonical.get(walk.height) != walk.hash:
            added.append(walk)
            walk = self._states[walk.parent_hash]
        canonical = tuple((new.height, new.hash) for new in reversed(added))
        removed = old.head.height - walk.height if added else 0
        return ForkChoiceChange(self._forkchoice(head, final, state), canonical, removed)

    def adopt(self, state: ChainState, changes: Sequence[EntryChange] = ()) -> ForkChoiceChange:
        """Add the block and its changes as computed by `place`, and remove the blocks that are now obsolete."""
        placement = self.place(state)
        if state.hash not in self._states:
            self._link(state)
            self._changes.add(state.hash, changes)
        final, self._tip = self._tip.finalized, placement.tip
        if placement.canonical:
            first, _ = placement.canonical[0]
            for height in range(first, first + placement.removed):
                del self._canonical[Height(height)]
            self._canonical.update(placement.canonical)
        if placement.tip.finalized is not final:
            self._prune(final, placement.tip.finalized)
        return placement

    def _forkchoice(self, head: ChainState, final: ChainState, new: ChainState | None = None) -> Forkchoice:
        """Find the newest committed block from `head` down to `final`. `new` is a block that is not linked yet.

        A child on another branch commits a block too. So a block that was safe stays safe when the head moves to
        another branch.
        """
        for state in islice(self._down(head, final), 1, None):
            children: Sequence[ChainState] = self._children.get(state.hash, ())
            if new is not None and new.parent_hash == state.hash:
                children = (*children, new)
            if any(commits(state.slot, child.slot) for child in children):
                return Forkchoice(head=head, safe=state, finalized=final)
        return Forkchoice(head=head, safe=final, finalized=final)

    def _link(self, state: ChainState) -> None:
        self._states[state.hash] = state
        self._children.setdefault(state.parent_hash, []).append(state)

    def _down(self, state: ChainState, end: ChainState) -> Iterator[ChainState]:
        """Iterate from `state` down to its ancestor `end`, both included."""
        while state is not end:
            yield state
            state = self._states[state.parent_hash]
        yield end

    def _subtree(self, top: ChainState) -> Iterator[ChainState]:
        """Iterate over `top` and its descendants, parents first."""
        pending = [top]
        while pending:
            state = pending.pop()
            yield state
            pending.extend(self._children.get(state.hash, ()))

    def _prune(self, old: ChainState, final: ChainState) -> None:
        """Make `final` the final block instead of `old`. Remove abandoned branches and states that are too old."""
        kept = final
        for state in islice(self._down(final, old), 1, None):
            for child in self._children[state.hash]:
                if child is not kept:
                    self._forget(self._subtree(child))
            self._children[state.hash] = [kept]
            self._canonical.pop(state.height, None)
            self._changes.drop(kept.hash)
            kept = state
        root = self._states[final.last_final]
        self._forget(islice(self._down(root, self._root), 1, None))
        self._root = root

    def _forget(self, states: Iterable[ChainState]) -> None:
        for state in tuple(states):
            del self._states[state.hash]
            self._children.pop(state.hash, None)
            self._changes.drop(state.hash)
