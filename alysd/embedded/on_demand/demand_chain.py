"""The chain whose blocks are made on demand: each in a slot of its own, in a time that clients choose.

The payloads obey every rule of docs/protocol.md for blocks without a proof of work, with slots of one second. The
blocks are not signed, none is ever final, and clients may change states outside of all rules: no other node could
follow this chain, and nobody can mine it.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import attrs
import trio

from alysd.consensus.aura import slot_at
from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.embedded.engine.building import SlowBeaconRoots
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.engine.transaction import InvalidSender, SignedTransaction
from alysd.embedded.engine.values import AccountState
from alysd.embedded.on_demand.account_change import AccountChange, changed_state
from alysd.embedded.on_demand.demand_clock import ClockState, DemandClock, TimeOutOfRange
from alysd.embedded.on_demand.impersonation import read_any
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.errors import ComponentError, Refused
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlsSignature, EvmAddress
from alysd.types.units import Wei
from alysd.types.verdict import Valid
from alysd.wire.block_ssz import block_hash

MAX_SNAPSHOTS = 4_096
"""The maximum number of snapshots; the oldest is forgotten."""

MAX_SNAPSHOT_BYTES = 64 * 1024 * 1024
"""The maximum size of all snapshots together; the oldest are forgotten. The newest is always kept."""

_SNAPSHOT_BYTES, _CHANGE_BYTES = 1_000, 200
"""The size in memory of a snapshot without transactions, and of each changed state that it remembers."""

MAX_IMPERSONATED = 4_096
"""The maximum number of accounts whose transactions need no key, unless those of all accounts need none."""

BLOCKS_PER_TRANSACTION = 3
"""The most blocks that are made at once for a transaction: one that computes long waits for a block of its own."""

_UNSIGNED = Approvals((), BlsSignature(bytes(96)))


class TooManyImpersonated(Refused):
    """A client impersonates more accounts than are kept."""

    def __str__(self) -> str:
        return f"{MAX_IMPERSONATED} accounts are impersonated, the most at a time: stop some, or impersonate all"


@attrs.frozen
class _Snapshot:
    """Everything to which `revert` returns. `size` is what it adds to the memory, in bytes."""

    head: ChainState
    changed: Mapping[bytes, bytes]
    clock: ClockState
    waiting: tuple[SignedTransaction, ...]
    size: int = 0


class DemandChain:
    """Makes blocks, and takes and restores snapshots, one operation at a time. Implements `DemandHooks`.

    `genesis` is the state after the genesis block of `context`, whose slots have one second. `run` is a task.
    """

    def __init__(
        self, context: ChainContext, genesis: ChainState, engine: EmbeddedEngine, pool: TransactionPool,
        clock: DemandClock,
    ) -> None:  # fmt: skip
        self._context = context
        self._genesis = genesis
        self._head = genesis
        self._engine = engine
        self._pool = pool
        self._one = trio.Lock()
        self._snapshots: dict[int, _Snapshot] = {}
        self._taken = 0
        self._interval = math.inf
        self._interval_changed = trio.Event()
        self._impersonated: set[EvmAddress] = set()
        self.clock = clock
        self.automine = True
        self.impersonate_all = False
        self.follow: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        """Waits until the pool and the subscribers know of the newest head."""
        engine.reader.decode = read_any

    @property
    def head(self) -> ChainState:
        """The state after the newest block."""
        return self._head

    async def run(self) -> None:
        """Make a block whenever the interval of `mine_every` has passed, until none can be made. Never returns."""
        while True:
            changed = self._interval_changed
            with trio.move_on_after(self._interval):
                await changed.wait()
                continue
            try:
                await self.mine(1)
            except (TimeOutOfRange, SlowBeaconRoots):  # the next client that asks for a block is told
                self.mine_every(math.inf)

    @property
    def stopped(self) -> bool:
        """Whether no blocks are made at an interval."""
        return self._interval == math.inf

    def mine_every(self, seconds: float) -> None:
        """Make a block every `seconds` from now on; infinity stops that."""
        self._interval = seconds
        self._interval_changed.set()
        self._interval_changed = trio.Event()

    async def mine(self, blocks: int, interval: int | None = None) -> None:
        """Make blocks from the pool's transactions. Those after the first are `interval` seconds apart, if given.

        A block is made whole also if the caller is cancelled. Raises `TimeOutOfRange` and `SlowBeaconRoots`.
        """
        async with self._one:
            for made in range(blocks):
                if made and interval is not None:
                    self.clock.pin(self._head.timestamp + interval, self._head.timestamp)
                await self._block()

    async def sent(self, digest: bytes) -> None:
        """Make blocks until the transaction is in one of them, unless `automine` is off."""
        if not self.automine:
            return
        for _ in range(BLOCKS_PER_TRANSACTION):
            await self.mine(1)
            if self._pool.get(digest) is None:
                return

    def next_timestamp(self) -> int:
        """The timestamp that a block made now would have. Raises `TimeOutOfRange`."""
        return self.clock.next_timestamp(self._head.timestamp)

    def read(self, raw: bytes) -> SignedTransaction:
        """Read a transaction. Raises the errors of `read_transaction`, also if an account is not impersonated."""
        found = read_any(raw, self._engine.chain_id)
        if found.impersonated and not self.impersonates(found.sender):
            raise InvalidSender("invalid transaction v, r, s values")
        return found

    def impersonates(self, account: EvmAddress) -> bool:
        """Whether clients may send transactions of this account without its key."""
        return any(account) and (self.impersonate_all or account in self._impersonated)

    def impersonate(self, account: EvmAddress) -> None:
        """Let clients send transactions of this account. Raises `TooManyImpersonated`."""
        if len(self._impersonated) >= MAX_IMPERSONATED and account not in self._impersonated:
            raise TooManyImpersonated
        self._impersonated.add(account)

    def stop_impersonating(self, account: EvmAddress) -> None:
        """Require the key for transactions of this account again."""
        self._impersonated.discard(account)

    async def change(self, account: EvmAddress, change: AccountChange) -> None:
        """Change an account in the state after the newest block."""
        async with self._one:
            work = partial(changed_state, address=account, change=change)
            await self._engine.change_state(self._head.payload_hash, work)
            await self._refresh()

    async def snapshot(self) -> int:
        """Remember the present state of everything, and return the snapshot's number."""
        async with self._one:
            await self.follow()
            waiting = tuple(one for line in self._waiting() for one in line)
            changed = self._engine.reader.changed
            newest = self._snapshots.get(self._taken)
            size = _SNAPSHOT_BYTES + sum(len(one.raw) for one in waiting)
            size += 0 if newest is not None and newest.changed is changed else _CHANGE_BYTES * len(changed)
            self._taken += 1
            self._snapshots[self._taken] = _Snapshot(self._head, changed, self.clock.state(), waiting, size)
            self._forget()
            return self._taken

    def _forget(self) -> None:
        """Forget the oldest snapshots until the others are within the limits."""
        total = sum(one.size for one in self._snapshots.values())
        while len(self._snapshots) > MAX_SNAPSHOTS or (total > MAX_SNAPSHOT_BYTES and len(self._snapshots) > 1):
            total -= self._snapshots.pop(next(iter(self._snapshots))).size

    async def revert(self, number: int) -> bool:
        """Return to a snapshot, and forget it and all later ones. False if there is no such snapshot."""
        async with self._one:
            snapshot = self._snapshots.get(number)
            if snapshot is None:
                return False
            await self._return_to(snapshot)
            self._snapshots = {taken: one for taken, one in self._snapshots.items() if taken < number}
            return True

    async def reset(self) -> None:
        """Return to the genesis block. Forget all snapshots, impersonated accounts and waiting transactions."""
        async with self._one:
            await self._return_to(_Snapshot(self._genesis, {}, self.clock.state(), ()))
            self._snapshots.clear()
            self._impersonated.clear()

    async def _return_to(self, snapshot: _Snapshot) -> None:
        await self.follow()  # the pool must not hear of the removed blocks afterwards
        with trio.CancelScope(shield=True):
            head = snapshot.head.payload_hash
            await self._engine.rewind(head, head, snapshot.changed)
            self._head = snapshot.head
            self.clock.restore(snapshot.clock)
            limit, now = self._engine.reader.head().gas_limit, trio.current_time()
            await trio.to_thread.run_sync(self._pool.replace, snapshot.waiting, self._account, limit, now)

    async def _block(self) -> None:
        head = self._head
        timestamp = self.next_timestamp()
        slot = slot_at(timestamp, self._context.spec.slot_seconds)
        attributes = payload_attributes(head, slot, None, self._context)
        with trio.CancelScope(shield=True):
            tip = (head.payload_hash, head.payload_hash, self._genesis.payload_hash)
            payload = await self._engine.build_payload(*tip, attributes)
            block = Block(head.hash, slot, payload)
            verdict = await self._engine.new_payload(payload, head.hash)
            if not isinstance(verdict, Valid):
                raise ComponentError("embedded engine", "new_payload", -32000, f"its own block is {verdict}")
            # The fees would be paid by a block with a proof of work, which this chain never has.
            signed = SignedBlock(block_hash(block), block, _UNSIGNED)
            state = apply_block(head, signed, Wei(0), ()).state
            await self._engine.set_forkchoice(payload.block_hash, payload.block_hash, self._genesis.payload_hash)
            self._head = state
            self.clock.used(timestamp)
        await self.follow()  # not shielded: when the servers stop, nobody follows any more

    async def _refresh(self) -> None:
        """Let the pool see the changed account."""
        limit, now = self._engine.reader.head().gas_limit, trio.current_time()
        await trio.to_thread.run_sync(self._pool.follow, (), (), self._account, limit, now)

    def _account(self, account: EvmAddress) -> AccountState:
        reader = self._engine.reader
        return reader.account(reader.head(), account)

    def _waiting(self) -> list[tuple[SignedTransaction, ...]]:
        content = self._pool.content()
        return [tuple(line) for lines in (content.pending, content.queued) for line in lines.values()]
