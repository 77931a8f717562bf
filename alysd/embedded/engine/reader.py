"""Reads of the embedded engine's chain, for the RPC.

Any thread may call these synchronous methods, also while another thread executes blocks. A record whose key is its
own hash never changes, so two reads can differ only in which blocks are canonical. `block`, `receipts`, `proof`,
`logs`, `logs_of` and `fee_history` take long: call them in a worker thread. Each of the others takes a few
database reads (below 0.1 ms).
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from typing import Any

import attrs

from alysd.embedded.engine.block_blooms import BlockBlooms
from alysd.embedded.engine.chain_store import ChainStore
from alysd.embedded.engine.log_filter import LogFilter, TooManyLogs, matching_logs
from alysd.embedded.engine.records import (
    block_size,
    corrupt_if_malformed,
    damage,
    decode_body,
    decode_gas_used,
    decode_logs,
    decode_receipts,
    read_header,
    split_receipts,
)
from alysd.embedded.engine.rules import next_base_fee
from alysd.embedded.engine.transaction import SignedTransaction, read_transaction
from alysd.embedded.engine.trie_state import EMPTY_STATE, RecordedNodes, TrieSource, read_account, read_slot
from alysd.embedded.engine.values import (
    AccountProof,
    AccountState,
    ExecutionBlock,
    ExecutionReceipt,
    FeeHistory,
    FoundLog,
    HeadChange,
    IncludedTransaction,
    StorageProof,
)
from alysd.errors import Corrupt, Refused
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress, PayloadHash
from alysd.types.units import Wei
from alysd.wire.execution_genesis import EMPTY_CODE_HASH
from alysd.wire.trie import EMPTY_ROOT

_BLOCKS_CACHED = 64
"""The number of decoded blocks in memory: 25 MB if each has 200 transactions of 1 kB, usually far less."""


_ACCOUNTS_CACHED = 4_096
"""The number of accounts in memory, some 2 MB, by state. At this number all are forgotten."""


_UNREAD: Any = object()
_HEADERS_CACHED = 512
"""The number of decoded headers in memory, some 1 MB. At this number all are forgotten."""


@attrs.frozen
class Tip:
    """The headers of the last forkchoice."""

    head: ExecutionHeader
    safe: ExecutionHeader
    finalized: ExecutionHeader


@attrs.frozen(str=False)
class StatePruned(Refused):
    """The state with this root is no longer kept. The text is geth's."""

    root: bytes

    def __str__(self) -> str:
        # Source: go-ethereum 1.17 with --state.scheme hash, trie/errors.go and core/state.
        root = self.root.hex()
        return f"missing trie node {root} (path ) state 0x{root} is not available, not found"


