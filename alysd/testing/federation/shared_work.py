"""Shares the results of computations that every node of a simulation would repeat on the same block.

    with shared_work():
        run_virtually(main, seed=7)

Each function in `SHARED` depends on its arguments alone, and neither arguments nor results can change. So a node
cannot notice that another one has computed the result before. Errors are not kept.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from alysd.wire.block_ssz import block_hash, encode_block
from alysd.wire.execution_header import block_hash_of
from alysd.wire.gossip import decode_approval, decode_proposal, encode_approval, encode_proposal

KEPT = 4096
"""The number of results that are kept per function: those of some hundred slots."""

SHARED: tuple[Callable[..., object], ...] = (
    block_hash,
    block_hash_of,
    decode_approval,
    decode_proposal,
    encode_approval,
    encode_block,
    encode_proposal,
)
"""The functions whose results are shared."""


@contextmanager
def shared_work() -> Generator[None]:
    """While the `with` block runs, all modules of alysd call versions of `SHARED` that remember their results."""
    remembering = {id(function): lru_cache(KEPT)(function) for function in SHARED}
    places: list[tuple[Any, str, object]] = [
        (module, name, value)
        for path, module in tuple(sys.modules.items())
        if path.startswith("alysd.")
        for name, value in vars(module).items()
        if id(value) in remembering
    ]
    for module, name, value in places:
        setattr(module, name, remembering[id(value)])
    try:
        yield
    finally:
        for module, name, value in places:
            setattr(module, name, value)
