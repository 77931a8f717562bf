"""The embedded engine as an `ExecutionEngine`: every call runs in a worker thread, one at a time."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import trio

from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.calls import Calls
from alysd.embedded.engine.execution_chain import ExecutionChain
from alysd.embedded.engine.pending_block import PendingBlock, build_pending
from alysd.embedded.engine.pending_source import PendingSource
from alysd.embedded.engine.pruning import KEPT_STATES
from alysd.embedded.engine.reader import Reader
from alysd.embedded.engine.tracing.traces import EvmTraces
from alysd.embedded.engine.trie_state import StateChanges, TrieSource
from alysd.embedded.engine.values import HeadChange
from alysd.errors import EngineBehind
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.verdict import Verdict

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class EmbeddedEngine:
    """Implements `alysd.ports.ExecutionEngine` in this process, for development and for tests of federations."""

    def __init__(self, chain: ExecutionChain, pending: PendingSource, calls: Calls, builder: Builder) -> None:
        self._chain = chain
        self._pending = pending
        self._builder = builder
        self._one = trio.CapacityLimiter(1)
        self._watchers: list[Callable[[HeadChange], None]] = []
        self.reader: Reader = chain.reader
        self.calls = calls
        self.traces = EvmTraces(calls.source)
        self.chain_id = chain.chain_id

    @classmethod
    async def open(
        cls,
        path: Path,
        execution_genesis: Mapping[str, Any],
        pending: PendingSource,
        build_seconds: float = 1.0,
        kept_states: int | None = KEPT_STATES,
        *,
        synced: bool = True,
    ) -> "EmbeddedEngine":
        """Open the engine's database in the folder `path`, or create it, which takes about 10 ms.

        While it builds a payload, the engine executes transactions for at most `build_seconds`. It keeps the
        states of `kept_states` blocks below the last final one; None keeps all. Unless `synced`, the database does
        not survive a power cut.

        Raises `ConfigError` when the genesis is invalid, `WrongChain` when the folder belongs to another chain,
        and `StoreError` when the database cannot be opened.
        """
        return await trio.to_thread.run_sync(
            partial(_open, synced=synced), path, execution_genesis, pending, build_seconds, kept_states
        )

    async def genesis_hash(self) -> PayloadHash:
        """Hash of block 0."""
        await trio.lowlevel.checkpoint()
        return self._chain.genesis

    async def knows(self, payload: PayloadHash) -> bool:
        """Whether the block is stored, with its state, on any branch."""
        return await self._run(self._chain.knows, payload)

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Execute and validate a payload. Block and state are synced to disk before this returns `Valid`.

        There is no time limit, because a verdict must not depend on the speed of this machine. If the caller is
        cancelled, the execution ends within milliseconds and the payload is not stored.
        """
        interrupt = trio.from_thread.check_cancelled
        return await self._run(self._chain.new_payload, payload, parent_beacon_block_root, interrupt)

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        """Set the three blocks and call the watchers. Raises `EngineBehind` when a block is not known."""
        change = await self._run(self._chain.set_forkchoice, head, safe, finalized)
        if change is None:
            raise EngineBehind(head)
        for watcher in list(self._watchers):
            watcher(change)

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Set the forkchoice and build a payload on `head` from pending transactions, in at most `build_seconds`.

        Raises `EngineBehind` when a block is not known.
        """
        await self.set_forkchoice(head, safe, finalized)
        return await self._run(self._chain.build, head, attributes, self._pending, self._builder)

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        """The receipts of a block, in order, each as in the receipts' trie.

        Raises `EngineBehind` when the block is not known or has another number of transactions.
        """
        found = await self._run(self._chain.reader.trie_receipts, payload.block_hash)
        if found is None or len(found) != len(payload.transactions):
            raise EngineBehind(payload.block_hash)
        return found

    async def change_state(self, block: PayloadHash, change: Callable[[TrieSource, bytes], StateChanges]) -> None:
        """Replace the state after a block, outside of all rules; only for a chain that no other node follows."""
        await self._run(self._chain.change_state, block, change)

    async def rewind(self, head: PayloadHash, safe: PayloadHash, changed: Mapping[bytes, bytes]) -> None:
        """Go back to the block `head`, as if no block had followed it; `changed` has the state roots as of then.

        The watchers are not called: for them, the blocks after it have never been. Raises `EngineBehind`.
        """
        if await self._run(self._rewind, head, safe, changed) is None:
            raise EngineBehind(head)

    def _rewind(self, head: PayloadHash, safe: PayloadHash, changed: Mapping[bytes, bytes]) -> HeadChange | None:
        self._chain.use_changes(changed)
        return self._chain.set_forkchoice(head, safe, self._chain.genesis)

    def pending_block(self, timestamp: int | None = None) -> PendingBlock:
        """Build the block that would follow the head now, in at most `build_seconds`, without keeping it.

        Any worker thread may call it. Raises `StatePruned`.
        """
        return build_pending(self.calls.source, self.reader, self._pending, self._builder, timestamp)

    def on_head(self, watcher: Callable[[HeadChange], None]) -> Callable[[], None]:
        """Call `watcher` in trio's thread after each forkchoice. It must not block.

        Returns a function that unregisters the watcher.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def aclose(self) -> None:
        """Wait for the current call, then close the database."""
        with trio.CancelScope(shield=True):
            await self._run(self._chain.close)

    async def _run(self, call: Callable[[*Arguments], Result], *args: *Arguments) -> Result:
        # The thread is never abandoned: it would continue to write into a database that may be open again by then.
        # Long calls check for cancellation themselves.
        return await trio.to_thread.run_sync(call, *args, limiter=self._one)


def _open(
    path: Path,
    execution_genesis: Mapping[str, Any],
    pending: PendingSource,
    build_seconds: float,
    kept_states: int | None,
    *,
    synced: bool,
) -> EmbeddedEngine:
    chain = ExecutionChain.open(path, execution_genesis, kept_states, synced=synced)
    return EmbeddedEngine(chain, pending, Calls(chain.store, chain.reader, chain.chain_id), Builder(build_seconds))
