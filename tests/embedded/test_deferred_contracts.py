"""The contracts for elliptic curves are loaded late, once, and are those of the specification."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from alysd.embedded.engine.specification import Bytes, Uint, exceptions

START = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ethereum import EVM_RECURSION_LIMIT
from alysd.embedded.deferred_contracts import load_contracts
from alysd.embedded.engine import eels
slow = ("py_ecc.optimized_bls12_381", "py_ecc.optimized_bn128", "pydantic")
assert not [name for name in slow if name in sys.modules]
assert sys.getrecursionlimit() == EVM_RECURSION_LIMIT
with ThreadPoolExecutor(4) as threads:
    for loading in [threads.submit(load_contracts) for _ in range(4)]:
        loading.result()
assert "py_ecc.optimized_bls12_381" in sys.modules
assert sys.getrecursionlimit() == EVM_RECURSION_LIMIT, "a body of brackets could end the process"
"""


def contract(number: int) -> Callable[[Any], None]:
    """The function that the specification calls for the precompiled contract at the address `number`."""
    mapping = import_module("ethereum.forks.cancun.vm.precompiled_contracts.mapping").PRE_COMPILED_CONTRACTS
    by_address = {int.from_bytes(address, "big"): function for address, function in mapping.items()}
    return by_address[number]


def frame(data: bytes) -> Any:
    """The part of a frame of the EVM that a precompiled contract uses."""
    return SimpleNamespace(message=SimpleNamespace(data=Bytes(data)), gas_left=Uint(10**7), output=b"")


def test_a_start_does_not_import_the_curves_and_threads_may_load_them_at_the_same_time() -> None:
    """They took a third of the time from the start of the process until the node was ready."""
    subprocess.run([sys.executable, "-c", START], check=True)


def test_the_contracts_are_those_of_the_specification() -> None:
    """A sum with the point at infinity, a product with one, an empty pairing, a proof of a wrong length."""
    generator = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
    added = frame(generator + bytes(64))
    contract(6)(added)
    assert added.output == generator
    multiplied = frame(generator + (1).to_bytes(32, "big"))
    contract(7)(multiplied)
    assert multiplied.output == generator
    paired = frame(b"")
    contract(8)(paired)
    assert paired.output == (1).to_bytes(32, "big")
    with pytest.raises(exceptions.KZGProofError):
        contract(10)(frame(bytes(191)))
