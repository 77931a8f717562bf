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

_DEFERRED = {
    f"{_PACKAGE}.alt_bn128": ("alt_bn128_add", "alt_bn128_mul", "alt_bn128_pairing_check"),
    f"{_PACKAGE}.point_evaluation": ("point_evaluation",),
    "ethereum.forks.shanghai.trie": ("encode_node",),
}
"""The functions that the fork uses of each deferred module.

The trie of the fork Shanghai imports those of all earlier forks. Only the specification's own state uses it.
"""

_loading = threading.Lock()
_loaded: dict[str, ModuleType] = {}


def defer_contracts() -> None:
    """Let the specification import the stand-ins. Has no effect on modules that have been imported already."""
    for name, functions in _DEFERRED.items():
        stand_in = ModuleType(name)
        for function in functions:
            setattr(stand_in, function, _stand_in(name, function))
        sys.modules.setdefault(name, stand_in)


def _stand_in(name: str, function: str) -> Callable[..., Any]:
    def deferred(*args: Any) -> Any:
        return getattr(_load(name), function)(*args)

    return deferred


def _load(name: str) -> ModuleType:
    with _loading:  # two threads may call the same contract for the first time
        if name not in _loaded:
            sys.modules.pop(name, None)  # the stand-in
            _loaded[name] = import_module(name)
        return _loaded[name]
