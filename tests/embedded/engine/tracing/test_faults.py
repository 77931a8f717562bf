"""An instruction that cannot be executed fails in geth's words, whatever the specification checks first."""

import pytest

from alysd.embedded.engine.tracing.faults import Attempt, fails_early, fault_of
from alysd.embedded.engine.tracing.opcodes import CALL, CREATE, DELEGATECALL, OPCODES, SELFDESTRUCT, SSTORE

ADD, MLOAD, MSTORE8, MCOPY, KECCAK = 0x01, 0x51, 0x53, 0x5E, 0x20
CALL_STACK = [0, 0, 0, 0, 0, 0x77, 0]
"""From the bottom: both ranges of memory, the value, the address, the gas."""

PAYING = [0, 0, 0, 0, 1, 0x77, 0]


def attempt(op: int, stack: list[int], gas: int = 100_000, **others: object) -> Attempt:
    return Attempt(op, stack, gas, **{"memory": 0, "static": False, "warm": True, "charged": None, **others})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failed", "words", "cost"),
    [
        (attempt(ADD, [1]), "stack underflow (1 <=> 2)", 3),
        (attempt(0x30, [0] * 1024), "stack limit reached 1024 (1023)", 2),
        (attempt(0x80, [0] * 1024), "stack limit reached 1024 (1023)", 3),
        (attempt(ADD, [1, 2], gas=2), "out of gas", 3),
        (attempt(MLOAD, [2**64 - 8]), "gas uint64 overflow", 3),
        (attempt(KECCAK, [2**64, 0]), "gas uint64 overflow", 30),
        (attempt(MLOAD, [2**40]), "out of gas: gas uint64 overflow", 3),
        (attempt(MSTORE8, [0, 2**38]), "out of gas: gas uint64 overflow", 3),
        (attempt(MCOPY, [1, 2**38, 0]), "out of gas: gas uint64 overflow", 3),
        (attempt(MLOAD, [10**6], charged=3 * 10**6), "out of gas", 3 * 10**6),
        (attempt(SSTORE, [1, 0], static=True), "out of gas: write protection", 0),
        (attempt(SSTORE, [1, 0], gas=2_300), "out of gas: not enough gas for reentrancy sentry", 0),
        (attempt(SELFDESTRUCT, [0], static=True), "out of gas: write protection", 5_000),
        (attempt(SELFDESTRUCT, [0], gas=7_599, warm=False), "out of gas: out of gas", 5_000),
        (attempt(CREATE, [1, 0, 0], static=True), "out of gas: write protection", 32_000),
        (
            attempt(CREATE, [49_153, 0, 0]),
            "out of gas: max initcode size exceeded: code size 49153 limit 49152",
            32_000,
        ),
        (attempt(CREATE, [2**38, 0, 0]), "out of gas: gas uint64 overflow", 32_000),
        (attempt(CALL, CALL_STACK, gas=2_599, warm=False), "out of gas: out of gas", 100),
        (attempt(CALL, PAYING, static=True), "out of gas: write protection", 100),
        (attempt(CALL, PAYING, gas=9_099), "out of gas: out of gas", 100),
        (attempt(CALL, CALL_STACK, charged=7), "out of gas", 7),
        (attempt(CALL, [2**38, *CALL_STACK[1:]]), "out of gas: gas uint64 overflow", 100),
        (attempt(DELEGATECALL, [1, 2**38, 0, 0, 0x77, 0]), "out of gas: gas uint64 overflow", 100),
    ],
)
def test_the_words_and_the_cost_are_those_of_geth(failed: Attempt, words: str, cost: int) -> None:
    assert fault_of(failed) == (words, cost)


def test_what_may_not_write_fails_before_its_cost_is_paid() -> None:
    assert fails_early(SSTORE, [1, 0], static=True)
    assert fails_early(CALL, PAYING, static=True)
    assert not fails_early(CALL, CALL_STACK, static=True)
    assert not fails_early(SSTORE, [1, 0], static=False)
    assert fails_early(CREATE, [49_153, 0, 0], static=False)


def test_every_number_has_a_name() -> None:
    names = [opcode.name for opcode in OPCODES]
    assert names[0x5F:0x61] == ["PUSH0", "PUSH1"]
    assert names[0x7F:0x81] == ["PUSH32", "DUP1"]
    assert names[0x9F] == "SWAP16"
    assert names[0xFE] == "INVALID"
    assert names[0x0C] == "opcode 0xc not defined"
    assert len(set(names)) == 256
