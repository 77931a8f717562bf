"""The execution of a message without a transaction: the specification's steps between checks and receipt."""

import attrs

from alysd.embedded.engine.eels import Environment
from alysd.embedded.engine.specification import (
    U64,
    U256,
    Address,
    Bytes,
    Bytes0,
    Bytes32,
    EthereumException,
    Uint,
    exceptions,
    interpreter,
    prepare_message,
    state,
    transactions,
    vm,
)
from alysd.embedded.engine.values import CallRequest, CallResult

_REFUND_DIVISOR = 5
"""The refund is at most one fifth of the gas used (EIP-3529)."""

_WORDS: dict[type[EthereumException], str] = {
    exceptions.Revert: "execution reverted",
    exceptions.OutOfGasError: "out of gas",
    exceptions.StackUnderflowError: "stack underflow",
    exceptions.StackOverflowError: "stack limit reached 1024 (1023)",
    exceptions.InvalidJumpDestError: "invalid jump destination",
    exceptions.WriteInStaticContext: "write protection",
    exceptions.OutOfBoundsRead: "return data out of bounds",
    exceptions.InvalidContractPrefix: "invalid code: must not begin with 0xef",
    exceptions.AddressCollision: "contract address collision",
    exceptions.StackDepthLimitError: "max call depth exceeded",
}
"""The texts of geth for the specification's errors (core/vm/errors.go)."""


@attrs.frozen
class MessageOutcome:
    """The result of a message, with the values that an estimate of its gas needs."""

    result: CallResult
    refund: int
    out_of_gas: bool


def intrinsic_gas(request: CallRequest) -> int:
    """Gas that a message uses before its first instruction."""
    return int(transactions.calculate_intrinsic_cost(_transaction(request, 0, 0, 0)))


def run_message(environment: Environment, request: CallRequest, gas: int) -> MessageOutcome:
    """Execute the message with `gas`, which is at least `intrinsic_gas` and which the sender can pay for.

    Raises `OutOfTime` when the environment's time budget is used up.
    """
    world, sender = environment.state, Address(request.sender)
    base_fee = int(environment.base_fee_per_gas)
    price = min(request.max_fee, base_fee + request.max_priority_fee)
    account = state.get_account(world, sender)
    transaction = _transaction(request, gas, int(account.nonce), int(environment.chain_id))
    state.increment_nonce(world, sender)
    state.set_account_balance(world, sender, account.balance - U256(gas * price))
    transaction_environment = vm.TransactionEnvironment(
        origin=sender,
        gas_price=Uint(price),
        gas=Uint(gas) - transactions.calculate_intrinsic_cost(transaction),
        access_list_addresses={environment.coinbase, *(entry.account for entry in transaction.access_list)},
        access_list_storage_keys={
            (entry.account, slot) for entry in transaction.access_list for slot in entry.slots
        },
        transient_storage=state.TransientStorage(),
        blob_versioned_hashes=(),
        index_in_block=None,
        tx_hash=None,
    )
    message = prepare_message(environment, transaction_environment, transaction)
    if not isinstance(message.target, Bytes0):
        evm = interpreter.process_message(message)
    elif _collides(world, message.current_target):
        return MessageOutcome(
            CallResult(False, gas, b"", _WORDS[exceptions.AddressCollision]), 0, out_of_gas=False
        )
    else:
        evm = interpreter.process_create_message(message)
    used = gas - int(evm.gas_left)
    refund = 0 if evm.error else min(used // _REFUND_DIVISOR, int(evm.refund_counter))
    return MessageOutcome(
        CallResult(
            succeeded=evm.error is None,
            gas_used=used - refund,
            output=bytes(evm.output),
            error=None if evm.error is None else _words(evm.error),
        ),
        refund,
        isinstance(evm.error, exceptions.OutOfGasError),
    )


def _transaction(request: CallRequest, gas: int, nonce: int, chain_id: int) -> transactions.FeeMarketTransaction:
    """The message as a transaction without a signature."""
    return transactions.FeeMarketTransaction(
        chain_id=U64(chain_id),
        nonce=U256(nonce),
        max_priority_fee_per_gas=Uint(request.max_priority_fee),
        max_fee_per_gas=Uint(request.max_fee),
        gas=Uint(gas),
        to=Bytes0(b"") if request.to is None else Address(request.to),
        value=U256(request.value),
        data=Bytes(request.data),
        access_list=tuple(
            transactions.Access(Address(address), tuple(Bytes32(slot) for slot in slots))
            for address, slots in request.access_list
        ),
        y_parity=U256(0),
        r=U256(0),
        s=U256(0),
    )


def _collides(world: state.State, address: Address) -> bool:
    """Whether a contract cannot be created at the address (EIP-684, EIP-7610)."""
    return state.account_has_code_or_nonce(world, address) or state.account_has_storage(world, address)


def _words(error: EthereumException) -> str:
    if isinstance(error, exceptions.InvalidOpcode):
        return f"invalid opcode: opcode 0x{error.code:x} not defined"
    return _WORDS.get(type(error), type(error).__name__)
