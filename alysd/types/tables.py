"""The keyed tables of the chain's state: what does not fit in the small record of each block.

An entry belongs to a branch, as the chain's state does: a block's `EntryChange`s hold on the block and
its descendants.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import attrs

from alysd.types.hashes import BlockHash
from alysd.types.units import Height


@attrs.frozen
class Proof:
    """The block whose header of merged mining made another block final."""

    block: BlockHash
    height: Height


Entry = Proof
"""The values of all tables."""


class Table(Enum):
    """A table by its name. `SHAPES` has the types of its keys and values."""

    PROOFS = "proofs"
    """By the hash of a final block: where the proof of work is that covers it."""


class Shape(NamedTuple):
    """What a table holds: keys are byte strings of one length, values are of an attrs class."""

    key: Any
    value: type[Any]


SHAPES: Mapping[Table, Shape] = {Table.PROOFS: Shape(BlockHash, Proof)}


@attrs.frozen
class EntryChange:
    """What a block does to one entry: `value` replaces it, None deletes it."""

    table: Table
    key: bytes
    value: Entry | None
