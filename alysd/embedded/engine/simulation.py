"""The execution of blocks of calls that build on each other, without keeping them (eth_simulateV1).

The order of the checks and their words are geth's (go-ethereum 1.17, internal/ethapi/simulate.go and
core/state_transition.go).
"""

from collections.abc import Sequence
from typing import Any

import attrs

from alysd.embedded.engine.block_execution import EXECUTION_ERRORS, store_beacon_root, words
from alysd.embedded.engine.calls import EXPLAIN_SECONDS, CallSource
from alysd.embedded.engine.eels import EelsState
from alysd.embedded.engine.environment import AncestorHashes, Environment, environment_of
from alysd.embedded.engine.layered_source import LayeredSource
from alysd.embedded.engine.message import (
    MessageOutcome,
    run_message,
    settle_message,
)
from alysd.embedded.engine.message_checks import MessageRefused, Mistake, check_message, check_nonce
from alysd.embedded.engine.overrides import override_state
from alysd.embedded.engine.precompiled.fault_words import OUT_OF_GAS
from alysd.embedded.engine.rules import next_base_fee, next_excess_blob_gas
from alysd.embedded.engine.simulated_block import Assembly, transaction_of
from alysd.embedded.engine.simulated_values import (
    BLOCK_GAS_LIMIT,
    CLIENT_LIMIT,
    INVALID,
    TIMEOUT,
    SimulatedBlock,
    SimulatedBlockResult,
    SimulatedCall,
    SimulationOptions,
    SimulationRefused,
    in_order,
)
from alysd.embedded.engine.specification import U64, U256, Address, blocks, fork, vm
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.tracing.transfer_tracer import TransferTracer
from alysd.embedded.engine.tracing.words_tracer import WordsTracer
from alysd.embedded.engine.values import CallRequest
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import PayloadHash
from alysd.types.units import Wei
from alysd.wire.trie import EMPTY_ROOT

_CODES = {
    Mistake.NONCE_TOO_LOW: -38010,
    Mistake.NONCE_TOO_HIGH: -38011,
    Mistake.TIP_ABOVE_FEE: INVALID,
    Mistake.FEE_BELOW_BASE_FEE: -38012,
    Mistake.FUNDS: -38014,
    Mistake.INTRINSIC_GAS: -38013,
    Mistake.INIT_CODE: -38025,
}
"""The error codes of refused messages (execution-apis, eth_simulateV1)."""


@attrs.frozen
class SimulationLimits:
    """The most gas, time in seconds, and bytes of output of all calls of one simulation."""

    gas: int
    seconds: float
    answer_bytes: int


def simulate(
    source: CallSource,
    base: ExecutionHeader,
    wanted: Sequence[SimulatedBlock],
    options: SimulationOptions,
    limits: SimulationLimits,
) -> list[SimulatedBlockResult]:
    """Execute blocks after the block `base`. Raises `SimulationRefused` and `StatePruned`."""
    placed = in_order(base, wanted)
    simulation = _Simulation(source, base, options, limits)
    try:
        with source.reader.state_of(base):
            return [simulation.block(block) for block in placed]
    except OutOfTime as error:
        raise SimulationRefused(TIMEOUT, f"execution aborted (timeout = {limits.seconds:g}s)") from error


