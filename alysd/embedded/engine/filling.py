"""The selection of a block's transactions.

The executions of transactions are paid only if they end. So a block divides its time (`build_time`):

1. In every second block, one transaction that takes long gets a *turn*: three quarters of the time, before all
   others. One that does not end within its turn can never be included, and is discarded; so is one whose turns
   all ended early, because the machine was busy, when it has had `MOST_INTERRUPTED` of them.
2. The others follow, the best price first. Each gets a short trial. The sender of one that needs more is set back.
3. The rest of the time goes to the senders that were set back.

A quarter of the time and of the bytes is reserved for plain transfers, which execute no code.
"""

from alysd.embedded.engine.block_execution import BlockExecution
from alysd.embedded.engine.build_time import CODE_SHARE, WALL_FACTOR, BuildTime
from alysd.embedded.engine.pending_source import AccountReader, PendingSource
from alysd.embedded.engine.rules import BrokenRule
from alysd.embedded.engine.time_budget import Interrupted, OutOfTime
from alysd.embedded.engine.transaction import BLOB, SignedTransaction
from alysd.messages.log.base import log
from alysd.messages.log.chain import TransactionDropped
from alysd.types.hashes import EvmAddress

MOST_INTERRUPTED = 16
"""The number of turns that other work of the machine may cut short before the transaction is discarded.

Each takes all the wall-clock time of a turn, 1.1 s by default, and they are in as many pairs of blocks. So a
machine that is busy for half a minute loses no transaction, and one that is always too slow for a transaction does
not keep its sender waiting for ever.
"""

LEAST_GAS = 21_000
"""Gas of the cheapest transaction: a block with less gas left is full."""

_TRANSFER_BYTES = 512
"""The maximum size of a plain transfer: room for a memo, and for hundreds of transfers in the reserved bytes."""


class Filling:
    """Fills one block with the transactions of `pending`, of at most `payload_bytes` in all."""

    def __init__(
        self,
        execution: BlockExecution,
        accounts: AccountReader,
        pending: PendingSource,
        time: BuildTime,
        payload_bytes: int,
    ) -> None:
        self._execution = execution
        self._accounts = accounts
        self._pending = pending
        self._time = time
        self._room = payload_bytes
        self._code_room = int(payload_bytes * CODE_SHARE)
        self._waiting: set[EvmAddress] = set()
        self._included: set[bytes] = set()

    def run(self) -> None:
        """Execute transactions until gas, bytes or time are used up."""
        base_fee = self._execution.base_fee
        if self._execution.number % 2 == 0:
            for signed in self._pending.slow(base_fee, self._accounts):
                self._give_turn(signed)
                break
        for signed in self._pending.best(base_fee, self._accounts):
            if self._full():
                return
            self._offer(signed, self._time.trial)
        for signed in self._pending.slow(base_fee, self._accounts):
            if self._full():
                return
            self._offer(signed, self._time.turn)

    def _full(self) -> bool:
        return self._time.over() or self._execution.gas_left < LEAST_GAS

    def _offer(self, signed: SignedTransaction, most: float) -> None:
        """Execute a transaction within `most` seconds, unless its sender's transactions have to wait."""
        if signed.sender in self._waiting or signed.hash in self._included:
            return
        self._waiting.add(signed.sender)
        if self._discarded(signed) or not self._fits(signed):
            return
        code = self._executes_code(signed)
        if len(signed.raw) > (self._code_room if code else self._room):
            return
        own = min(most, self._time.left(code=code)) if code else self._time.left(code=False)
        if own <= 0:
            return
        try:
            included = self._execute(signed, own, code=code)
        except Interrupted:
            return
        except OutOfTime:
            if own == self._time.trial:  # otherwise the block's time was over, and the next block tries again
                self._pending.set_back(signed)
            return
        if included:
            self._waiting.remove(signed.sender)

    def _give_turn(self, signed: SignedTransaction) -> None:
        """Execute a transaction of a sender that was set back, with all time that a transaction can have."""
        if self._discarded(signed) or not self._fits(signed) or len(signed.raw) > self._room:
            return
        self._pending.set_back(signed)
        self._waiting.add(signed.sender)
        try:
            included = self._execute(signed, self._time.turn, code=True)
        except Interrupted:
            if (turns := self._pending.interrupted(signed)) >= MOST_INTERRUPTED:
                seconds = self._time.turn * WALL_FACTOR
                self._drop(signed, f"did not end in {turns} blocks, {seconds:g} s in each, on this busy machine")
            return  # otherwise it stays in the pool for another turn
        except OutOfTime:
            self._drop(signed, f"takes longer than {self._time.turn:g} s of processor time to execute")
            return
        if included:
            self._waiting.remove(signed.sender)

    def _drop(self, signed: SignedTransaction, reason: str) -> None:
        log(TransactionDropped(f"0x{signed.hash.hex()}", reason))
        self._pending.discard(signed, reason)

    def _discarded(self, signed: SignedTransaction) -> bool:
        """Discard a transaction that no block can include, whatever it executes."""
        if signed.type == BLOB:
            self._pending.discard(signed, "blob transactions are not supported on this chain")
            return True
        if signed.gas > self._execution.gas_limit:
            self._pending.discard(signed, "exceeds block gas limit")
            return True
        return False

    def _fits(self, signed: SignedTransaction) -> bool:
        """Whether gas, nonce and price let this block include the transaction."""
        execution = self._execution
        if signed.gas > execution.gas_left or signed.nonce > execution.nonce_of(signed.sender):
            return False
        return signed.tip(execution.base_fee) >= 0

    def _executes_code(self, signed: SignedTransaction) -> bool:
        """Whether the transaction is more than a plain transfer, which takes a millisecond."""
        if signed.to is None or len(signed.raw) > _TRANSFER_BYTES:
            return True
        return self._execution.has_code(signed.to)

    def _execute(self, signed: SignedTransaction, seconds: float, *, code: bool) -> bool:
        """Execute a transaction. Discard it if it breaks a rule. Raises `OutOfTime`."""
        self._execution.limit(self._time.budget(seconds, code=code))
        try:
            self._execution.add(signed)
        except BrokenRule as error:
            self._pending.discard(signed, str(error))
            return False
        self._included.add(signed.hash)
        self._room -= len(signed.raw)
        self._code_room -= len(signed.raw) if code else 0
        return True
