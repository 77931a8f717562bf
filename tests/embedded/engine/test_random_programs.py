"""Random programs of several contracts leave the same state, output, logs and gas as with the specification.

Each run has other programs. A failure prints the seed of its program: `ALYSD_SEED=… pytest …` begins with it.
"""

import os
import secrets
from collections import Counter
from random import Random
from typing import Any

import pytest

from alysd.embedded.engine import fast_interpreter
from alysd.embedded.engine.code_analysis import AnalysedCodes
from alysd.embedded.engine.specification import U256, Account, Address, Bytes, Uint, state
from tests.embedded.engine.both_loops import SELF, environments, executed
from tests.embedded.engine.random_programs import RandomProgram
from tests.thorough import cases

PROGRAMS = cases(100, 400)
OTHERS = [Address(bytes((n,)) * 20) for n in range(0x61, 0x64)]
GAS = (3_000, 60_000, 200_000, 200_000, 500_000)


def compared(codes: list[bytes], gas: int, data: bytes) -> dict[str, Any]:
    """The result of a call of the first code, which is the same with both interpreters."""
    results: list[dict[str, Any]] = []
    for environment in environments(codes[0]):
        for address, code in zip(OTHERS, codes[1:], strict=True):
            state.set_account(environment.state, address, Account(Uint(1), U256(1000), Bytes(code)))
        result = executed(environment, codes[0], gas, data)
        world: Any = environment.state
        root = bytes(state.state_root(world)) if isinstance(world, state.State) else world.finish().root
        results.append({**result, "root": root})
    found, expected = results
    differing = [name for name in expected if found[name] != expected[name]]
    shown = [code.hex() for code in codes]
    assert not differing, f"{differing}: {found} instead of {expected}, gas {gas}, data {data.hex()}, {shown}"
    return found


def compare_program(seed: int) -> str:
    """Compare a program with several amounts of gas, among them exactly what it needs. Return its first error."""
    random = Random(seed)  # noqa: S311
    addresses = [SELF, *OTHERS]
    codes = [RandomProgram(random, [*addresses]).write() for _ in addresses]
    data, gas = random.randbytes(random.randrange(80)), random.choice(GAS)
    found = compared(codes, gas, data)
    if found["error"] == "NoneType" and random.random() < 0.5:
        needed = gas - found["gas"]
        for less in (0, 1, random.randrange(needed + 1)):
            compared(codes, max(needed - less, 0), data)
    return found["error"]


@pytest.mark.parametrize("at_once", [False, True])
def test_random_programs(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`at_once` compiles each run when it is executed for the first time."""
    monkeypatch.setattr(fast_interpreter, "_codes", AnalysedCodes())
    if at_once:
        monkeypatch.setattr(fast_interpreter, "_HOT", 0)
        monkeypatch.setattr(fast_interpreter, "_EXECUTED_BEFORE", -(10**9))
    first = int(os.environ.get("ALYSD_SEED") or secrets.randbits(32))
    errors: Counter[str] = Counter()
    for seed in range(first, first + PROGRAMS):
        print(f"ALYSD_SEED={seed}")
        errors[compare_program(seed)] += 1
    assert errors["NoneType"] > PROGRAMS // 8  # otherwise the test compares little more than failures
    assert len(errors) > 2