class _Simulation:
    """The chain of simulated blocks so far, and what is left of the limits."""

    def __init__(
        self, source: CallSource, base: ExecutionHeader, options: SimulationOptions, limits: SimulationLimits
    ) -> None:
        self._source = source
        self._options = options
        self._parent = base
        self._records = LayeredSource(source.store)
        self._headers: dict[bytes, ExecutionHeader] = {base.hash: base}
        self._budget = TimeBudget(limits.seconds)
        self._gas = limits.gas
        self._limits = limits
        self._room = limits.answer_bytes

    def block(self, wanted: SimulatedBlock) -> SimulatedBlockResult:
        """Execute the next block. Raises `SimulationRefused`, and `OutOfTime`."""
        self._budget.check()
        header = self._frame(wanted)
        state = EelsState(self._records, self._parent.state_root)
        override_state(state, wanted.overrides.accounts)
        ancestors = AncestorHashes(self._parent, self._header)
        environment = environment_of(header, state, ancestors, self._source.chain_id, self._budget)
        store_beacon_root(environment)
        assembly = Assembly(header)
        for call in wanted.calls:
            self._add(call, environment, assembly)
        self._withdraw(environment, wanted)
        changes = state.finish()
        self._records.add(changes)
        result = assembly.finish(changes.root, wanted.withdrawals)
        self._parent = result.block.header
        self._headers[self._parent.hash] = self._parent
        return result

    def _header(self, block: bytes) -> ExecutionHeader:
        return self._headers.get(block) or self._source.reader.needed_header(block)

    def _frame(self, wanted: SimulatedBlock) -> ExecutionHeader:
        """The header, with the fields that are known before the execution."""
        parent = self._parent
        base_fee = Wei(0)
        if self._options.validation:
            base_fee = next_base_fee(parent) if parent.gas_limit > 1 else parent.base_fee
        frame = attrs.evolve(
            parent,
            hash=PayloadHash(b""),
            parent_hash=parent.hash,
            transactions_root=EMPTY_ROOT,
            receipts_root=EMPTY_ROOT,
            logs_bloom=bytes(256),
            gas_used=0,
            extra_data=b"",
            prev_randao=bytes(32),
            base_fee=base_fee,
            withdrawals_root=EMPTY_ROOT,
            blob_gas_used=0,
            excess_blob_gas=next_excess_blob_gas(parent),
            parent_beacon_block_root=wanted.beacon_root,
        )
        return wanted.overrides.block.applied(frame)

    def _add(self, call: SimulatedCall, environment: Environment, assembly: Assembly) -> None:
        """Execute a call as the next transaction of a block."""
        self._budget.check()
        world: Any = environment.state
        account = world.get_account(Address(call.request.sender))
        nonce = int(account.nonce) if call.nonce is None else call.nonce
        left = assembly.gas_left
        asked = left if call.request.gas is None else call.request.gas
        if asked > left:
            words_ = f"block gas limit reached: remaining: {left}, required: {asked}"
            raise SimulationRefused(BLOCK_GAS_LIMIT, words_)
        gas = min(asked, self._gas)
        self._check(call.request, nonce, gas, assembly.header.base_fee, account)
        signed = transaction_of(call, nonce, gas, self._source.chain_id)
        world.checkpoint()
        outcome, logs = self._run(call.request, gas, environment)
        settle_message(environment, call.request, gas, outcome)
        self._gas -= outcome.result.gas_used
        self._take(len(outcome.result.output) + sum(200 + len(log.data) for log in logs or outcome.logs))
        assembly.add(signed, outcome, logs, capped=gas < asked and outcome.result.error == OUT_OF_GAS)

    def _run(
        self, request: CallRequest, gas: int, environment: Environment
    ) -> tuple[MessageOutcome, tuple[Any, ...] | None]:
        """Execute a message. Returns its result, and its logs with transfers, if they are wanted."""
        if self._options.transfers:
            transfers = TransferTracer()
            outcome = self._trace(request, gas, environment, transfers)
            return outcome.explained_by(transfers), transfers.logs
        left = self._budget.left()
        outcome = run_message(environment, request, gas)
        if outcome.unclear and left - self._budget.left() < EXPLAIN_SECONDS:
            outcome = self._explained(outcome, request, gas, environment)
        return outcome, None

    def _explained(
        self, outcome: MessageOutcome, request: CallRequest, gas: int, environment: Environment
    ) -> MessageOutcome:
        """Execute the message again, to find geth's words for its error."""
        world: Any = environment.state
        world.abandon()
        tracer = WordsTracer()
        environment.budget = TimeBudget(EXPLAIN_SECONDS)
        try:
            self._trace(request, gas, environment, tracer)
        except OutOfTime:
            world.abandon()
            environment.budget = self._budget
            run_message(environment, request, gas)
        environment.budget = self._budget
        return outcome.explained_by(tracer)

    def _trace(
        self, request: CallRequest, gas: int, environment: Environment, tracer: WordsTracer
    ) -> MessageOutcome:
        environment.tracer = tracer
        try:
            return run_message(environment, request, gas)
        finally:
            environment.tracer = None

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            most = self._limits.answer_bytes
            raise SimulationRefused(CLIENT_LIMIT, f"the calls return more than {most} bytes: simulate fewer")

    def _check(self, request: CallRequest, nonce: int, gas: int, base_fee: int, account: Any) -> None:
        """Raise `SimulationRefused` for a message that no block could have."""
        validation = self._options.validation
        try:
            if validation:
                check_nonce(request, nonce, int(account.nonce))
            check_message(request, gas, base_fee, int(account.balance), free=not validation)
        except MessageRefused as error:
            raise SimulationRefused(_CODES[error.mistake], f"err: {error} (supplied gas {gas})") from error

    def _withdraw(self, environment: Environment, wanted: SimulatedBlock) -> None:
        minted = tuple(
            blocks.Withdrawal(U64(w.index), U64(w.validator_index), Address(w.address), U256(w.amount))
            for w in wanted.withdrawals
        )
        try:
            fork.process_withdrawals(environment, vm.BlockOutput(), minted)
        except EXECUTION_ERRORS as error:
            raise SimulationRefused(INVALID, f"withdrawals: {words(error)}") from error
