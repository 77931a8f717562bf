"""Keeps the specification's own contracts for elliptic curves out of the start of the node.

The library py_ecc, which they need, computes tables when it is imported: a third of the time of a start. The
engine has faster contracts (`engine.precompiled`), so only tests that compare the two call the specification's.
`defer_contracts` puts stand-ins in the place of the contracts' modules before the specification (EELS, fork
Cancun) imports them. The first call of a stand-in loads the real contract.
"""

import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

_PACKAGE = "ethereum.forks.cancun.vm.precompiled_contracts"

_CONTRACTS = {
    "alt_bn128": ("alt_bn128_add", "alt_bn128_mul", "alt_bn128_pairing_check"),
    "point_evaluation": ("point_evaluation",),
}
"""The functions of the contracts, by the module of `_PACKAGE` that has them."""

_loading = threading.Lock()
_loaded: dict[str, ModuleType] = {}


def defer_contracts() -> None:
    """Let the specification import the stand-ins. Has no effect on modules that have been imported already."""
    for name, functions in _CONTRACTS.items():
        stand_in = ModuleType(f"{_PACKAGE}.{name}")
        for function in functions:
            setattr(stand_in, function, _stand_in(name, function))
        sys.modules.setdefault(stand_in.__name__, stand_in)


def _stand_in(name: str, function: str) -> Callable[[Any], None]:
    def contract(evm: Any) -> None:
        getattr(_load(name), function)(evm)

    return contract


def _load(name: str) -> ModuleType:
    with _loading:  # two threads may call the same contract for the first time
        if name not in _loaded:
            sys.modules.pop(f"{_PACKAGE}.{name}", None)  # the stand-in
            _loaded[name] = import_module(f"{_PACKAGE}.{name}")
        return _loaded[name]
