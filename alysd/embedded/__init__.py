"""The embedded execution engine: an execution client inside the node, for development (extra `embedded`).

`engine` executes blocks with EELS over tries in LMDB, `pool` keeps pending transactions, `rpc` serves Ethereum's
JSON-RPC. The rest of alysd imports only the names of this module. Each name is imported at its first use:
importing the specification of Ethereum takes half a second, and a node with an external execution client does not
need it.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from alysd.errors import ConfigError

if TYPE_CHECKING:
    from alysd.embedded.demand_execution import DemandExecution
    from alysd.embedded.embedded_execution import EmbeddedExecution
    from alysd.embedded.engine.building import Builder
    from alysd.embedded.engine.embedded_engine import EmbeddedEngine
    from alysd.embedded.engine.pending_source import AccountReader
    from alysd.embedded.engine.transaction import SignedTransaction, read_transaction

__all__ = [
    "AccountReader",
    "Builder",
    "DemandExecution",
    "EmbeddedEngine",
    "EmbeddedExecution",
    "SignedTransaction",
    "check_installed",
    "read_transaction",
]

_MODULES = {
    "AccountReader": "alysd.embedded.engine.pending_source",
    "Builder": "alysd.embedded.engine.building",
    "DemandExecution": "alysd.embedded.demand_execution",
    "EmbeddedEngine": "alysd.embedded.engine.embedded_engine",
    "EmbeddedExecution": "alysd.embedded.embedded_execution",
    "SignedTransaction": "alysd.embedded.engine.transaction",
    "read_transaction": "alysd.embedded.engine.transaction",
}

_EXTRA = ("coincurve", "ethereum", "ethereum_rlp", "ethereum_types")
"""The packages that the extra `embedded` installs, by the names that are imported."""


def check_installed(packages: tuple[str, ...] = _EXTRA) -> None:
    """Raise `ConfigError` unless all `packages` are installed."""
    for name in packages:
        if find_spec(name) is None:
            raise ConfigError(
                f"the embedded execution engine needs the package {name}: "
                "install alysd with the extra alysd[embedded]"
            )


def __getattr__(name: str) -> Any:
    """Import one of the names in `__all__` at its first use. Raises the errors of `check_installed`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_installed()
    return getattr(import_module(_MODULES[name]), name)
