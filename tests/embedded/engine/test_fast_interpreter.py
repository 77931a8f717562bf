"""The faster loop of the interpreter executes every code as the specification's loop does."""

import random
from typing import Any

import pytest

from alysd.embedded.engine.code_analysis import AnalysedCodes, analyse, pushed
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
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.types.hashes import ZERO_HASH
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import header_of
from alysd.wire.trie import EMPTY_ROOT
from tests.embedded.engine.kit import Memory, genesis
from tests.thorough import cases

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
    keys = [Bytes32(slot.to_bytes(32, "big")) for slot in range(4)]
    return {
        "error": type(evm.error).__name__,
        "gas": int(evm.gas_left),
        "output": bytes(evm.output),
        # Nobody sees the stack and the memory of a frame that has failed.
        "stack": [] if evm.error else [(type(item), int(item)) for item in evm.stack],
        "memory": b"" if evm.error else bytes(evm.memory),
        "logs": evm.logs,
        "refund": evm.refund_counter,
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


@pytest.mark.parametrize("op", range(256))
def test_each_instruction_with_each_number_of_operands(op: int) -> None:
    """Too few operands, too little gas, a full stack, and usual values."""
    chance = random.Random(op)  # noqa: S311
    for count in (0, 1, 2, 3, 7, 16, 17):
        values = [chance.choice(NUMBERS) for _ in range(count)]
        code = b"".join(push(value) for value in values) + bytes((op,)) + b"\x5b\x01"
        for gas in (3 * count, 3 * count + 2, 3 * count + 3, 3 * count + 9, 50_000):
            compare(code, gas, bytes(range(40)))
    compare(b"\x5f" * 1023 + bytes((op, op)), 10_000)
    for first in NUMBERS:
        for second in NUMBERS:
            compare(push(second) + push(first) + bytes((op,)), 5_000_000)


def test_random_codes() -> None:
    chance = random.Random(12)  # noqa: S311
    usual = bytes(range(0x01, 0x1E)) + bytes(
        (0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x5B)
    )
    usual += bytes(range(0x5F, 0x63)) * 12 + bytes(range(0x80, 0xA0)) + bytes((0x20, 0x35, 0x37, 0x3E, 0x5E, 0xA1))
    usual += bytes((0xF1, 0xF4, 0xFA, 0xF0, 0xF3, 0xFD))
    errors: set[str] = set()
    for _ in range(cases(400, 5000)):
        length = chance.randrange(1, 120)
        code = bytes(chance.choice(usual) for _ in range(length))
        if chance.random() < 0.5:  # begin with operands, so that more is executed
            code = b"".join(b"\x60" + chance.randbytes(1) for _ in range(20)) + code
        errors.add(compare(code, chance.choice((500, 20_000, 200_000)), chance.randbytes(50))["error"])
    assert {"NoneType", "OutOfGasError", "StackUnderflowError", "InvalidJumpDestError"} <= errors


def test_jumps_reach_only_destinations() -> None:
    def jump(target: int, rest: bytes) -> str:
        return compare(b"\x61" + target.to_bytes(2, "big") + b"\x56" + rest, 1000)["error"]

    assert jump(5, b"\xfe\x5b") == "NoneType"
    assert jump(5, b"\x60\x5b") == "InvalidJumpDestError", "the data of a push"
    assert jump(6, b"\x60\x5b\x5b") == "NoneType"
    assert jump(900, b"\x5b") == "InvalidJumpDestError"
    assert analyse(b"\x7f\x5b").destinations == bytes(2), "the data of a push beyond the end"
    assert pushed(b"\x62\x01", 0) == (U256(0x010000), 4)


def test_the_analyses_that_were_not_used_for_longest_are_forgotten() -> None:
    codes = AnalysedCodes(most_bytes=10)
    first, second = codes.of(b"\x5b" * 4), codes.of(b"\x00" * 6)
    assert codes.of(b"\x5b" * 4) is first
    codes.of(b"\x01" * 2)
    assert codes.of(b"\x5b" * 4) is first
    assert codes.of(b"\x00" * 6) is not second
    assert codes.of(b"\x5b" * 40).destinations == b"\x01" * 40, "larger than all room"


def test_the_time_ends_a_loop_and_a_recursion() -> None:
    loop = bytes.fromhex("5b600056")
    recursion = bytes.fromhex("5f5f5f5f5f305af1")
    for code in (loop, recursion):
        ours, _ = environments(code)
        ours.budget = TimeBudget(-1)
        with pytest.raises(OutOfTime):
            executed(ours, code, 10**9, b"")


def test_a_thousand_calls_deep() -> None:
    """The gas for 1,024 calls within each other: a 64th of it stays at each level."""
    compare(bytes.fromhex("5f5f5f5f5f305af1"), 10**12)
