"""The execution of a message on the state after a block, without keeping its effects (eth_call, eth_estimateGas).

Calls only read the state, so they can run in any worker thread while another thread executes blocks. The error
texts are those of geth, because tools search for them (go-ethereum 1.17, core/error.go, core/vm/errors.go,
eth/gasestimator).
"""

import time
from collections.abc import Sequence

import attrs

from alysd.embedded.engine.block_execution import environment_of
from alysd.embedded.engine.eels import EelsState
from alysd.embedded.engine.environment import AncestorHashes, Environment
from alysd.embedded.engine.message import MessageOutcome, run_message, trace_message
from alysd.embedded.engine.message_checks import MessageRefused, Mistake, check_message
from alysd.embedded.engine.overrides import NO_OVERRIDES, HashesAt, Overrides, override_state
from alysd.embedded.engine.precompiled.fault_words import OUT_OF_GAS
from alysd.embedded.engine.reader import Reader
from alysd.embedded.engine.specification import Address, Bytes32, Uint
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.tracing.tracer import EvmTracer
from alysd.embedded.engine.tracing.words_tracer import WordsTracer
from alysd.embedded.engine.trie_state import KeptSlots, TrieSource
from alysd.embedded.engine.values import AccountState, CallRequest, CallResult
from alysd.errors import Refused
from alysd.types.execution import ExecutionHeader

GAS_CAP = 50_000_000
"""The maximum gas of a call, as in geth."""

CALL_SECONDS = 5.0
"""The maximum time of a call in seconds, as in geth."""

EXPLAIN_SECONDS = 0.25
"""The maximum time, in seconds, of the second execution of a failed call, which finds the words for its error."""

_TRANSFER_GAS = 21_000
_CALL_STIPEND = 2_300
_ESTIMATE_TOLERANCE = 0.015
"""The fraction by which an estimate may be too high, as in geth. An exact estimate would need 50 % more runs."""


class CallRefused(Refused):
    """A call that cannot be executed; the message is geth's."""


@attrs.frozen(str=False)
class CallTimeout(Refused):
    """A call took longer than `seconds`."""

    seconds: float

    def __str__(self) -> str:
        return f"execution aborted (timeout = {self.seconds:g}s)"


@attrs.frozen(str=False)
class EstimateFailed(Refused):
    """The message fails even with the maximum gas. `result` is the result of that execution."""

    result: CallResult

    def __str__(self) -> str:
        return self.result.error or "execution failed"


class Calls:
    """Executes messages without keeping their effects. Several threads may use it at the same time."""

    def __init__(self, store: TrieSource, reader: Reader, chain_id: int) -> None:
        self.source = self._world = CallSource(store, reader, chain_id)
        self._reader = reader

    def call(
        self,
        header: ExecutionHeader,
        request: CallRequest,
        *,
        overrides: Overrides = NO_OVERRIDES,
        gas_cap: int = GAS_CAP,
        seconds: float = CALL_SECONDS,
        in_loop: bool = False,
    ) -> CallResult:
        """Execute the message on the state after `header`'s block, in that block's environment.

        With `in_loop`, `seconds` are processor time, because the event loop has to wait for a busy machine anyway,
        and the words of an error are not searched, which takes up to `EXPLAIN_SECONDS`: it is a `CallTimeout`.
        Raises `CallTimeout` and `StatePruned`, and `CallRefused` for a message that no block could have.
        """
        gas = gas_cap if request.gas is None else min(request.gas, gas_cap)
        budget = TimeBudget(seconds, clock=time.thread_time if in_loop else time.monotonic)
        try:
            with self._reader.state_of(header):
                execution = Execution(self._world, header, overrides, request, budget)
                outcome = execution.run(gas)
                if in_loop and outcome.unclear:
                    raise CallTimeout(seconds)
                return execution.explained(outcome, gas).result
        except MessageRefused as error:
            raise CallRefused(f"err: {error} (supplied gas {gas})") from error
        except OutOfTime as error:
            raise CallTimeout(seconds) from error

    def estimate_gas(
        self,
        header: ExecutionHeader,
        request: CallRequest,
        *,
        overrides: Overrides = NO_OVERRIDES,
        gas_cap: int = GAS_CAP,
        seconds: float = CALL_SECONDS,
    ) -> int:
        """Estimate the gas that the message needs to succeed, by bisection. The result is at most 1.5 % too high.

        Raises `EstimateFailed`, `CallTimeout`, `CallRefused` and `StatePruned`.
        """
        budget = TimeBudget(seconds)
        try:
            with self._reader.state_of(header):
                execution = Execution(self._world, header, overrides, request, budget)
                return execution.least_gas(gas_cap)
        except OutOfTime as error:
            raise CallTimeout(seconds) from error


@attrs.frozen
class CallSource:
    """The states, the chain and the chain id from which a call is executed."""

    store: TrieSource
    reader: Reader
    chain_id: int
    slots: KeptSlots = attrs.Factory(KeptSlots)


