"""The storage actor: it answers from the disk, and restarts when the disk fails."""

from collections.abc import Generator
from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.actors.storage import StorageActor
from alysd.consensus.fork_choice import Tree
from alysd.consensus.validity import apply_block
from alysd.errors import StoreError
from alysd.integrations.lmdb_store import LmdbStore
from alysd.messages.storage import (
    CommitBlocks,
    GetBlockByHash,
    GetBlockByHeight,
    GetCanonicalRange,
    GetFinalEntries,
    LoadChain,
    Storage,
)
from alysd.nurseries import ChildSpec, HandlerCrashed, Immediate, State, actor
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress
from alysd.types.block import SignedBlock
from alysd.types.chain import StoredBlock
from alysd.types.hashes import BlockHash
from alysd.types.tables import Table
from alysd.types.units import Height, Slot, Wei

HAND = ChainHand.of(chain_spec())


@pytest.fixture
def store(tmp_path: Path) -> Generator[LmdbStore]:
    opened = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    yield opened
    opened.close()


def storage_actor(harness: ActorTestHarness, store: LmdbStore) -> tuple[RecordedAddress[Storage], ChildSpec]:
    storage = RecordedAddress[Storage]("storage", harness.transcript)
    return storage, actor(storage, lambda: StorageActor(store), restart=Immediate())


async def commit(storage: RecordedAddress[Storage], length: int) -> list[SignedBlock]:
    """A chain of this length, committed block by block."""
    tree, blocks = Tree([HAND.genesis_state], HAND.genesis.hash), list[SignedBlock]()
    for slot in range(1, length + 1):
        signed = await HAND.block(tree.tip.head, Slot(slot))
        executed = apply_block(tree.tip.head, signed, Wei(0), ())
        placement = tree.adopt(executed.state, executed.changes)
        stored = await storage.ask(CommitBlocks(((executed, placement),)))
        assert stored == (StoredBlock(executed, placement),)
        blocks.append(signed)
    return blocks


async def test_it_serves_what_was_committed(store: LmdbStore, autojump_clock: MockClock, no_threads: None) -> None:
    harness = ActorTestHarness()
    storage, child = storage_actor(harness, store)
    async with harness.running(child):
        signed = await commit(storage, 4)
        assert await storage.ask(GetBlockByHash(signed[2].hash)) == signed[2]
        assert await storage.ask(GetBlockByHeight(Height(3))) == signed[2]
        assert await storage.ask(GetCanonicalRange(Height(2), 2)) == tuple(signed[1:3])
        assert await storage.ask(GetBlockByHash(BlockHash(bytes(32)))) is None
        assert await storage.ask(GetFinalEntries(((Table.PROOFS, signed[0].hash),))) == (None,)
        chain = await storage.ask(LoadChain())
        assert [state.hash for state in chain.states[1:]] == [block.hash for block in signed]
        assert store.block_by_hash(signed[3].hash) == signed[3]


async def test_a_disk_that_refuses_restarts_storage_which_then_answers_again(
    store: LmdbStore, autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_height: Height) -> None:
        raise StoreError("the database in chain cannot be used: the disk reports an error (EIO)")

    harness = ActorTestHarness()
    storage, child = storage_actor(harness, store)
    async with harness.running(child):
        with monkeypatch.context() as patch:
            patch.setattr(store, "block_by_height", refuse)
            with pytest.raises(HandlerCrashed, match="the disk reports an error"):
                await storage.ask(GetBlockByHeight(Height(0)))
        assert await storage.ask(GetBlockByHeight(Height(0))) == HAND.genesis
        assert harness.child("storage").restarts == 1
    harness.transcript.expect(GetBlockByHeight, ("storage", State.CRASHED), GetBlockByHeight)
