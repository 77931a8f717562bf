"""The node's database in memory, over a simulated disk. It passes the contract tests of the store."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from alysd.consensus.finality import covering_proof, finality_proof
from alysd.peg.operations import LedgerView
from alysd.testing.federation.disk import Commit, DiskSession
from alysd.types.block import SignedBlock
from alysd.types.chain import (
    ChainState,
    ExecutedBlock,
    FinalityProof,
    Forkchoice,
    ForkChoiceChange,
    PlacedBlock,
    StoredChain,
)
from alysd.types.evidence import Evidence
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash
from alysd.types.peg import Payment, PegContents
from alysd.types.tables import Entry, EntryChange, EntryKey, Proof, Table
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import encode_block

T = TypeVar("T")


class MemoryStore:
    """Implements `alysd.ports.Store`. A write can be read at once; it is durable after `session.sync()`."""

    def __init__(self, genesis: SignedBlock, state: ChainState, session: DiskSession) -> None:
        self._session = session
        self._commits = 0
        self._blocks: dict[BlockHash, SignedBlock] = {genesis.hash: genesis}
        self._states: dict[BlockHash, ChainState] = {genesis.hash: state}
        self._canonical: list[BlockHash] = [genesis.hash]
        self._final, self._safe = state, state
        self._evidence: list[Evidence] = []
        self._changes: dict[Height, dict[BlockHash, tuple[EntryChange, ...]]] = {}
        self._entries: dict[Table, dict[bytes, Entry]] = {table: {} for table in Table}
        for commit in session.disk.commits:
            self._apply(commit)

    def commit_blocks(self, placed: Sequence[tuple[ExecutedBlock, ForkChoiceChange]]) -> None:
        """Write blocks, their states, changes and placements."""
        commit = Commit(tuple(placed))
        self._session.write_commit(commit)
        self._apply(commit)
        self._commits += len(commit.placed)

    @property
    def commits(self) -> int:
        """The number of blocks committed since the database was opened."""
        return self._commits

    def forkchoice(self) -> Forkchoice:
        """The head, safe and final block."""
        return Forkchoice(self._states[self._canonical[-1]], self._safe, self._final)

    def placed_by_height(self, height: Height | None) -> PlacedBlock | None:
        """The canonical block at `height` with its place in the chain, or None; without a height, the head."""
        signed = self.block_by_height(Height(len(self._canonical) - 1) if height is None else height)
        return None if signed is None else self._placed(signed)

    def placed_by_hash(self, wanted: BlockHash, or_work: bool) -> PlacedBlock | None:
        """The stored block with this hash with its place in the chain, or None.

        With `or_work`, `wanted` may also be the hash of work: the result is then the canonical block that includes
        its proof.
        """
        signed = self._blocks.get(wanted)
        if signed is None and or_work:
            work = self._proof_at_head(Table.WORKS, wanted)
            signed = None if work is None else self.block_by_height(work.height)
        return None if signed is None else self._placed(signed)

    def finality_proof(self, wanted: BlockHash) -> FinalityProof | None:
        """The proof of work that makes the block with this hash final; None if no such block is stored."""
        signed = self._blocks.get(wanted)
        if signed is None:
            return None
        proof = covering_proof(self._placed(signed))
        header = self._blocks[proof.block].block.auxpow_header
        if header is None:
            return finality_proof(proof, header, ())
        first, last = (self._states[block].height for block in (header.range_start, header.range_end))
        return finality_proof(proof, header, self._canonical[first : last + 1])

    def keep_evidence(self, evidence: Evidence) -> None:
        """Keep evidence against authorities until the database is closed."""
        if evidence not in self._evidence:
            self._evidence.append(evidence)

    def evidence(self) -> tuple[Evidence, ...]:
        """All evidence, oldest slot first."""
        return tuple(sorted(self._evidence, key=lambda one: one.second.block.slot))

    def keep_updates(self, updates: Sequence[FederationUpdate]) -> None:
        """Keep the updates of the federation that wait for a block, on the disk at once."""
        self._session.keep_updates(tuple(updates))

    def updates(self) -> tuple[FederationUpdate, ...]:
        """The updates of the federation that wait for a block."""
        return self._session.disk.updates

    def load_chain(self) -> StoredChain:
        """Load the states from the end of the previous final range upwards, and the changes that are not final."""
        final = self._final
        above = [state for state in self._states.values() if state.height > final.last_final_height]
        above.sort(key=lambda state: (state.height, state.hash))
        changes = {
            block: changes
            for height in sorted(self._changes)
            for block, changes in self._changes[height].items()
            if changes
        }
        return StoredChain((self._states[final.last_final], *above), final.hash, changes)

    def newest_slot(self) -> Slot:
        """The slot of the newest stored block on any branch that is not abandoned; 0 for the genesis block."""
        return max(state.slot for state in self.load_chain().states)

    def final_entries(self, keys: Sequence[EntryKey]) -> tuple[Entry | None, ...]:
        """The entries with these keys, in order, as of the last final block; None for a missing entry."""
        return tuple(self._entries[table].get(key) for table, key in keys)

    def list_final_entries(self, table: Table, after: bytes, limit: int) -> Sequence[tuple[bytes, Entry]]:
        """At most `limit` entries of `table` with keys after `after`, in order, as of the last final block."""
        entries = self._entries[table]
        return [(key, entries[key]) for key in sorted(entries) if key > after][:limit]

    def block_by_hash(self, block: BlockHash) -> SignedBlock | None:
        """The stored block with this hash, or None."""
        return self._blocks.get(block)

    def block_by_height(self, height: Height) -> SignedBlock | None:
        """The canonical block at `height`, or None."""
        return self._blocks[self._canonical[height]] if 0 <= height < len(self._canonical) else None

    def canonical_range(self, start: Height, count: int) -> tuple[SignedBlock, ...]:
        """At most `count` canonical blocks from `start` upwards."""
        return tuple(self._blocks[block] for block in self._canonical[start : start + count])

    def encoded_range(self, start: Height, count: int, size: int) -> tuple[bytes, ...]:
        """At most `count` canonical blocks from `start` upwards, encoded, until their sum exceeds `size` bytes."""
        return self.encoded_blocks(self._canonical[start : start + count], size)

    def encoded_blocks(self, hashes: Sequence[BlockHash], size: int) -> tuple[bytes, ...]:
        """Those of these blocks that are stored, encoded, until their sum exceeds `size` bytes."""
        taken: list[bytes] = []
        for block in hashes:
            if block in self._blocks and size >= 0:
                taken.append(encode_block(self._blocks[block]))
                size -= len(taken[-1])
        return tuple(taken)

    def state(self, block: BlockHash) -> ChainState:
        """The chain's state after a stored block. Raises `KeyError` for an unknown one."""
        return self._states[block]

    def read_ledger(self, read: Callable[[LedgerView], T]) -> T:
        """Call `read` with the peg's ledger and history."""
        return read(self)

    @property
    def tip(self) -> Forkchoice:
        """The head, safe and final block, for `read_ledger`."""
        return self.forkchoice()

    def get(self, table: Table, key: bytes) -> Entry | None:
        """An entry after the head."""
        found = self._entries[table].get(key)
        for height in range(self._final.height + 1, len(self._canonical)):
            for change in self._changes.get(Height(height), {}).get(self._canonical[height], ()):
                if (change.table, change.key) == (table, key):
                    found = change.value
        return found

    def get_final(self, table: Table, key: bytes) -> Entry | None:
        """An entry after the last final block."""
        return self._entries[table].get(key)

    def payments(self) -> Sequence[Payment]:
        """The payments in flight after the head."""
        changed = {
            change.key
            for height in range(self._final.height + 1, len(self._canonical))
            for change in self._changes.get(Height(height), {}).get(self._canonical[height], ())
            if change.table is Table.PAYMENTS
        }
        found = (self.get(Table.PAYMENTS, key) for key in sorted(changed | self._entries[Table.PAYMENTS].keys()))
        return [one for one in found if isinstance(one, Payment)]

    def state_at(self, height: Height) -> ChainState:
        """The chain's state after the canonical block at `height`."""
        return self._states[self._canonical[height]]

    def contents(self, height: Height) -> PegContents:
        """The peg's parts of the canonical block at `height`."""
        return self._blocks[self._canonical[height]].block.peg

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _apply(self, commit: Commit) -> None:
        for executed, placement in commit.placed:
            self._put(executed, placement)

    def _put(self, executed: ExecutedBlock, placement: ForkChoiceChange) -> None:
        signed, state = executed.signed, executed.state
        old, tip = self._final, placement.tip
        self._blocks[signed.hash], self._states[signed.hash] = signed, state
        if state.height > old.height:
            self._changes.setdefault(state.height, {})[signed.hash] = executed.changes
        if placement.canonical:
            # The new branch may be shorter (a proof made it win).
            del self._canonical[tip.head.height + 1 :]
        for height, block in placement.canonical:
            self._canonical[height : height + 1] = [block]
        for height in range(old.height + 1, tip.finalized.height + 1):
            self._settle(Height(height))
        self._final, self._safe = tip.finalized, tip.safe

    def _settle(self, height: Height) -> None:
        """Apply the changes of the canonical block at `height`, and drop those of other branches."""
        for change in self._changes.pop(height, {}).get(self._canonical[height], ()):
            if change.value is None:
                self._entries[change.table].pop(change.key, None)
            else:
                self._entries[change.table][change.key] = change.value

    def _proof_at_head(self, table: Table, key: bytes) -> Proof | None:
        found = self._entries[table].get(key)
        for height in sorted(self._changes):
            if height >= len(self._canonical):
                break
            for change in self._changes[height].get(self._canonical[height], ()):
                if (change.table, change.key) == (table, key):
                    found = change.value
        return found if isinstance(found, Proof) else None

    def _placed(self, signed: SignedBlock) -> PlacedBlock:
        header = signed.block.auxpow_header
        canonical = self.block_by_height(signed.block.height) is signed
        proof = self._proof_at_head(Table.PROOFS, signed.hash)
        included = self._proof_at_head(Table.PROOFS, header.range_end) if canonical and header else None
        return PlacedBlock(signed, self.forkchoice(), canonical, proof, included)
