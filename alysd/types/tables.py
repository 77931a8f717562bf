"""The keyed tables of the chain's state: the data that does not fit in `ChainState`, the small record per block.

An entry belongs to a branch, as the chain's state does: an `EntryChange` applies to its block and all descendants.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import attrs

from alysd.types.hashes import BlockHash
from alysd.types.units import Height


@attrs.frozen
class Proof:
    """The block that includes the proof of work which made another block final."""

    block: BlockHash
    height: Height


Entry = Proof
"""The type of the values of all tables."""


class Table(Enum):
    """The names of the tables. `SHAPES` has the types of their keys and values."""

    PROOFS = "proofs"
    """Maps the hash of a final block to the block with the proof of work that covers it."""


class Shape(NamedTuple):
    """The types of a table: its keys are byte strings of one length, its values instances of one attrs class."""

    key: Any
    value: type[Any]


SHAPES: Mapping[Table, Shape] = {Table.PROOFS: Shape(BlockHash, Proof)}


@attrs.frozen
class EntryChange:
    """A block's change to one entry: `value` replaces the entry, None deletes it."""

    table: Table
    key: bytes
    value: Entry | None
