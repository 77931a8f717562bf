"""The database in memory answers exactly like the one on disk, and loses what a crash may lose."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings

from alysd.testing.federation.disk import SimulatedDisk
from alysd.testing.federation.memory_store import MemoryStore
from alysd.testing.virtual_time import seeded
from alysd.types.chain import ExecutedBlock
from alysd.types.hashes import ZERO_HASH, BlsPublicKey
from alysd.types.signing import SignedSlot
from alysd.types.tables import EntryChange, Table
from alysd.types.units import Slot
from tests.integrations.branch_tables import KEYS, STEPS, Node
from tests.integrations.stored_blocks import HAND, child, placement


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_both_databases_give_the_same_answers(steps: list[tuple[int, int | None, list[EntryChange], str]]) -> None:
    with TemporaryDirectory() as folder:
        node, session = Node(Path(folder) / "chain"), SimulatedDisk().open()
        memory = MemoryStore(HAND.genesis, HAND.genesis_state, session)
        for back, final, changes, accident in steps:
            alive = node.alive()
            changes = list({change.key: change for change in sorted(changes, key=lambda one: one.key)}.values())
            executed = node.block(alive[-1 - back % len(alive)], final, changes)
            memory.commit_blocks([(executed, node.tree.place(executed.state))])
            node.adopt(executed, crash=False)
            if accident == "restart":
                session.sync()
                session = session.disk.open()
                memory = MemoryStore(HAND.genesis, HAND.genesis_state, session)
            disk = node.store
            assert memory.load_chain() == disk.load_chain()
            assert memory.forkchoice() == disk.forkchoice()
            assert memory.newest_slot() == disk.newest_slot()
            keys = [(Table.PROOFS, key) for key in KEYS]
            assert memory.final_entries(keys) == disk.final_entries(keys)
            for after in (b"", KEYS[0]):
                listed = memory.list_final_entries(Table.PROOFS, after, 2)
                assert listed == disk.list_final_entries(Table.PROOFS, after, 2)
            head = disk.forkchoice().head
            assert memory._canonical[-1] == head.hash  # pyright: ignore[reportPrivateUsage]
        node.store.close()


def test_a_crash_keeps_what_was_synced_and_loses_or_keeps_the_rest() -> None:
    signed, state = child(HAND.genesis_state, 5)
    two, state_two = child(state, 6)
    guard = SignedSlot(BlsPublicKey(b"\x01" * 48), Slot(6), two.hash, Slot(5))
    kept: set[tuple[bool, bool]] = set()
    for seed in range(50):
        disk = SimulatedDisk()
        session = disk.open()
        store = MemoryStore(HAND.genesis, HAND.genesis_state, session)
        store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
        session.sync()
        assert not session.dirty
        store.commit_blocks([(ExecutedBlock(two, state_two, ()), placement(state_two, state_two))])
        session.write_guard(guard)
        assert session.dirty
        assert store.forkchoice().head == state_two
        session.crash(seeded(seed))
        session.sync()
        again = MemoryStore(HAND.genesis, HAND.genesis_state, disk.open())
        assert again.forkchoice().head in (state, state_two)
        kept.add((again.forkchoice().head == state_two, disk.guard == guard))
    assert len(kept) == 4, "the crash of one file's write says nothing about the other's"


def test_a_dead_process_writes_nothing() -> None:
    disk = SimulatedDisk()
    session = disk.open()
    session.crash(seeded(1))
    session.write_guard(SignedSlot(BlsPublicKey(b"\x01" * 48), Slot(6), ZERO_HASH, Slot(5)))
    session.sync()
    assert disk.guard is None


def test_a_wipe_leaves_nothing() -> None:
    disk = SimulatedDisk()
    session = disk.open()
    store = MemoryStore(HAND.genesis, HAND.genesis_state, session)
    signed, state = child(HAND.genesis_state, 5)
    store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
    session.write_guard(SignedSlot(BlsPublicKey(b"\x01" * 48), Slot(5), signed.hash, Slot(0)))
    session.sync()
    assert disk.guard is not None
    disk.wipe()
    assert disk.guard is None
    assert MemoryStore(HAND.genesis, HAND.genesis_state, disk.open()).forkchoice().head == HAND.genesis_state
