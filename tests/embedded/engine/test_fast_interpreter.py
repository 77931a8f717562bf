"""The faster loop of the interpreter executes every code as the specification's loop does."""

import random

import pytest

from alysd.embedded.engine import fast_interpreter
from alysd.embedded.engine.code_analysis import AnalysedCodes, analyse, pushed
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from tests.embedded.engine.both_loops import NUMBERS, compare, environments, executed, push
from tests.thorough import cases


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
    assert pushed(b"\x62\x01", 0) == (0x010000, 4)


def test_the_analyses_that_were_not_used_for_longest_are_forgotten() -> None:
    first, second, third = (bytes((n,)) * 100 for n in range(3))
    codes = AnalysedCodes(most_bytes=2 * analyse(first).size)
    kept, forgotten = codes.of(first), codes.of(second)
    assert codes.of(first) is kept
    codes.of(third)
    assert codes.of(first) is kept
    assert codes.of(second) is not forgotten
    assert codes.of(b"\x5b" * 4000).destinations == b"\x01" * 4000, "larger than all room"


def test_the_analyses_of_a_hundred_large_contracts_in_use_are_kept() -> None:
    """33 of them did not find room, so each call of one of them analysed its code again, for 1 ms."""
    used = bytes.fromhex("5b6001505f56").ljust(200, b"\x5b")  # a loop, which is compiled
    contracts = [used + number.to_bytes(2, "big") + bytes(24_574 - len(used)) for number in range(100)]
    for code in contracts:
        executed(environments(code)[0], code, 20_000, b"")
    kept = fast_interpreter._codes  # pyright: ignore[reportPrivateUsage]
    analyses = [kept.of(code) for code in contracts]
    assert all(analysis.pushes and analysis.runs for analysis in analyses)
    for code in contracts:
        executed(environments(code)[0], code, 1_000, b"")
    assert [kept.of(code) for code in contracts] == analyses


def test_the_pushes_of_a_code_count_towards_its_memory() -> None:
    """Each of them needs 200 bytes for one or two bytes of code."""
    kept = fast_interpreter._codes  # pyright: ignore[reportPrivateUsage]
    code = b"\x60\x01\x50" * 6_000
    before = analyse(code).size
    executed(environments(code)[0], code, 10**6, b"")
    analysis = kept.of(code)
    assert len(analysis.pushes) == 6_000
    assert 6_000 * 200 <= analysis.size - before < 6_064 * 200


def test_a_code_that_needs_much_memory_does_not_replace_all_others() -> None:
    code, other = b"\x5b" * 50, b"\x01" * 50
    codes = AnalysedCodes(most_bytes=16 * analyse(code).size)
    large, small = codes.of(code), codes.of(other)
    while codes.of(code) is large:
        assert large.size <= 2 * analyse(code).size + 64 * 200
        codes.count_pushes(code, large)
    assert codes.of(other) is small
    for number in range(13):
        codes.of(bytes((2 + number,)) * 50)
    assert codes.of(other) is small, "what the large one needed is free again"


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
