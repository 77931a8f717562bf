"""Executes a code with the engine's interpreter and with the specification's, and compares all that they leave."""

from typing import Any

from alysd.embedded.engine.eels import EelsState, Environment
from alysd.embedded.engine.environment import environment_of
from alysd.embedded.engine.specification import (
    U256,
    Account,
    Address,
    Bytes,
    Bytes32,
    Uint,
    interpreter,
    state,
    vm,
)
from alysd.embedded.engine.time_budget import TimeBudget
from alysd.types.hashes import ZERO_HASH
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import header_of
from alysd.wire.trie import EMPTY_ROOT
from tests.embedded.engine.kit import Memory, genesis

HEADER = header_of(genesis_payload(genesis()), ZERO_HASH)
SELF, CALLER = Address(b"\x51" * 20), Address(b"\x52" * 20)


def environments(code: bytes) -> tuple[Environment, Any]:
    """An environment of ours and one of the specification, in which the contract `SELF` has the code."""
    ours = environment_of(HEADER, EelsState(Memory(), EMPTY_ROOT), [Bytes32(bytes(32))], 7, TimeBudget())
    fields: dict[str, Any] = {name: getattr(ours, name) for name in vars(ours) if name not in ("budget", "tracer")}
    fields["state"] = state.State()
    stock = vm.BlockEnvironment(**fields)
    for environment in (ours, stock):
        state.set_account(environment.state, SELF, Account(Uint(1), U256(10**6), Bytes(code)))
        state.set_account(environment.state, CALLER, Account(Uint(1), U256(10**18), Bytes(b"")))
    return ours, stock


def executed(environment: Any, code: bytes, gas: int, data: bytes) -> dict[str, Any]:
    """The state after a call of `SELF`."""
    transient = state.TransientStorage()
    transaction = vm.TransactionEnvironment(
        origin=CALLER,
        gas_price=Uint(1),
        gas=Uint(gas),
        access_list_addresses=set(),
        access_list_storage_keys=set(),
        transient_storage=transient,
        blob_versioned_hashes=(),
        index_in_block=None,
        tx_hash=None,
    )
    message = vm.Message(
        block_env=environment,
        tx_env=transaction,
        caller=CALLER,
        target=SELF,
        current_target=SELF,
        gas=Uint(gas),
        value=U256(3),
        data=Bytes(data),
        code_address=SELF,
        code=Bytes(code),
        depth=Uint(0),
        should_transfer_value=True,
        is_static=False,
        accessed_addresses={SELF},
        accessed_storage_keys=set(),
        parent_evm=None,
    )
    state.begin_transaction(environment.state, transient)
    evm = interpreter.process_message(message)
    state.commit_transaction(environment.state, transient)
    keys = [Bytes32(slot.to_bytes(32, "big")) for slot in range(4)]
    return {
        "error": type(evm.error).__name__,
        "gas": int(evm.gas_left),
        "output": bytes(evm.output),
        # Nobody sees the stack and the memory of a frame that has failed, or what it has made warm.
        "stack": [] if evm.error else [int(item) for item in evm.stack],
        "memory": b"" if evm.error else bytes(evm.memory),
        "logs": evm.logs,
        "refund": evm.refund_counter,
        "deleted": set() if evm.error else evm.accounts_to_delete,
        "warm": () if evm.error else (evm.accessed_addresses, evm.accessed_storage_keys),
        "slots": [int(state.get_storage(environment.state, SELF, key)) for key in keys],
        "balance": int(state.get_account(environment.state, SELF).balance),
    }


def compare(code: bytes, gas: int, data: bytes = b"") -> dict[str, Any]:
    ours, stock = environments(code)
    found, expected = executed(ours, code, gas, data), executed(stock, code, gas, data)
    assert found == expected, f"code {code.hex()}, gas {gas}, data {data.hex()}"
    return found


NUMBERS = (0, 1, 2, 3, 31, 32, 255, 256, 257, 2**64, 2**128 - 1, 2**255, 2**256 - 1)


def push(value: int) -> bytes:
    return b"\x7f" + value.to_bytes(32, "big")
