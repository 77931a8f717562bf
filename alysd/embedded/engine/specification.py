# pyright: reportMissingTypeStubs=false
# The specification is typed, but its `forks` folder is a namespace package, for which pyright sees no `py.typed`.
"""The names of the Ethereum Execution Layer Specification (EELS), fork Cancun, that the engine uses.

Functions that `eels.py` replaces have to be used through their modules. A function imported here by name would
remain the original one.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from ethereum import EVM_RECURSION_LIMIT
from ethereum.exceptions import EthereumException
from ethereum.forks.cancun import blocks, fork, state, transactions, trie, vm
from ethereum.forks.cancun.fork_types import EMPTY_ACCOUNT, Account, Address
from ethereum.forks.cancun.utils.address import compute_contract_address
from ethereum.forks.cancun.utils.message import prepare_message
from ethereum.forks.cancun.vm import exceptions, interpreter
from ethereum.forks.cancun.vm import instructions as _instructions
from ethereum.forks.cancun.vm.instructions import Ops
from ethereum.forks.cancun.vm.precompiled_contracts import mapping as _mapping
from ethereum.trace import GasAndRefund, set_evm_trace
from ethereum_rlp import rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.bytes import Bytes, Bytes0, Bytes32
from ethereum_types.numeric import U64, U256, Uint

# py_ecc, which the deferred contracts use, raises the recursion limit to 100,000 when it is imported. With that
# limit, one request whose JSON body consists of brackets could overflow the C stack and end the process. So the
# package is imported here, without its modules, and then the specification's own limit is set, which is safe.
import_module("py_ecc")
sys.setrecursionlimit(EVM_RECURSION_LIMIT)

op_implementation: dict[Ops, Callable[[Any], None]] = cast("Any", _instructions).op_implementation
"""The functions of the instructions."""

mapping: Any = _mapping
"""The module with the table of the precompiled contracts."""

PRECOMPILED: frozenset[Address] = frozenset(mapping.PRE_COMPILED_CONTRACTS)
"""The addresses of the precompiled contracts."""

__all__ = [
    "EMPTY_ACCOUNT",
    "PRECOMPILED",
    "U64",
    "U256",
    "Account",
    "Address",
    "Bytes",
    "Bytes0",
    "Bytes32",
    "EthereumException",
    "GasAndRefund",
    "Ops",
    "RLPException",
    "Uint",
    "blocks",
    "compute_contract_address",
    "exceptions",
    "fork",
    "interpreter",
    "mapping",
    "op_implementation",
    "prepare_message",
    "rlp",
    "set_evm_trace",
    "state",
    "transactions",
    "trie",
    "vm",
]
