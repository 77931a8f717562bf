"""The execution of one block: the specification's steps, from the system call to the resulting header.

Importing and building a block both use `BlockExecution`. They differ only in the source of the transactions and in
the treatment of an invalid one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from alysd.embedded.engine.eels import (
    PreparedTransaction,
    encode_receipt,
    process_transaction,
)
from alysd.embedded.engine.environment import EelsState, Environment, environment_of
from alysd.embedded.engine.rules import BrokenRule
from alysd.embedded.engine.specification import (
    PRECOMPILED,
    U64,
    U256,
    Address,
    Bytes,
    Bytes0,
    Bytes32,
    EthereumException,
    RLPException,
    Uint,
    blocks,
    compute_contract_address,
    fork,
    rlp,
    transactions,
    trie,
    vm,
)
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.tracing.tracer import EvmTracer, TraceStart
from alysd.embedded.engine.transaction import ACCESS_LIST, BLOB, LEGACY, SignedTransaction
from alysd.embedded.engine.trie_state import StateChanges
from alysd.embedded.engine.values import AccountState
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.wire.execution_header import encode_withdrawal, with_hash
from alysd.wire.rlp import as_bytes, as_list, decode
from alysd.wire.trie import indexed_root

BEACON_ROOTS = EvmAddress(bytes(fork.BEACON_ROOTS_ADDRESS))
"""The contract that each block calls first (EIP-4788)."""

EXECUTION_ERRORS = (EthereumException, RLPException, OverflowError, ValueError, AssertionError)
"""The errors that the specification raises for a broken rule.

`OverflowError` and `ValueError` come from its integers of limited size.
"""

TOO_LARGE = "a number would exceed its maximum, such as a balance above 2^256 - 1 wei"
"""The text for an `OverflowError`, to which the specification gives none."""


@attrs.frozen
class ExecutedPayload:
    """An executed block: the data to store, and the accounts that it touched."""

    header: ExecutionHeader
    transactions: tuple[bytes, ...]
    withdrawals: tuple[Withdrawal, ...]
    receipts: tuple[bytes, ...]
    changes: StateChanges
    accounts: Mapping[bytes, AccountState]


class BlockExecution:
    """Executes one block on the state of its parent.

    `frame` is the block's header with the fields that are known before execution; `finish` fills in the others.
    """

    def __init__(
        self,
        frame: ExecutionHeader,
        state: EelsState,
        ancestors: Sequence[Bytes32],
        chain_id: int,
        budget: TimeBudget,
    ) -> None:
        self._frame = frame
        self._state = state
        self._output = vm.BlockOutput()
        self._environment = environment_of(frame, state, ancestors, chain_id, budget)
        self._transactions: list[bytes] = []
        self._receipts: list[bytes] = []

    @property
    def base_fee(self) -> int:
        """Wei per gas that this block burns."""
        return self._frame.base_fee

    @property
    def gas_limit(self) -> int:
        """The gas that all transactions of the block may use in total."""
        return self._frame.gas_limit

    @property
    def gas_left(self) -> int:
        """Gas that further transactions may use."""
        return self._frame.gas_limit - int(self._output.block_gas_used)

    @property
    def number(self) -> int:
        """The block's number."""
        return self._frame.number

    @property
    def state(self) -> EelsState:
        """The state after the transactions so far."""
        return self._state

    @property
    def log_count(self) -> int:
        """The number of logs of the transactions so far."""
        return len(self._output.block_logs)

    def nonce_of(self, address: EvmAddress) -> int:
        """The account's nonce after the transactions so far."""
        return int(self._state.get_account(Address(address)).nonce)

    def has_code(self, address: EvmAddress) -> bool:
        """Whether a call of the address executes code, also that of a precompiled contract."""
        called = Address(address)
        return called in PRECOMPILED or bool(self._state.get_account(called).code)

    def limit(self, budget: TimeBudget) -> None:
        """Set the time budget of everything that is executed from now on."""
        self._environment.budget = budget

    def begin(self) -> None:
        """Store the beacon root (EIP-4788), the first step of a block. Raises `OutOfTime`."""
        store_beacon_root(self._environment)

    def add(self, signed: SignedTransaction) -> None:
        """Execute a transaction. Raises `BrokenRule` or `OutOfTime`, without any change of the state."""
        self._environment.budget.check()
        prepared = prepare(signed)
        self._state.checkpoint()
        index = len(self._transactions)
        try:
            process_transaction(self._environment, self._output, prepared, index)
        except OutOfTime:
            self._state.abandon()
            raise
        except EXECUTION_ERRORS as error:
            self._state.abandon()
            raise BrokenRule(words(error)) from error
        self._transactions.append(signed.raw)
        self._receipts.append(encode_receipt(trie.trie_get(self._output.receipts_trie, rlp.encode(Uint(index)))))

    def trace(self, signed: SignedTransaction, tracer: EvmTracer) -> None:
        """Execute a transaction with a tracer. Raises the same errors as `add`."""
        sender, used = Address(signed.sender), int(self._output.block_gas_used)
        created = compute_contract_address(sender, Uint(signed.nonce))
        tracer.first_log = self.log_count
        tracer.begin(
            TraceStart(
                self._state,
                sender,
                created if signed.to is None else Address(signed.to),
                signed.to is None,
                self._environment.coinbase,
                signed.gas,
            )
        )
        self._environment.tracer = tracer
        try:
            self.add(signed)
        finally:
            self._environment.tracer = None
        tracer.end(int(self._output.block_gas_used) - used)

    def finish(self, withdrawals: Sequence[Withdrawal]) -> ExecutedPayload:
        """Pay the withdrawals, compute the tries of the new state and the header. Raises `BrokenRule`."""
        try:
            minted = tuple(
                blocks.Withdrawal(U64(w.index), U64(w.validator_index), Address(w.address), U256(w.amount))
                for w in withdrawals
            )
            fork.process_withdrawals(self._environment, self._output, minted)
        except EXECUTION_ERRORS as error:
            raise BrokenRule(f"withdrawals: {words(error)}") from error
        changes = self._state.finish()
        header = attrs.evolve(
            self._frame,
            state_root=changes.root,
            transactions_root=indexed_root(self._transactions),
            receipts_root=indexed_root(self._receipts),
            withdrawals_root=indexed_root([encode_withdrawal(withdrawal) for withdrawal in withdrawals]),
            logs_bloom=_joined_bloom(self._receipts),
            gas_used=int(self._output.block_gas_used),
            blob_gas_used=int(self._output.blob_gas_used),
        )
        return ExecutedPayload(
            header=with_hash(header),
            transactions=tuple(self._transactions),
            withdrawals=tuple(withdrawals),
            receipts=tuple(self._receipts),
            changes=changes,
            accounts=self._state.known(),
        )


