"""The reader: answers clients from snapshots of the database, beside the storage actor, which writes."""

from typing import Any

import trio

from alysd.messages.reads import (
    ReadBlockByHash,
    ReadBlockByHeight,
    ReadEvidence,
    ReadFinalityProof,
    ReadForkchoice,
    ReadLedger,
    Reads,
)
from alysd.nurseries import Actor, handles
from alysd.ports import Store
from alysd.types.chain import FinalityProof, Forkchoice, PlacedBlock
from alysd.types.evidence import Evidence


class ReaderActor(Actor[Reads]):
    """Reads from `store`, one snapshot per message, in a worker thread.

    A failure of the disk raises `StoreError`, which restarts this actor, and a damaged record raises `Corrupt`,
    which stops the node.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @handles(ReadForkchoice)
    async def forkchoice(self, message: ReadForkchoice) -> Forkchoice:
        """The head, safe and final block."""
        return await trio.to_thread.run_sync(self._store.forkchoice)

    @handles(ReadBlockByHeight)
    async def by_height(self, message: ReadBlockByHeight) -> PlacedBlock | None:
        """The canonical block at a height, or the head."""
        return await trio.to_thread.run_sync(self._store.placed_by_height, message.height)

    @handles(ReadBlockByHash)
    async def by_hash(self, message: ReadBlockByHash) -> PlacedBlock | None:
        """The stored block with the hash `wanted`, or None.

        With `or_work`, `wanted` may also be the hash of work: then the result is the block that includes the proof
        for this work.
        """
        return await trio.to_thread.run_sync(self._store.placed_by_hash, message.wanted, message.or_work)

    @handles(ReadFinalityProof)
    async def finality_proof(self, message: ReadFinalityProof) -> FinalityProof | None:
        """The proof of work that makes a block final. Raises `NotFinal` or `NoProof`."""
        return await trio.to_thread.run_sync(self._store.finality_proof, message.wanted)

    @handles(ReadLedger)
    async def ledger(self, message: ReadLedger) -> Any:
        """The result of `read` for the ledger and its history."""
        return await trio.to_thread.run_sync(self._store.read_ledger, message.read)

    @handles(ReadEvidence)
    async def evidence(self, message: ReadEvidence) -> tuple[Evidence, ...]:
        """All evidence that authorities have broken the approval rule."""
        return await trio.to_thread.run_sync(self._store.evidence)
