"""The keyed tables of the chain's state. They hold the data that is too large for a `ChainState` per block.

Like a `ChainState`, an entry belongs to a branch: an `EntryChange` applies to its block and all descendants.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import attrs

from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.units import Height


@attrs.frozen
class Proof:
    """A proof of work that made blocks final: the block that includes it, and the hash of the proven work."""

    block: BlockHash
    height: Height
    aux_hash: AuxHash


Entry = Proof
"""The type of the values of all tables."""


class Table(Enum):
    """The names of the tables. `SHAPES` has the types of their keys and values."""

    PROOFS = "proofs"
    """Maps the hash of a final block to the proof of work that covers it."""

    WORKS = "works"
    """Maps the hash of offered work to the proof of this work. Every included proof has an entry."""


class Shape(NamedTuple):
    """The types of a table: its keys are byte strings of one length, its values instances of one attrs class."""

    key: Any
    value: type[Any]


SHAPES: Mapping[Table, Shape] = {Table.PROOFS: Shape(BlockHash, Proof), Table.WORKS: Shape(AuxHash, Proof)}


@attrs.frozen
class EntryChange:
    """A block's change to one entry: `value` replaces the entry, None deletes it."""

    table: Table
    key: bytes
    value: Entry | None
