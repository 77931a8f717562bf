"""A block tree and a database that are used as the chain actor uses them, and steps for both."""

from collections.abc import Sequence
from pathlib import Path

import attrs
from hypothesis import strategies as st

from alysd.consensus.fork_choice import Tree
from alysd.integrations.lmdb_reads import proof_of
from alysd.integrations.lmdb_store import LmdbStore
from alysd.testing.chain import ChainHand, chain_spec
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice
from alysd.types.hashes import AuxHash, BlockHash, sha256
from alysd.types.tables import Entry, EntryChange, Proof, Table
from alysd.types.units import Height, Slot

HAND = ChainHand.of(chain_spec())
KEYS = tuple(bytes([number]) * 32 for number in range(4))
MODEL = dict[bytes, Entry]


WORK = AuxHash(bytes(32))


@attrs.define
class Node:
    """A tree and a store, used as the chain actor uses them, and beside them each branch's tables written out."""

    folder: Path
    store: LmdbStore = attrs.field(init=False)
    tree: Tree = attrs.field(init=False)
    model: dict[BlockHash, MODEL] = attrs.field(factory=lambda: {HAND.genesis.hash: {}})
    made: list[ChainState] = attrs.field(factory=lambda: [HAND.genesis_state])

    def __attrs_post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.store = LmdbStore.open(self.folder, HAND.genesis, HAND.genesis_state)
        stored = self.store.load_chain()
        self.tree = Tree(stored.states, stored.final, stored.changes)

    def restart(self) -> None:
        self.store.close()
        self.open()

    def alive(self) -> list[ChainState]:
        return [state for state in self.made if self.tree.get(state.hash) is not None]

    def block(self, parent: ChainState, final: int | None, changes: Sequence[EntryChange]) -> ExecutedBlock:
        """A block on `parent`; with `final`, its proof covers so many blocks of its ancestry."""
        number = len(self.made)
        state = attrs.evolve(
            parent,
            hash=BlockHash(sha256(number.to_bytes(4, "big"))),
            parent_hash=parent.hash,
            height=Height(parent.height + 1),
            slot=Slot(number),
        )
        ancestry = self.tree.ancestry(parent.hash)
        if final is not None and ancestry:
            end = ancestry[min(final, len(ancestry) - 1)]
            state = attrs.evolve(
                state, last_final=end.hash, last_final_height=end.height, last_final_slot=end.slot
            )
        # The store keeps any block under its hash; what is in it does not matter here.
        return ExecutedBlock(attrs.evolve(HAND.genesis, hash=state.hash), state, tuple(changes))

    def adopt(self, executed: ExecutedBlock, crash: bool) -> None:
        """As the chain actor does; a crash comes after the write, before memory follows it."""
        state = executed.state
        self.store.commit_blocks([(executed, self.tree.place(state))])
        if crash:
            self.restart()
        else:
            self.tree.adopt(state, executed.changes)
        self.made.append(state)
        tables = dict(self.model[state.parent_hash])
        for change in executed.changes:
            tables.pop(change.key, None)
            if change.value is not None:
                tables[change.key] = change.value
        self.model[state.hash] = tables

    def read(self, at: BlockHash) -> MODEL:
        changes = self.tree.changes([(Table.PROOFS, key) for key in KEYS], at)
        final = self.store.final_entries([(Table.PROOFS, key) for key in KEYS])
        found = (below if change is None else change.value for change, below in zip(changes, final, strict=True))
        return {key: value for key, value in zip(KEYS, found, strict=True) if value is not None}

    def read_at_head(self, tip: Forkchoice) -> MODEL:
        """As clients read: from one snapshot of the database, without the tree."""
        final = tip.finalized.height
        read = self.store._records.read  # pyright: ignore[reportPrivateUsage]
        found = read(lambda txn: [proof_of(txn, Table.PROOFS, key, final) for key in KEYS])
        return {key: value for key, value in zip(KEYS, found, strict=True) if value is not None}

    def check(self) -> None:
        for state in self.alive():
            assert self.read(state.hash) == self.model[state.hash]
        tip = self.store.forkchoice()
        assert tip == self.tree.tip
        assert self.read_at_head(tip) == self.model[tip.head.hash]


CHANGES = st.lists(
    st.builds(
        EntryChange,
        st.just(Table.PROOFS),
        st.sampled_from(KEYS),
        st.none() | st.builds(Proof, st.just(HAND.genesis.hash), st.integers(0, 9).map(Height), st.just(WORK)),
    ),
    max_size=3,
)

STEPS = st.lists(
    st.tuples(
        st.integers(0, 4),  # the parent: so many blocks back among those that are left
        st.none() | st.integers(0, 3),  # a proof
        CHANGES,
        st.sampled_from(["", "", "", "crash", "restart", "fail"]),
    ),
    max_size=14,
)
