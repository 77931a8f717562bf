"""Runs the Ethereum Execution Layer Specification (EELS), fork Cancun, on the node's own state.

The specification's modules import each other's functions by name. `_install` replaces some of these functions in
every module of the fork. For an `EelsState`, the replacement calls the state's method. For the specification's own
state, it calls the original function, so that tests can use both kinds of state in one process.
"""

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import attrs

from alysd.embedded.engine.environment import EelsState, Environment
from alysd.embedded.engine.fast_interpreter import process_message
from alysd.embedded.engine.intrinsic_gas import intrinsic_cost
from alysd.embedded.engine.precompiled.contracts import CONTRACTS, Contract
from alysd.embedded.engine.specification import (
    U64,
    Account,
    Address,
    Bytes,
    Uint,
    fork,
    interpreter,
    mapping,
    rlp,
    state,
    transactions,
    vm,
)
from alysd.embedded.engine.tracing import interpreter as tracing
from alysd.embedded.engine.trie_state import TrieState

_STATE_METHODS: dict[str, Callable[..., Any]] = {
    "get_account": TrieState.get_account,
    "get_account_optional": TrieState.get_account_optional,
    "set_account": TrieState.set_account,
    "set_account_balance": TrieState.set_account_balance,
    "increment_nonce": TrieState.increment_nonce,
    "move_ether": TrieState.move_ether,
    "mark_account_created": TrieState.mark_account_created,
    "get_storage": TrieState.get_storage,
    "set_storage": TrieState.set_storage,
    "get_storage_original": TrieState.get_storage_original,
    "destroy_storage": TrieState.destroy_storage,
    "account_has_storage": TrieState.account_has_storage,
}
"""The functions of the specification's module `state` that access its storage. Its other functions call these."""

_TRANSACTION_METHODS: dict[str, Callable[[TrieState], None]] = {
    "begin_transaction": TrieState.begin,
    "commit_transaction": TrieState.commit,
    "rollback_transaction": TrieState.rollback,
}


@attrs.frozen
class PreparedTransaction:
    """A transaction of the specification's type, with the sender and the encoding, which are expensive to compute.

    `encoded` is the result of the specification's `encode_transaction`: bytes, or the object of a legacy
    transaction.
    """

    transaction: transactions.Transaction
    encoded: transactions.LegacyTransaction | Bytes
    sender: Address
    impersonated: bool = False


_current = threading.local()
"""The prepared transaction that this thread is executing, and whether it uses the specification's loop."""


def process_transaction(
    environment: Environment, output: vm.BlockOutput, prepared: PreparedTransaction, index: int
) -> None:
    """Execute one transaction of a block. Raises the specification's errors, or `OutOfTime`."""
    _current.prepared = prepared
    try:
        fork.process_transaction(environment, output, prepared.transaction, Uint(index))
    finally:
        del _current.prepared


def _install() -> None:
    """Replace the fork's functions. Called once, when this module is imported."""
    replacements: dict[int, Callable[..., Any]] = {}
    for name, method in _STATE_METHODS.items():
        stock = getattr(state, name)
        replacements[id(stock)] = _routed(stock, method)
    for name, method in _TRANSACTION_METHODS.items():
        stock = getattr(state, name)
        replacements[id(stock)] = _routed_transaction(stock, method)
    replacements[id(interpreter.process_message)] = _process_message(interpreter.process_message)
    replacements[id(interpreter.process_create_message)] = _process_create_message(
        interpreter.process_create_message
    )
    replacements[id(transactions.calculate_intrinsic_cost)] = intrinsic_cost
    replacements[id(transactions.recover_sender)] = _recover_sender(transactions.recover_sender)
    replacements[id(fork.check_transaction)] = _check_transaction(fork.check_transaction)
    replacements[id(transactions.encode_transaction)] = _encode_transaction(transactions.encode_transaction)
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("ethereum.forks.cancun"):
            for name, value in list(vars(module).items()):
                if id(value) in replacements:
                    setattr(module, name, replacements[id(value)])
    _install_contracts()