class Execution:
    """The executions of one message, each on a new state with the overrides."""

    def __init__(
        self,
        world: CallSource,
        header: ExecutionHeader,
        overrides: Overrides,
        request: CallRequest,
        budget: TimeBudget,
        *,
        follows: bool = False,
    ) -> None:
        """With `follows`, a call in the next block sees the hash of this block, as in geth's traces."""
        self._follows = follows
        self._world = world
        self._original = header
        self._header = overrides.block.applied(header)
        self._overrides = overrides
        self._request = request
        self._budget = budget
        self._seconds = 0.0

    def run(self, gas: int) -> MessageOutcome:
        """Execute the message with this much gas. Raises `MessageRefused` and `OutOfTime`."""
        state = self._state()
        self._check(state, gas)
        left = self._budget.left()
        outcome = run_message(self._environment(state), self._request, gas)
        self._seconds = left - self._budget.left()
        return outcome

    def explained(self, outcome: MessageOutcome, gas: int) -> MessageOutcome:
        """The outcome of `run` with this much gas, with geth's words for its error, if they are soon found."""
        if not outcome.unclear or self._seconds > EXPLAIN_SECONDS:
            return outcome  # with a tracer it would take longer than without
        tracer, state = WordsTracer(), self._state()
        environment = self._environment(state)
        environment.budget = TimeBudget(EXPLAIN_SECONDS)
        environment.tracer = tracer
        try:
            run_message(environment, self._request, gas)
        except OutOfTime:
            return outcome
        return outcome.explained_by(tracer)

    def trace(self, gas: int, tracer: EvmTracer, state: EelsState | None = None) -> int:
        """Execute the message as a transaction, with a tracer. Returns the gas used.

        The message is executed on `state`, by default the state after the block. Raises `MessageRefused` and
        `OutOfTime`.
        """
        state = self._state(state)
        self._check(state, gas)
        return trace_message(self._environment(state), self._request, gas, tracer)

    def least_gas(self, gas_cap: int) -> int:
        """The least gas with which the message succeeds, by bisection, or up to 1.5 % more.

        Raises `CallRefused`, `EstimateFailed` and `OutOfTime`.
        """
        state = self._state()
        most = self._allowance(state, gas_cap)
        request = self._request
        plain = request.to is not None and not request.data and not state.get_account(Address(request.to)).code
        if plain and most >= _TRANSFER_GAS and self._succeeds(_TRANSFER_GAS):
            return _TRANSFER_GAS
        try:
            first = self.run(most)
        except MessageRefused as error:
            if error.mistake is Mistake.INTRINSIC_GAS:
                raise CallRefused(f"gas required exceeds allowance ({most})") from error
            raise CallRefused(f"failed with {most} gas: {error}") from error
        if not first.result.succeeded:
            # Too little gas for the code of a new contract is the same error in the specification.
            last = first if first.out_of_gas and request.to is not None else self.explained(first, most)
            if first.out_of_gas and (last.result.error or "").startswith(OUT_OF_GAS):
                raise CallRefused(f"gas required exceeds allowance ({most})")
            raise EstimateFailed(last.result)
        # The gas used is a lower bound: each inner call reserves a 64th of the gas, and refunds come only at the
        # end.
        least, enough = first.result.gas_used - 1, most
        likely = (first.result.gas_used + first.refund + _CALL_STIPEND) * 64 // 63
        if likely < enough:
            least, enough = (least, likely) if self._succeeds(likely) else (likely, enough)
        while least + 1 < enough and (enough - least) / enough >= _ESTIMATE_TOLERANCE:
            guess = min((least + enough) // 2, 2 * least)  # most messages need far less than the limit
            least, enough = (least, guess) if self._succeeds(guess) else (guess, enough)
        return enough

    def _succeeds(self, gas: int) -> bool:
        try:
            return self.run(gas).result.succeeded
        except MessageRefused:
            return False

    def _allowance(self, state: EelsState, gas_cap: int) -> int:
        """The maximum gas to try.

        This is the gas limit of the request, or of the block if the request has no limit that allows a transfer.
        It is reduced to the gas that the sender can pay for, and to `gas_cap`.
        """
        request = self._request
        most = request.gas if request.gas is not None and request.gas >= _TRANSFER_GAS else self._header.gas_limit
        if request.max_fee:
            balance = int(state.get_account(Address(request.sender)).balance)
            if balance <= request.value:
                raise CallRefused("insufficient funds for transfer")
            most = min(most, (balance - request.value) // request.max_fee)
        return min(most, gas_cap)

    def _state(self, before: EelsState | None = None) -> EelsState:
        state = before
        if state is None:
            state = EelsState(self._world.store, self._original.state_root, self._known(), self._world.slots)
        override_state(state, self._overrides.accounts)
        return state

    def _known(self) -> dict[bytes, AccountState | None]:
        """The accounts of the message, which were often read for a call before this one."""
        root, record_at = self._original.state_root, self._world.reader.record_at
        addresses = (self._request.sender, self._request.to)
        return {address: record_at(root, address) for address in addresses if address is not None}

    def _environment(self, state: EelsState) -> Environment:
        made = environment_of(self._header, state, self._ancestors(), self._world.chain_id, self._budget)
        if not self._request.max_fee:
            made.base_fee_per_gas = Uint(0)  # as in geth, so that a message without a price is not refused
        return made

    def _ancestors(self) -> Sequence[Bytes32]:
        header, needed = self._original, self._world.reader.needed_header
        if self._follows and self._header.number == header.number + 1:
            return AncestorHashes(header, needed)
        parent = needed(header.parent_hash) if header.number else header
        found = AncestorHashes(parent, needed)
        return found if self._header.number == header.number else HashesAt(found, self._header.number)

    def _check(self, state: EelsState, gas: int) -> None:
        """Raise `MessageRefused` for a message that no block could have."""
        balance = int(state.get_account(Address(self._request.sender)).balance)
        check_message(self._request, gas, self._header.base_fee, balance)
