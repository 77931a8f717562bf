"""The storage actor: owns the node's database and does its work in a thread, one transaction per message."""

import trio

from alysd.messages.storage import (
    CommitBlock,
    GetBlockByHash,
    GetBlockByHeight,
    GetCanonicalRange,
    GetFinalEntries,
    LoadChain,
    Storage,
)
from alysd.nurseries import Actor, handles
from alysd.ports import Store
from alysd.types.block import SignedBlock
from alysd.types.chain import StoredBlock, StoredChain
from alysd.types.tables import Entry


class StorageActor(Actor[Storage]):
    """Reads and writes `store`. What the disk refuses is a `StoreError`, and restarts this actor."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @handles(CommitBlock)
    async def commit(self, message: CommitBlock) -> StoredBlock:
        """Write a block with its placement; the reply proves that both are on disk."""
        await trio.to_thread.run_sync(self._store.commit_block, message.executed, message.placement)
        return StoredBlock(message.executed, message.placement)

    @handles(LoadChain)
    async def load_chain(self, message: LoadChain) -> StoredChain:
        """The states that fork choice needs."""
        return await trio.to_thread.run_sync(self._store.load_chain)

    @handles(GetFinalEntries)
    async def final_entries(self, message: GetFinalEntries) -> tuple[Entry | None, ...]:
        """Entries as the last final block leaves them."""
        return await trio.to_thread.run_sync(self._store.final_entries, message.table, message.keys)

    @handles(GetBlockByHash)
    async def block_by_hash(self, message: GetBlockByHash) -> SignedBlock | None:
        """A stored block."""
        return await trio.to_thread.run_sync(self._store.block_by_hash, message.hash)

    @handles(GetBlockByHeight)
    async def block_by_height(self, message: GetBlockByHeight) -> SignedBlock | None:
        """The canonical block of a height."""
        return await trio.to_thread.run_sync(self._store.block_by_height, message.height)

    @handles(GetCanonicalRange)
    async def canonical_range(self, message: GetCanonicalRange) -> tuple[SignedBlock, ...]:
        """Canonical blocks, oldest first."""
        return tuple(await trio.to_thread.run_sync(self._store.canonical_range, message.start, message.count))
