"""Frames in which tests call a precompiled contract, and the specification's own contracts for comparison."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from alysd.embedded.engine.eels import Environment, mapping
from alysd.embedded.engine.specification import Address, Bytes, Uint
from alysd.embedded.engine.time_budget import TimeBudget

GAS = 10**9


def outcome(number: int, data: bytes, budget: TimeBudget | None = None, gas: int = GAS) -> tuple[Any, ...]:
    """The output of the contract at the address `number` and the gas left, or the class of its error.

    Without a budget it is the specification's contract that is called.
    """
    environment: Any = SimpleNamespace()
    if budget is not None:
        environment = object.__new__(Environment)
        environment.budget = budget
    message = SimpleNamespace(data=Bytes(data), block_env=environment)
    evm: Any = SimpleNamespace(message=message, gas_left=Uint(gas), output=b"")
    try:
        mapping.PRE_COMPILED_CONTRACTS[Address(number.to_bytes(20, "big"))](evm)
    except import_module("ethereum.exceptions").EthereumException as error:
        return (type(error).__name__,)
    return bytes(evm.output), int(evm.gas_left)


def both(number: int, data: bytes, gas: int = GAS) -> tuple[Any, ...]:
    """The outcome, which must be the specification's."""
    ours, theirs = outcome(number, data, TimeBudget(), gas), outcome(number, data, gas=gas)
    assert ours == theirs, f"contract {number}, input {data.hex()}"
    return ours
