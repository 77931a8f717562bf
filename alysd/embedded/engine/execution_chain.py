"""The embedded engine's chain: executes and builds payloads, and sets the forkchoice.

Its methods are synchronous; `EmbeddedEngine` calls them in a worker thread, one at a time. The RPC reads the chain
at the same time, through `Reader`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from alysd.embedded.engine.block_execution import BlockExecution, ExecutedPayload
from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.chain_store import BlockRecord, CanonicalChange, ChainStore
from alysd.embedded.engine.eels import EelsState
from alysd.embedded.engine.environment import AncestorHashes
from alysd.embedded.engine.pending_source import PendingSource
from alysd.embedded.engine.pruning import KEPT_STATES, PruningLimits
from alysd.embedded.engine.reader import Reader, Tip
from alysd.embedded.engine.records import damage, encode_body, encode_receipts
from alysd.embedded.engine.rules import BrokenRule, check_header, check_outcome
from alysd.embedded.engine.time_budget import TimeBudget, never
from alysd.embedded.engine.transaction import read_transaction
from alysd.embedded.engine.trie_state import StateChanges, TrieSource
from alysd.embedded.engine.values import AccountState, HeadChange
from alysd.errors import ComponentError, ConfigError, EngineBehind, Malformed, Refused, WrongChain
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import ZERO_HASH, BlockHash, PayloadHash
from alysd.types.units import Height
from alysd.types.verdict import Invalid, Syncing, Valid, Verdict
from alysd.wire.execution_genesis import genesis_payload, genesis_state
from alysd.wire.execution_header import encode_header, header_of
from alysd.wire.keccak import keccak256
from alysd.wire.trie import EMPTY_ROOT

_KEPT_BUILDS = 4
"""The number of built blocks that are kept until they are imported: one per slot, and some retries."""

KEPT_ACCOUNTS = 4096
"""The number of accounts kept in memory for the next block, about 2 MB. A full block of transfers has 2,860."""


class ExecutionChain:
    """All executed blocks of all branches, and the index of the canonical ones.

    `kept_states` is the number of states below the last final block that are kept; None keeps all.
    """

    def __init__(
        self,
        store: ChainStore,
        chain_id: int,
        genesis: PayloadHash,
        kept_states: int | None = KEPT_STATES,
        kept_accounts: int = KEPT_ACCOUNTS,
    ) -> None:
        self._kept_states = kept_states
        self._kept_accounts = kept_accounts
        self.store = store
        self.chain_id = chain_id
        self.genesis = genesis
        self.reader = Reader(store, chain_id)
        self._built: dict[bytes, ExecutedPayload] = {}
        self._warm: tuple[bytes, Mapping[bytes, AccountState]] = (b"", {})

    @classmethod
    def open(
        cls,
        folder: Path,
        execution_genesis: Mapping[str, Any],
        kept_states: int | None = KEPT_STATES,
        limits: PruningLimits = PruningLimits(),  # noqa: B008  frozen, shareable
        *,
        synced: bool = True,
    ) -> "ExecutionChain":
        """Open the database in `folder`, or create it with the genesis block.

        `synced` is that of `ChainStore.open`.

        Raises `ConfigError` when the genesis is invalid, `WrongChain` when the database has another genesis block,
        `Corrupt` when the database is damaged, and the other errors of `ChainStore.open`.
        """
        payload = genesis_payload(execution_genesis)
        chain_id = int(execution_genesis["config"]["chainId"])
        store = ChainStore.open(folder, limits=None if kept_states is None else limits, synced=synced)
        with ExitStack() as on_failure:
            on_failure.callback(store.close)
            found = store.meta("genesis")
            if found is None and store.is_empty():
                _write_genesis(store, payload, execution_genesis)
            elif found is None:
                raise damage("the record of its genesis block is missing")
            elif store.hash_at(0) != found:
                raise damage(f"its genesis block {found.hex()} is not its block 0")
            elif found != payload.block_hash:
                raise WrongChain(
                    f"the execution database in {folder} belongs to the chain with genesis {found.hex()}, but the "
                    f"configuration names {payload.block_hash.hex()}: give this chain a data folder of its own"
                )
            chain = cls(store, chain_id, payload.block_hash, kept_states)
            chain.check_tip()
            on_failure.pop_all()
        return chain

    def check_tip(self) -> None:
        """Raise `Corrupt` unless head and last final block are canonical and have states, and block 0 exists.

        If an older block was made final again, its state may already have been pruned, and is not required.
        """
        tip = self.reader.tip
        self.reader.needed_header(self.genesis)
        if tip.head.number < self.reader.floor:
            raise damage(
                f"it keeps states from block {self.reader.floor} on, but its head is block {tip.head.number}"
            )
        for header in (tip.head, tip.finalized):
            if not self.reader.is_canonical(header):
                raise damage(f"block {header.hash.hex()} is not its canonical block {header.number}")
            if header.state_root != EMPTY_ROOT and header.number >= self.reader.floor:
                self.store.node(header.state_root)

    def knows(self, block: bytes) -> bool:
        """Whether a block is stored, on any branch."""
        return self.store.get("headers", block) is not None

    def new_payload(
        self,
        payload: ExecutionPayload,
        parent_beacon_block_root: BlockHash,
        interrupt: Callable[[], None] = never,
    ) -> Verdict:
        """Execute and validate a payload (engine_newPayloadV3). `Valid` means that block and state are on disk.

        `interrupt` is called about every millisecond. An error that it raises ends the execution; nothing is
        stored.
        """
        try:
            header = header_of(payload, parent_beacon_block_root)
            if header.hash != payload.block_hash:
                raise BrokenRule(
                    f"block hash is {payload.block_hash.hex()}, but the hash of its header is {header.hash.hex()}"
                )
            if self.knows(header.hash):
                return Valid()
            parent = self.reader.header(header.parent_hash)
            if parent is None or not self.reader.has_state(parent):
                return Syncing()
            # A block that was built here is not executed again: its hash covers the results of the execution.
            executed = self._built.pop(header.hash, None) or self._execute(payload, header, parent, interrupt)
        except (BrokenRule, Malformed) as error:
            return Invalid(str(error))
        self._store(executed)
        return Valid()

    def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> HeadChange | None:
        """Set head, safe and finalized block (engine_forkchoiceUpdatedV3). Returns None when one is not known.

        Raises `ComponentError` when `safe` or `finalized` is not in the head's ancestry, `ConfigError` when the
        head's state is no longer kept.
        """
        headers = [self.reader.header(block) for block in (head, safe, finalized)]
        if any(header is None for header in headers):
            return None
        tip = Tip(*(header for header in headers if header is not None))
        self._check_state(tip.head)
        before = self.reader.tip
        removed, added = self._path(before.head, tip.head)
        for header in (tip.safe, tip.finalized):
            place = next((new for new in added if new.number == header.number), None)
            canonical = self.store.hash_at(header.number) if place is None else place.hash
            if header.number > tip.head.number or canonical != header.hash:
                raise ComponentError("embedded engine", "set_forkchoice", -38002, "Invalid forkchoice state")
        if tip != before:
            floor = self._floor(tip.finalized)
            self._write_canonical(tip, floor, removed, added)
            self.reader.floor = floor
            self.reader.tip = tip
        return HeadChange(tip.head, tip.safe, tip.finalized, tuple(removed), tuple(added))

    def build(
        self, head: PayloadHash, attributes: PayloadAttributes, pending: PendingSource, builder: Builder
    ) -> ExecutionPayload:
        """Build a payload on `head`, and keep its results for `new_payload`.

        Raises `EngineBehind` when the head is not known, `ComponentError` when its time is not after the head's,
        `ConfigError` when the head's state is no longer kept, and `SlowBeaconRoots`.
        """
        parent = self.reader.header(head)
        if parent is None:
            raise EngineBehind(head)
        self._check_state(parent)
        if attributes.timestamp <= parent.timestamp:
            raise ComponentError(
                "embedded engine", "build_payload", -38003, "Invalid payload attributes: timestamp"
            )
        frame = builder.frame(parent, attributes)
        state = self._state(parent)
        execution = BlockExecution(frame, state, self._ancestors(parent), self.chain_id, TimeBudget())
        executed = builder.fill(execution, state, pending, attributes.withdrawals)
        while len(self._built) >= _KEPT_BUILDS:
            del self._built[next(iter(self._built))]
        self._built[executed.header.hash] = executed
        return _payload_of(executed)

    def change_state(self, block: bytes, change: Callable[[TrieSource, bytes], StateChanges]) -> None:
        """Replace the state after a stored block; only for a chain that no other node follows.

        `change` gets the source of the trie nodes and the state's root. Raises `Corrupt` for an unknown block.
        """
        changes = change(self.store, self.reader.needed_header(block).state_root)
        self.store.write_state(changes.nodes, changes.codes)
        self.use_changes({**self.reader.changed, block: changes.root})

    def use_changes(self, changed: Mapping[bytes, bytes]) -> None:
        """Use these state roots for these blocks, and for no others than the roots in their headers."""
        self.reader.changed = dict(changed)
        tip = self.reader.tip
        self.reader.tip = Tip(
            *(self.reader.needed_header(header.hash) for header in (tip.head, tip.safe, tip.finalized))
        )

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    def _execute(
        self,
        payload: ExecutionPayload,
        header: ExecutionHeader,
        parent: ExecutionHeader,
        interrupt: Callable[[], None],
    ) -> ExecutedPayload:
        check_header(header, parent)
        budget = TimeBudget(interrupt=interrupt)
        execution = BlockExecution(header, self._state(parent), self._ancestors(parent), self.chain_id, budget)
        execution.begin()
        for index, raw in enumerate(payload.transactions):
            try:
                execution.add(read_transaction(raw, self.chain_id))
            except Refused as error:
                raise BrokenRule(f"transaction {index}: {error}") from error
        executed = execution.finish(payload.withdrawals)
        check_outcome(header, executed.header)
        return executed

    def _state(self, parent: ExecutionHeader) -> EelsState:
        root, accounts = self._warm
        return EelsState(self.store, parent.state_root, accounts if root == parent.state_root else None)

    def _floor(self, finalized: ExecutionHeader) -> int:
        """The number of the oldest block whose state is kept; it never falls, because pruning is not undone."""
        if self._kept_states is None:
            return self.reader.floor
        return max(self.reader.floor, finalized.number - self._kept_states)

    def _check_state(self, header: ExecutionHeader) -> None:
        if not self.reader.has_state(header):
            raise ConfigError(
                f"the node's chain needs the state after block {header.number}, but "
                f"{self.store.folder} keeps only the states from block {self.reader.floor} on\n"
                "restore the whole data folder from one backup, or remove this folder: the node builds it again"
            )

    def _ancestors(self, parent: ExecutionHeader) -> AncestorHashes:
        return AncestorHashes(parent, self.reader.needed_header)

    def _store(self, executed: ExecutedPayload) -> None:
        header = executed.header
        self.store.write_block(
            BlockRecord(
                hash=header.hash,
                number=header.number,
                header=encode_header(header),
                body=encode_body(executed.transactions, executed.withdrawals),
                receipts=encode_receipts(executed.receipts),
                nodes=executed.changes.nodes,
                codes=executed.changes.codes,
            )
        )
        if len(executed.accounts) <= self._kept_accounts:
            self._warm = (header.state_root, executed.accounts)

    def _path(
        self, old: ExecutionHeader, new: ExecutionHeader
    ) -> tuple[list[ExecutionHeader], list[ExecutionHeader]]:
        """The blocks down from `old` to the common ancestor, and those from there up to `new`."""
        added: list[ExecutionHeader] = []
        while self.store.hash_at(new.number) != new.hash:
            added.append(new)
            new = self.reader.needed_header(new.parent_hash)
        removed: list[ExecutionHeader] = []
        while old.number > new.number:
            removed.append(old)
            old = self.reader.needed_header(old.parent_hash)
        if old.hash != new.hash:
            raise damage(f"the canonical block {new.hash.hex()} is not an ancestor of the head")
        return removed, added[::-1]

    def _write_canonical(
        self, tip: Tip, floor: int, removed: list[ExecutionHeader], added: list[ExecutionHeader]
    ) -> None:
        places: list[tuple[bytes, bytes]] = []
        for header in added:
            transactions = self.reader.raw_transactions(header.hash)
            places += [
                (keccak256(raw), header.hash + index.to_bytes(4, "big")) for index, raw in enumerate(transactions)
            ]
        self.store.write_canonical(
            CanonicalChange(
                head=tip.head.hash,
                safe=tip.safe.hash,
                finalized=tip.finalized.hash,
                floor=floor,
                removed_numbers=[header.number for header in removed],
                added=[(header.number, header.hash) for header in added],
                removed_transactions=[
                    keccak256(raw) for header in removed for raw in self.reader.raw_transactions(header.hash)
                ],
                added_transactions=places,
            )
        )


def _write_genesis(store: ChainStore, payload: ExecutionPayload, execution_genesis: Mapping[str, Any]) -> None:
    state = genesis_state(execution_genesis)
    header = header_of(payload, ZERO_HASH)
    store.write_genesis(
        BlockRecord(
            hash=header.hash,
            number=header.number,
            header=encode_header(header),
            body=encode_body((), ()),
            receipts=encode_receipts(()),
            nodes=state.nodes,
            codes=state.codes,
        )
    )


def _payload_of(executed: ExecutedPayload) -> ExecutionPayload:
    header = executed.header
    return ExecutionPayload(
        parent_hash=header.parent_hash,
        fee_recipient=header.coinbase,
        state_root=header.state_root,
        receipts_root=header.receipts_root,
        logs_bloom=header.logs_bloom,
        prev_randao=header.prev_randao,
        block_number=Height(header.number),
        gas_limit=header.gas_limit,
        gas_used=header.gas_used,
        timestamp=header.timestamp,
        extra_data=header.extra_data,
        base_fee_per_gas=header.base_fee,
        block_hash=header.hash,
        transactions=executed.transactions,
        withdrawals=executed.withdrawals,
        blob_gas_used=header.blob_gas_used,
        excess_blob_gas=header.excess_blob_gas,
    )
