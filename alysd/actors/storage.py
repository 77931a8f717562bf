"""The storage actor: owns the node's database and runs one transaction per message, in a worker thread."""

import trio

from alysd.messages.storage import (
    CommitBlocks,
    GetBlockByHash,
    GetBlockByHeight,
    GetCanonicalRange,
    GetFinalEntries,
    KeepEvidence,
    KeepUpdates,
    ListFinalEntries,
    LoadChain,
    LoadEvidence,
    LoadUpdates,
    Storage,
)
from alysd.nurseries import Actor, handles
from alysd.ports import Store
from alysd.types.block import SignedBlock
from alysd.types.chain import StoredBlock, StoredChain
from alysd.types.evidence import Evidence
from alysd.types.federation_update import FederationUpdate
from alysd.types.tables import Entry


class StorageActor(Actor[Storage]):
    """Reads and writes `store`. A failure of the disk raises `StoreError`, which restarts this actor."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @handles(CommitBlocks)
    async def commit(self, message: CommitBlocks) -> tuple[StoredBlock, ...]:
        """Write blocks with their placements. The reply is sent when all are on disk."""
        await trio.to_thread.run_sync(self._store.commit_blocks, message.placed)
        return tuple(StoredBlock(executed, placement) for executed, placement in message.placed)

    @handles(LoadChain)
    async def load_chain(self, message: LoadChain) -> StoredChain:
        """Load the states and changes from which fork choice computes the head at start."""
        return await trio.to_thread.run_sync(self._store.load_chain)

    @handles(GetFinalEntries)
    async def final_entries(self, message: GetFinalEntries) -> tuple[Entry | None, ...]:
        """The entries as of the last final block."""
        return await trio.to_thread.run_sync(self._store.final_entries, message.keys)

    @handles(ListFinalEntries)
    async def list_final_entries(self, message: ListFinalEntries) -> tuple[tuple[bytes, Entry], ...]:
        """Entries as of the last final block, in the order of their keys."""
        listed = self._store.list_final_entries
        return tuple(await trio.to_thread.run_sync(listed, message.table, message.after, message.limit))

    @handles(GetBlockByHash)
    async def block_by_hash(self, message: GetBlockByHash) -> SignedBlock | None:
        """The stored block with this hash, or None."""
        return await trio.to_thread.run_sync(self._store.block_by_hash, message.hash)

    @handles(GetBlockByHeight)
    async def block_by_height(self, message: GetBlockByHeight) -> SignedBlock | None:
        """The canonical block at a height, or None."""
        return await trio.to_thread.run_sync(self._store.block_by_height, message.height)

    @handles(GetCanonicalRange)
    async def canonical_range(self, message: GetCanonicalRange) -> tuple[SignedBlock, ...]:
        """A range of canonical blocks, oldest first."""
        return tuple(await trio.to_thread.run_sync(self._store.canonical_range, message.start, message.count))

    @handles(KeepEvidence)
    async def keep_evidence(self, message: KeepEvidence) -> None:
        """Write evidence. The reply is sent when it is on disk."""
        await trio.to_thread.run_sync(self._store.keep_evidence, message.evidence)

    @handles(LoadEvidence)
    async def load_evidence(self, message: LoadEvidence) -> tuple[Evidence, ...]:
        """All evidence, oldest slot first."""
        return await trio.to_thread.run_sync(self._store.evidence)

    @handles(KeepUpdates)
    async def keep_updates(self, message: KeepUpdates) -> None:
        """Write the updates of the federation that wait. The reply is sent when they are on disk."""
        await trio.to_thread.run_sync(self._store.keep_updates, message.updates)

    @handles(LoadUpdates)
    async def load_updates(self, _message: LoadUpdates) -> tuple[FederationUpdate, ...]:
        """The updates of the federation that wait."""
        return await trio.to_thread.run_sync(self._store.updates)