def _install_contracts() -> None:
    """Replace precompiled contracts by those that are faster and end in time."""
    for address, contract in CONTRACTS.items():
        mapping.PRE_COMPILED_CONTRACTS[address] = _routed_contract(
            mapping.PRE_COMPILED_CONTRACTS[address], contract
        )


def _routed_contract(stock: Callable[[Any], None], contract: Contract) -> Callable[[Any], None]:
    def routed(evm: Any) -> None:
        environment = evm.message.block_env
        if type(environment) is Environment:
            contract(evm, environment.budget)
        else:
            stock(evm)

    return routed


def _routed(stock: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    def routed(target: Any, *args: Any) -> Any:
        return method(target, *args) if type(target) is EelsState else stock(target, *args)

    return routed


def _routed_transaction(stock: Callable[..., Any], method: Callable[[TrieState], None]) -> Callable[..., None]:
    def routed(target: Any, transient: Any) -> None:
        if type(target) is EelsState:
            method(target)
            stock(target.empty, transient)
        else:
            stock(target, transient)

    return routed


def _process_message(stock: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def routed(message: Any) -> Any:
        environment = message.block_env
        if type(environment) is Environment and not getattr(_current, "specified", False):
            traced = environment.tracer is not None
            return tracing.process_message(message) if traced else process_message(message)
        return stock(message)

    return routed


def _process_create_message(stock: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def routed(message: Any) -> Any:
        environment = message.block_env
        if type(environment) is Environment and environment.tracer is not None:
            return tracing.process_create_message(stock, message)
        return stock(message)

    return routed


@contextmanager
def specified_loop() -> Generator[None]:
    """Let this thread execute code in the specification's own loop, without a time limit, for comparison."""
    _current.specified = True
    try:
        yield
    finally:
        del _current.specified


def _recover_sender(
    stock: Callable[[U64, transactions.Transaction], Address],
) -> Callable[[U64, transactions.Transaction], Address]:
    def recover_sender(chain_id: U64, transaction: transactions.Transaction) -> Address:
        prepared: PreparedTransaction | None = getattr(_current, "prepared", None)
        if prepared is not None and prepared.transaction is transaction:
            return prepared.sender
        return stock(chain_id, transaction)

    return recover_sender


def _check_transaction(stock: Callable[..., Any]) -> Callable[..., Any]:
    def check_transaction(block_env: Any, block_output: Any, tx: Any) -> Any:
        prepared: PreparedTransaction | None = getattr(_current, "prepared", None)
        if prepared is None or not prepared.impersonated:
            return stock(block_env, block_output, tx)
        # A contract may send transactions here: the check sees its account without the code (EIP-3607).
        found: TrieState = block_env.state
        found.begin()
        try:
            account = found.get_account(prepared.sender)
            found.set_account(prepared.sender, Account(account.nonce, account.balance, Bytes(b"")))
            return stock(block_env, block_output, tx)
        finally:
            found.rollback()

    return check_transaction


def _encode_transaction(
    stock: Callable[[transactions.Transaction], transactions.LegacyTransaction | Bytes],
) -> Callable[[transactions.Transaction], transactions.LegacyTransaction | Bytes]:
    def encode_transaction(transaction: transactions.Transaction) -> transactions.LegacyTransaction | Bytes:
        prepared: PreparedTransaction | None = getattr(_current, "prepared", None)
        if prepared is not None and prepared.transaction is transaction:
            return prepared.encoded
        return stock(transaction)

    return encode_transaction


def encode_receipt(receipt: Any) -> bytes:
    """Encode a receipt as in the receipts' trie (EIP-2718). The specification does not encode legacy receipts."""
    return bytes(receipt if isinstance(receipt, bytes) else rlp.encode(receipt))


_install()
