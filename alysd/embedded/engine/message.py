"""The execution of a message without a transaction: the specification's steps between checks and receipt."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import attrs

from alysd.embedded.engine.eels import Environment
from alysd.embedded.engine.error_words import COLLISION, REVERTED, words_of
from alysd.embedded.engine.intrinsic_gas import gas_before_code
from alysd.embedded.engine.precompiled.fault_words import OUT_OF_GAS, contract_fault
from alysd.embedded.engine.specification import (
    PRECOMPILED,
    U256,
    Address,
    Bytes,
    Bytes0,
    Bytes32,
    EthereumException,
    Uint,
    compute_contract_address,
    exceptions,
    interpreter,
    prepare_message,
    state,
    vm,
)
from alysd.embedded.engine.tracing.tracer import EvmTracer, TraceStart
from alysd.embedded.engine.tracing.words_tracer import WordsTracer
from alysd.embedded.engine.values import CallRequest, CallResult
from alysd.errors import Refused

_REFUND_DIVISOR = 5
"""The refund is at most one fifth of the gas used (EIP-3529)."""


_CLEAR = (REVERTED, COLLISION, "invalid opcode", "invalid jump destination")
"""The beginnings of the errors for which geth has no other words."""


class BalanceTooLarge(Refused):
    """A balance exceeds 256 bits, which only a caller's override can cause."""

    def __str__(self) -> str:
        return "a balance exceeds 2^256 - 1 wei: override it with less"


@contextmanager
def _balances_fit() -> Generator[None]:
    try:
        yield
    except OverflowError as error:
        raise BalanceTooLarge from error


@attrs.frozen
class MessageOutcome:
    """The result of a message, with the values that an estimate of its gas needs."""

    result: CallResult
    refund: int
    out_of_gas: bool
    logs: tuple[Any, ...] = ()
    destroyed: frozenset[Address] = frozenset()
    """The contracts that are deleted at the end of the transaction."""

    @property
    def unclear(self) -> bool:
        """Whether geth can have other words for the error, which only a tracer knows (`explained_by`)."""
        error = self.result.error
        return error is not None and not error.startswith(_CLEAR)

    def explained_by(self, tracer: WordsTracer) -> "MessageOutcome":
        """The same outcome, with the words of the same message's execution with a tracer."""
        return attrs.evolve(self, result=attrs.evolve(self.result, error=tracer.error or self.result.error))


def intrinsic_gas(request: CallRequest) -> int:
    """Gas that a message uses before its first instruction."""
    keys = [len(keys) for _, keys in request.access_list]
    return gas_before_code(request.data, creates=request.to is None, access_list_keys=keys)


def run_message(environment: Environment, request: CallRequest, gas: int) -> MessageOutcome:
    """Execute the message with `gas`, which is at least `intrinsic_gas` and which the sender can pay for.

    Raises `OutOfTime` when the environment's time budget is used up, and `BalanceTooLarge`.
    """
    world, sender = environment.state, Address(request.sender)
    price = _price(environment, request)
    account = state.get_account(world, sender)
    listed = [(Address(address), [Bytes32(slot) for slot in slots]) for address, slots in request.access_list]
    state.increment_nonce(world, sender)
    state.set_account_balance(world, sender, account.balance - U256(gas * price))
    transaction_environment = vm.TransactionEnvironment(
        origin=sender,
        gas_price=Uint(price),
        gas=Uint(gas) - Uint(intrinsic_gas(request)),
        access_list_addresses={environment.coinbase, *(address for address, _ in listed)},
        access_list_storage_keys={(address, slot) for address, slots in listed for slot in slots},
        transient_storage=state.TransientStorage(),
        blob_versioned_hashes=(),
        index_in_block=None,
        tx_hash=None,
    )
    to = Bytes0(b"") if request.to is None else Address(request.to)
    given: Any = _Given(to, U256(request.value), Bytes(request.data))
    message = prepare_message(environment, transaction_environment, given)
    creates = isinstance(message.target, Bytes0)
    if creates and _collides(world, message.current_target):
        return MessageOutcome(CallResult(False, gas, b"", COLLISION), 0, out_of_gas=False)
    with _balances_fit():
        evm = interpreter.process_create_message(message) if creates else interpreter.process_message(message)
    used = gas - int(evm.gas_left)
    refund = 0 if evm.error else min(used // _REFUND_DIVISOR, int(evm.refund_counter))
    words = None if evm.error is None else _error_words(message, evm.error)
    return MessageOutcome(
        CallResult(
            succeeded=evm.error is None,
            gas_used=used - refund,
            output=bytes(evm.output),
            error=words,
        ),
        refund,
        # The specification checks the input of a precompiled contract before the gas, and geth after it.
        isinstance(evm.error, exceptions.OutOfGasError) or words == OUT_OF_GAS,
        logs=() if evm.error else evm.logs,
        destroyed=frozenset() if evm.error else frozenset(evm.accounts_to_delete),
    )


def _error_words(message: vm.Message, error: EthereumException) -> str:
    """The text of geth for the error of a message, which may be to a precompiled contract."""
    if message.code_address in PRECOMPILED and not isinstance(error, exceptions.OutOfGasError):
        number = int.from_bytes(message.code_address or b"", "big")
        return contract_fault(number, bytes(message.data), int(message.gas), affordable=True)
    return words_of(error)


def settle_message(environment: Environment, request: CallRequest, gas: int, outcome: MessageOutcome) -> None:
    """Settle a message, as at the end of a transaction.

    The sender gets the gas that is left, the fee is paid, and destroyed contracts are deleted.
    """
    world, sender, coinbase = environment.state, Address(request.sender), environment.coinbase
    price, used = _price(environment, request), outcome.result.gas_used
    balance = state.get_account(world, sender).balance + U256((gas - used) * price)
    state.set_account_balance(world, sender, balance)
    fee = used * max(0, price - int(environment.base_fee_per_gas))
    with _balances_fit():
        state.set_account_balance(world, coinbase, state.get_account(world, coinbase).balance + U256(fee))
    for address in outcome.destroyed:
        state.destroy_account(world, address)


def trace_message(environment: Environment, request: CallRequest, gas: int, tracer: EvmTracer) -> int:
    """Execute the message as a transaction, with a tracer. Return the gas that it used. Raises `OutOfTime`."""
    sender = Address(request.sender)
    nonce = state.get_account(environment.state, sender).nonce
    to = compute_contract_address(sender, nonce) if request.to is None else Address(request.to)
    tracer.begin(TraceStart(environment.state, sender, to, request.to is None, environment.coinbase, gas))
    environment.tracer = tracer
    try:
        outcome = run_message(environment, request, gas)
    finally:
        environment.tracer = None
    settle_message(environment, request, gas, outcome)
    tracer.end(outcome.result.gas_used)
    return outcome.result.gas_used


def _price(environment: Environment, request: CallRequest) -> int:
    """The price that the message pays for a unit of gas, in wei (EIP-1559)."""
    return min(request.max_fee, int(environment.base_fee_per_gas) + request.max_priority_fee)


@attrs.frozen
class _Given:
    """The fields of a transaction that the specification's `prepare_message` reads."""

    to: Bytes0 | Address
    value: U256
    data: Bytes


def _collides(world: state.State, address: Address) -> bool:
    """Whether a contract cannot be created at the address (EIP-684, EIP-7610)."""
    return state.account_has_code_or_nonce(world, address) or state.account_has_storage(world, address)