def prepare(signed: SignedTransaction) -> PreparedTransaction:
    """Convert a transaction to the specification's type. Raises `BrokenRule`.

    It is decoded already; the specification's decoder would take as long as the whole execution of a transfer.
    """
    sender = Address(signed.sender)
    if signed.type == BLOB:
        return _prepare_blob(signed, sender)
    to = Bytes0(b"") if signed.to is None else Address(signed.to)
    signature = (U256(signed.r), U256(signed.s))
    body = (Uint(signed.gas), to, U256(signed.value), Bytes(signed.data))
    if signed.type == LEGACY:
        legacy = transactions.LegacyTransaction(
            U256(signed.nonce), Uint(signed.max_fee), *body, U256(signed.v), *signature
        )
        return PreparedTransaction(legacy, legacy, sender, signed.impersonated)
    access_list = tuple(
        transactions.Access(Address(address), tuple(Bytes32(key) for key in keys))
        for address, keys in signed.access_list
    )
    chain_id, nonce, max_fee = U64(signed.chain_id or 0), U256(signed.nonce), Uint(signed.max_fee)
    rest = (access_list, U256(signed.v), *signature)
    if signed.type == ACCESS_LIST:
        typed = transactions.AccessListTransaction(chain_id, nonce, max_fee, *body, *rest)
    else:
        tip = Uint(signed.max_priority_fee)
        typed = transactions.FeeMarketTransaction(chain_id, nonce, tip, max_fee, *body, *rest)
    return PreparedTransaction(typed, Bytes(signed.raw), sender, signed.impersonated)


def _prepare_blob(signed: SignedTransaction, sender: Address) -> PreparedTransaction:
    """Convert a transaction that only another client's block may contain."""
    try:
        encoded = Bytes(signed.raw)
        return PreparedTransaction(transactions.decode_transaction(encoded), encoded, sender)
    except EXECUTION_ERRORS as error:
        raise BrokenRule(f"cannot be decoded: {words(error)}") from error


def store_beacon_root(environment: Environment) -> None:
    """Call the contract that keeps the beacon roots (EIP-4788). A call that fails changes nothing.

    Raises `OutOfTime`, after which the state must not be used.

    On a development chain and in simulations, clients can give the contract other code, and any account so much
    that its balance overflows when this code pays it.
    """
    world: Any = environment.state
    world.checkpoint()
    try:
        fork.process_unchecked_system_transaction(
            block_env=environment,
            target_address=fork.BEACON_ROOTS_ADDRESS,
            data=environment.parent_beacon_block_root,
        )
    except OverflowError:
        world.abandon()


def words(error: BaseException) -> str:
    """The text of an error of the specification; many of its errors have only a class name."""
    text = " ".join(str(error).split())
    if isinstance(error, OverflowError) and not text:
        return TOO_LARGE
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _joined_bloom(receipts: Sequence[bytes]) -> bytes:
    """The block's bloom filter: the union of its receipts' filters."""
    joined = 0
    for encoded in receipts:
        body = encoded if encoded[0] >= 0xC0 else encoded[1:]
        joined |= int.from_bytes(as_bytes(as_list(decode(body), 4)[2], 256), "big")
    return joined.to_bytes(256, "big")