class Reader:
    """Reads blocks, receipts and states. `ExecutionChain` replaces `tip` and `floor` after each forkchoice.

    `floor` is the number of the oldest block whose state is kept. `changed` has the state roots of the blocks
    whose states were changed without a transaction, and `decode` reads the stored transactions; both are for
    chains whose blocks are made on demand.
    """

    def __init__(self, store: ChainStore, chain_id: int) -> None:
        self._store = store
        self._states: TrieSource = store
        self._chain_id = chain_id
        self.floor = store.floor()
        self._headers: dict[bytes, ExecutionHeader] = {}
        self._accounts: dict[tuple[bytes, bytes], AccountState | None] = {}  # by state root and address
        self.changed: dict[bytes, bytes] = {}
        self.decode: Callable[[bytes, int], SignedTransaction] = read_transaction
        self.tip = Tip(*(self._tip(name) for name in ("head", "safe", "final")))
        self._blooms = BlockBlooms(store)
        self._cached_block = lru_cache(_BLOCKS_CACHED)(self._load_block)

    def over(self, states: TrieSource) -> "Reader":
        """A reader of the same chain as it is now, which finds states in `states`."""
        other = copy(self)
        other._states = states
        return other

    def head(self) -> ExecutionHeader:
        """The newest canonical block."""
        return self.tip.head

    def safe(self) -> ExecutionHeader:
        """The newest safe block."""
        return self.tip.safe

    def finalized(self) -> ExecutionHeader:
        """The newest finalized block."""
        return self.tip.finalized

    def hash_at(self, number: int) -> bytes | None:
        """The hash of the canonical block with this number, or None."""
        return self._store.hash_at(number)

    def header(self, block: bytes) -> ExecutionHeader | None:
        """The header of a stored block on any branch."""
        header, root = self._headers.get(block), self.changed.get(block)
        if header is None:
            found = self._store.get("headers", block)
            if found is None:
                return None
            header = read_header(block, found)
            if len(self._headers) >= _HEADERS_CACHED:
                self._headers.clear()
            self._headers[block] = header
        return header if root is None else attrs.evolve(header, state_root=root)

    def needed_header(self, block: bytes) -> ExecutionHeader:
        """The header of a block that must be stored. Raises `Corrupt` when it is missing."""
        found = self.header(block)
        if found is None:
            raise damage(f"block {block.hex()} is missing")
        return found

    def canonical_header(self, number: int) -> ExecutionHeader | None:
        """The header of the canonical block with this number, or None."""
        found = self.hash_at(number)
        if found is None:
            return None
        header = self.needed_header(found)
        if header.number != number:
            raise damage(f"block {header.number} is recorded as canonical block {number}")
        return header

    def is_canonical(self, header: ExecutionHeader) -> bool:
        """Whether the block is canonical."""
        return self.hash_at(header.number) == header.hash

    def block(self, block: bytes) -> ExecutionBlock | None:
        """A stored block on any branch. Decoding takes 0.1 ms per transaction; recently read blocks are cached."""
        return self._cached_block(block) if self._store.get("headers", block) is not None else None

    def raw_transactions(self, block: bytes) -> tuple[bytes, ...]:
        """The encoded transactions of a stored block. Raises `Corrupt` when the block is missing."""
        return decode_body(self._body(block))[0]

    def receipts(self, block: bytes) -> tuple[ExecutionReceipt, ...] | None:
        """The receipts of a stored block on any branch, in order."""
        found = self.block(block)
        if found is None:
            return None
        return decode_receipts(self.encoded_receipts(block), found.transactions, found.header.base_fee)

    def encoded_receipts(self, block: bytes) -> bytes:
        """The receipts of a stored block, encoded as in the database. Raises `Corrupt` when they are missing."""
        found = self._store.get("receipts", block)
        if found is None:
            raise damage(f"the receipts of block {block.hex()} are missing")
        return found

    def trie_receipts(self, block: bytes) -> tuple[bytes, ...] | None:
        """The receipts of a stored block, in order, each as in the receipts' trie."""
        found = self._store.get("receipts", block)
        return None if found is None else split_receipts(found)

    def transaction(self, digest: bytes) -> IncludedTransaction | None:
        """A transaction of a canonical block."""
        place = self._store.get("transactions", digest)
        if place is None:
            return None
        block, index = self.block(place[:32]), int.from_bytes(place[32:], "big")
        receipts = self.receipts(place[:32])
        if block is None or receipts is None:
            raise damage(f"block {place[:32].hex()} of transaction {digest.hex()} is missing")
        if index >= len(block.transactions):
            raise damage(
                f"transaction {digest.hex()} has number {index} of block {place[:32].hex()}, which has "
                f"{len(block.transactions)} transactions"
            )
        first_log = sum(len(receipt.logs) for receipt in receipts[:index])
        return IncludedTransaction(block.header, index, block.transactions[index], receipts[index], first_log)

    def since(self, old: PayloadHash, most: int) -> HeadChange | None:
        """The change from a former head to the head, with the newest `most` added blocks.

        None if nothing has changed.
        """
        tip, before = self.tip, self.header(old)
        if before is None or old == tip.head.hash:
            return None
        removed: list[ExecutionHeader] = []
        while not self.is_canonical(before):
            removed.append(before)
            before = self.needed_header(before.parent_hash)
        numbers = range(max(before.number + 1, tip.head.number - most + 1), tip.head.number + 1)
        added = [header for number in numbers if (header := self.canonical_header(number)) is not None]
        return HeadChange(tip.head, tip.safe, tip.finalized, tuple(removed), tuple(added))

    def has_state(self, header: ExecutionHeader) -> bool:
        """Whether the state after a stored block is kept.

        The state is kept if the block is not below `floor`. If the block is on another branch, this branch must
        also leave the canonical one at `floor` or above.
        """
        while header.number >= self.floor:
            if self.is_canonical(header):
                return True
            header = self.needed_header(header.parent_hash)
        return False

    @contextmanager
    def state_of(self, header: ExecutionHeader) -> Generator[None]:
        """Allow reads of the state after a stored block inside the `with` block.

        Raises `StatePruned` when the state is not kept, also when it is pruned during the `with` block.
        """
        if not self.has_state(header):
            raise StatePruned(header.state_root)
        try:
            yield
        except Corrupt:
            if self.has_state(header):
                raise
            raise StatePruned(header.state_root) from None  # pruned while it was being read

    def account(self, header: ExecutionHeader, address: EvmAddress) -> AccountState:
        """An account after a stored block. Raises `StatePruned`, as `code` and `storage` do."""
        with self.state_of(header):
            return self.account_at(header.state_root, address)

    def account_at(self, root: bytes, address: EvmAddress) -> AccountState:
        """An account of the state with this root. Raises `Corrupt` if it is not kept; `state_of` checks that."""
        return self.record_at(root, address) or EMPTY_STATE

    def record_at(self, root: bytes, address: EvmAddress) -> AccountState | None:
        """Like `account_at`, but None for an account that does not exist."""
        known = self._accounts.get((root, address), _UNREAD)
        if known is not _UNREAD:
            return known
        found = read_account(self._states, root, address)
        if len(self._accounts) >= _ACCOUNTS_CACHED:
            self._accounts.clear()
        self._accounts[root, address] = found
        return found

    def known_account(self, address: EvmAddress) -> AccountState | None:
        """The account after the newest block, if `account` has read it; None otherwise.

        It takes less than a microsecond and reads nothing from the disk, so the event loop may call it.
        """
        found = self._accounts.get((self.tip.head.state_root, address), _UNREAD)
        return None if found is _UNREAD else found or EMPTY_STATE

    def code(self, header: ExecutionHeader, address: EvmAddress) -> bytes:
        """A contract's code after a stored block, empty for any other account."""
        code_hash = self.account(header, address).code_hash
        return b"" if code_hash == EMPTY_CODE_HASH else self._states.code(code_hash)

    def storage(self, header: ExecutionHeader, address: EvmAddress, slot: int) -> bytes:
        """A storage slot after a stored block, 32 bytes."""
        with self.state_of(header):
            root = self.account(header, address).storage_root
            return read_slot(self._states, root, slot.to_bytes(32, "big")).to_bytes(32, "big")

    def proof(self, header: ExecutionHeader, address: EvmAddress, keys: Sequence[bytes]) -> AccountProof:
        """An account and slots of it after a stored block, with Merkle proofs (EIP-1186). Raises `StatePruned`."""
        with self.state_of(header):
            path = RecordedNodes(self._states)
            state = read_account(path, header.state_root, address)
            slots: list[StorageProof] = []
            for key in keys:
                below = RecordedNodes(self._states)
                root = EMPTY_ROOT if state is None else state.storage_root
                slots.append(StorageProof(read_slot(below, root, key), tuple(below.nodes)))
            return AccountProof(state, tuple(path.nodes), tuple(slots))

    def next_base_fee(self, header: ExecutionHeader) -> Wei:
        """The base fee of the block's child, in wei per gas (EIP-1559)."""
        return next_base_fee(header)

    def logs(self, first: int, last: int, wanted: LogFilter, limit: int) -> list[FoundLog]:
        """The matching logs of the canonical blocks `first` to `last`, in order.

        A block skipped by its bloom filter takes 0.05 ms in the first search, then less than a microsecond. Raises
        `TooManyLogs` above `limit`.
        """
        found: list[FoundLog] = []
        for block in self._blooms.search(max(first, 0), min(last, self.tip.head.number), wanted.blooms()):
            found += self.logs_of(self.needed_header(block), wanted)
            if len(found) > limit:
                raise TooManyLogs(limit)
        return found

    def has_no_logs(self, first: int, last: int, wanted: LogFilter) -> bool:
        """Whether `logs` certainly finds nothing, as far as that can be said at once, without the database.

        It takes less than a millisecond, so the event loop may call it.
        """
        return self._blooms.excludes(max(first, 0), min(last, self.tip.head.number), wanted)

    def logs_of(self, header: ExecutionHeader, wanted: LogFilter) -> list[FoundLog]:
        """The matching logs of one stored block, on any branch."""
        if not any(header.logs_bloom):
            return []
        logs = decode_logs(self.encoded_receipts(header.hash))
        return list(matching_logs(header, self.raw_transactions(header.hash), logs, wanted))

    def fee_history(self, count: int, newest: int, percentiles: Sequence[float]) -> FeeHistory:
        """The fees of the canonical block with the number `newest`, and of up to `count` - 1 blocks before it."""
        oldest = max(0, newest - count + 1)
        headers = [header for n in range(oldest, newest + 1) if (header := self.canonical_header(n)) is not None]
        following = (next_base_fee(headers[-1]),) if headers else ()
        return FeeHistory(
            oldest=oldest,
            base_fees=(*(header.base_fee for header in headers), *following),
            gas_used_ratios=tuple(header.gas_used / header.gas_limit for header in headers),
            rewards=tuple(self._rewards(header, percentiles) for header in headers) if percentiles else (),
        )

    def _rewards(self, header: ExecutionHeader, percentiles: Sequence[float]) -> tuple[Wei, ...]:
        block = self.block(header.hash)
        if block is None:
            raise damage(f"block {header.hash.hex()} is missing")
        gas_used = decode_gas_used(self.encoded_receipts(header.hash))
        return rewards_at(block.transactions, gas_used, header.base_fee, percentiles)

    def _tip(self, name: str) -> ExecutionHeader:
        found = self._store.meta(name)
        if found is None:
            raise damage(f"the record of the {name} block is missing")
        return self.needed_header(found)

    def _body(self, block: bytes) -> bytes:
        found = self._store.get("bodies", block)
        if found is None:
            raise damage(f"the body of block {block.hex()} is missing")
        return found

    def _load_block(self, block: bytes) -> ExecutionBlock:
        header, (raws, withdrawals) = self.needed_header(block), decode_body(self._body(block))
        transactions = tuple(self._stored_transaction(raw) for raw in raws)
        size = block_size(header, raws, withdrawals)
        return ExecutionBlock(header, transactions, withdrawals, size)

    def _stored_transaction(self, raw: bytes) -> SignedTransaction:
        with corrupt_if_malformed("transaction"):
            return self.decode(raw, self._chain_id)


def rewards_at(
    transactions: Sequence[SignedTransaction], gas_used: Sequence[int], base_fee: Wei, percentiles: Sequence[float]
) -> tuple[Wei, ...]:
    """The tips at the given percentiles of a block's gas, in wei per gas; zeros for a block without transactions.

    The transactions are sorted by tip. The result for percentile p is the tip of the transaction at which the
    cumulative gas reaches p % of the gas used by the block.
    """
    paid = sorted(zip((one.tip(base_fee) for one in transactions), gas_used, strict=True))
    total = sum(gas_used)
    rewards: list[Wei] = []
    for percentile in percentiles:
        threshold, seen = total * percentile / 100, 0
        tip = 0
        for tip, gas in paid:  # noqa: B007  the last tip seen is the answer
            seen += gas
            if seen >= threshold:
                break
        rewards.append(Wei(tip))
    return tuple(rewards)
