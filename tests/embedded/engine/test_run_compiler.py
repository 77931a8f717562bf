"""Compiled runs do the same as the specification, with every amount of gas and every height of the stack."""

import random

import pytest

from alysd.embedded.engine import fast_interpreter
from alysd.embedded.engine.code_analysis import AnalysedCodes, CompiledRun, analyse
from alysd.embedded.engine.run_compiler import MOST_INSTRUCTIONS, compile_run
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from tests.embedded.engine.both_loops import NUMBERS, compare, environments, executed, push
from tests.thorough import cases


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is compiled when it is executed for the first time."""
    monkeypatch.setattr(fast_interpreter, "_HOT", 0)
    monkeypatch.setattr(fast_interpreter, "_EXECUTED_BEFORE", -(10**9))
    monkeypatch.setattr(fast_interpreter, "_codes", AnalysedCodes())


pytestmark = pytest.mark.usefixtures("at_once")

OPERATIONS = bytes(
    (
        *(*range(0x01, 0x0C), *range(0x10, 0x1E), 0x20, 0x30, *range(0x32, 0x37), 0x38, 0x3A, 0x3D),
        *(*range(0x41, 0x47), 0x48, 0x50, 0x51, 0x52, 0x54, 0x55, *range(0x58, 0x5C)),
    )
)
"""The instructions that are compiled, except pushes, jumps, DUP and SWAP."""


@pytest.mark.parametrize("op", OPERATIONS)
def test_each_instruction_between_others(op: int) -> None:
    chance = random.Random(op)  # noqa: S311
    for count in (0, 1, 2, 3, 4):
        for _ in range(6):
            values = b"".join(push(chance.choice(NUMBERS)) for _ in range(count))
            code = values + bytes((0x5B, op)) + b"\x36\x5a\x58" + bytes((op,))
            for gas in (100, 2_400, 2_500, 23_000, 10**6):
                compare(code, gas, bytes(range(40)))
    for first in NUMBERS:
        for second in NUMBERS:
            compare(push(7) + push(second) + push(first) + bytes((op,)), 5_000_000, b"\xff" * 70)


@pytest.mark.parametrize("op", range(0x80, 0xA0))
def test_dup_and_swap_at_each_height(op: int) -> None:
    for height in (0, 1, 2, 15, 16, 17, 18, 1022, 1023, 1024):
        compare(b"\x5f\x35" * min(height, 3) + b"\x58" * max(0, height - 3) + bytes((op,)) * 2 + b"\x01", 20_000)


def _loop(body: bytes, at: int, times: int) -> bytes:
    """Repeat a body that leaves the stack as it was."""
    top = at + 2
    return (
        b"\x60"
        + bytes((times,))
        + b"\x5b"
        + body
        + b"\x60\x01\x90\x03\x80\x61"
        + top.to_bytes(2, "big")
        + b"\x57\x50"
    )


def _skip(body: bytes, at: int, chance: random.Random) -> bytes:
    """Jump over a body, always or as the call data say."""
    always = chance.random() < 0.4
    head = b"" if always else b"\x5f\x35\x60" + chance.randbytes(1) + b"\x16"
    target = at + len(head) + 4 + len(body)
    return head + b"\x61" + target.to_bytes(2, "big") + (b"\x56" if always else b"\x57") + body + b"\x5b"


def _neutral(chance: random.Random) -> bytes:
    """Instructions that need no operands and leave none."""
    value = chance.choice(
        (b"\x5f\x35", b"\x5a", b"\x58", b"\x36", b"\x59", b"\x60" + chance.randbytes(1), b"\x33")
    )
    other = b"\x60" + chance.randbytes(1)
    slot, place = bytes((0x60, chance.randrange(4))), bytes((0x60, chance.choice((0, 1, 32, 64, 200))))
    operation = bytes((chance.choice((*range(0x01, 0x0C), *range(0x10, 0x1E))),))
    made = (
        value + other + chance.choice((b"", b"\x81\x90\x50")) + (b"\x60\x07" if operation in b"\x08\x09" else b"")
    )
    made += operation + (b"\x50" if operation in b"\x15\x19" else b"")
    if operation in b"\x15\x19":
        made += b"\x60\x05"
    return made + chance.choice(
        (b"\x50", place + b"\x52", slot + b"\x55", slot + b"\x54\x01" + slot + b"\x55", place + b"\x20\x50",
         place + b"\x51\x01\x50", b"\x80" + place + b"\x53\x50", slot + b"\x5d", b"\x60\x3f\x16" + place + b"\xa0")
    )  # fmt: skip


def structured(chance: random.Random, at: int = 0, depth: int = 0) -> bytes:
    """Code that ends by itself: instructions, loops and jumps within each other."""
    code = b""
    for _ in range(chance.randrange(1, 4)):
        kind = chance.random()
        if depth < 3 and kind < 0.35:
            body = structured(chance, at + len(code) + 3, depth + 1)
            code += _loop(body, at + len(code), chance.choice((1, 2, 3, 9)))
        elif depth < 3 and kind < 0.55:
            state = chance.getstate()
            first = _skip(b"", at + len(code), chance)
            chance.setstate(state)
            body = b""
            for _ in range(2):  # the body begins after the head, whose length does not depend on it
                body = structured(random.Random(len(code)), at + len(code) + len(first) - 1, depth + 1)  # noqa: S311
            code += _skip(body, at + len(code), chance)
        else:
            code += _neutral(chance)
    return code


def test_loops_and_jumps_with_gas_that_ends_anywhere() -> None:
    """Random codes, with the gas that they use, a little less and more."""
    seed = random.Random().randrange(2**32)  # noqa: S311
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311
    ended = failed = 0
    for _ in range(cases(8, 200)):
        code, data = structured(chance), chance.randbytes(40)
        most = 400_000
        found = compare(code, most, data)
        used = most - found["gas"] if found["error"] == "NoneType" else 20_000
        edges = {used, used - 1, used + 1, used - 2_300, used - 2_301}
        chosen = chance.sample(range(min(used, 60_000) + 1), min(20, used + 1))
        for gas in (*edges, *chosen):
            result = compare(code, max(gas, 0), data)["error"]
            ended, failed = ended + (result == "NoneType"), failed + (result == "OutOfGasError")
    assert ended
    assert failed


def test_every_gas_of_a_loop() -> None:
    """A loop with memory, storage, hashes and powers, ended at each unit of its gas."""
    body = b"\x5a\x60\x40\x52\x60\x60\x5f\x20\x60\x02\x0a\x5f\x55\x60\x01\x54\x50\x60\x80\x51\x50"
    code = _loop(body, 0, 2)
    used = 100_000 - compare(code, 100_000)["gas"]
    for gas in range(0, used + 2, 1 if used < 3_000 else 1 + used // cases(100, 3_000)):
        compare(code, gas)
    for gas in range(max(0, used - cases(15, 400)), used + 2):
        compare(code, gas)


@pytest.mark.parametrize(
    "target",
    [b"\x60\x05", b"\x60\x06", b"\x60\x07", b"\x60\x20", b"\x5f\x35", b"\x61\xff\xff", b"\x60\x03\x80\x50"],
)
@pytest.mark.parametrize("jump", [b"\x56", b"\x57"])
@pytest.mark.parametrize("condition", [b"\x5f", b"\x60\x01", b"\x36"])
def test_jumps_with_each_kind_of_destination(target: bytes, jump: bytes, condition: bytes) -> None:
    for data in (b"", (6).to_bytes(32, "big"), b"\xff" * 32):
        for gas in (13, 14, 15, 16, 17, 18, 19, 40, 400):
            compare(condition + target + jump + b"\x5b\x5b\x60\x5b", gas, data)


def test_a_static_call_stores_nothing() -> None:
    """SSTORE in a static call fails after its gas is paid."""
    inner = b"\x60\x01\x5f\x55"
    code = b"\x36\x60\x0f\x57" + b"\x60\x01\x5f\x5f\x5f\x30\x5a\xfa\x00" + b"\x5b" * 3 + inner
    code = code.replace(b"\x60\x0f\x57", b"\x60" + bytes((len(code) - len(inner) - 1,)) + b"\x57")
    for gas in (2_000, 30_000, 200_000):
        compare(code, gas)
        compare(code, gas, b"\x01")


def test_a_run_has_at_most_so_many_instructions_and_a_short_one_is_not_compiled() -> None:
    endless = b"\x5b\x5f\x56"
    run = compile_run(endless, analyse(endless).destinations, 0)
    assert run is not None
    assert run.instructions == MOST_INSTRUCTIONS
    assert compile_run(b"\x5b\xf1", bytes(2), 0) is None


def test_analyses_are_forgotten_for_compiled_runs() -> None:
    new, others = b"\x5b\x5b\x5b\x00", [bytes((n, n)) for n in range(30)]
    run = compile_run(new, analyse(new).destinations, 0)
    assert run is not None
    codes = AnalysedCodes(most_bytes=31 * analyse(new).size)
    forgotten = [codes.of(code) for code in others]
    kept = codes.of(new)
    codes.keep_run(new, kept, 0, run)
    codes.keep_run(new, kept, 0, run)
    assert kept.size == analyse(new).size + 1_500 + 7 * run.effort // 4, "a run is counted once"
    assert codes.of(new) is kept
    assert codes.of(others[-1]) is forgotten[-1]
    assert codes.of(others[0]) is not forgotten[0]


def compiled_by(code: bytes, gas: int) -> list[CompiledRun]:
    """The runs that are compiled while a code is executed."""
    executed(environments(code)[0], code, gas, b"")
    return [*fast_interpreter._codes.of(code).runs.values()]  # pyright: ignore[reportPrivateUsage]


def test_only_what_is_executed_often_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a code of thousands of runs, each executed once, would take many times as long."""
    monkeypatch.setattr(fast_interpreter, "_HOT", 50)
    monkeypatch.setattr(fast_interpreter, "_EXECUTED_BEFORE", 3_200)
    assert compiled_by(_loop(b"", 0, 49), 10**6) == []
    assert len(compiled_by(_loop(b"\x5a\x50" * 10, 0, 250), 10**6)) == 1
    many = b"".join(_loop(b"", at, 255) for at in range(0, 13 * 30, 13))
    *runs, last = compiled_by(many, 10**7)
    assert runs
    assert sum(run.effort for run in runs) <= 30 * 255 * 7
    assert last.effort < 20_000


def test_a_compilation_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a call in the event loop could compile run after run, each for a millisecond."""
    ours, _ = environments(b"\x5b\x5f\x56")
    ours.budget = TimeBudget(-1)
    monkeypatch.setattr(fast_interpreter, "compile_run", None)
    with pytest.raises(OutOfTime):
        executed(ours, b"\x5b\x5f\x56", 100, b"")
