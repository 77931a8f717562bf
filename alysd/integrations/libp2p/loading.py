"""Loads libp2p quietly: without warnings of its dependencies, without its log, and without trio-typing.

libp2p imports two names of the package trio-typing, which hides trio's own types from type checkers. So uv does
not install it (pyproject.toml), and this module stands in for it. pip installs it.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TypeVar

import trio

F = TypeVar("F", bound=Callable[..., object])


def takes_callable_and_args(function: F) -> F:
    """Return the function: the decorator is meant for a plug-in of mypy."""
    return function


def provide_trio_typing() -> None:
    """Make `import trio_typing` work where the package is not installed."""
    if "trio_typing" not in sys.modules and find_spec("trio_typing") is None:
        module = ModuleType("trio_typing")
        vars(module).update(TaskStatus=trio.TaskStatus, takes_callable_and_args=takes_callable_and_args)
        sys.modules["trio_typing"] = module


def load() -> None:
    """Import libp2p and turn its log off: strangers decide how much it writes. `notes` has this package's log."""
    provide_trio_typing()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of aioquic, websockets and others, which are not used here
        import_module("libp2p")
    logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
