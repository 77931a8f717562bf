"""The layout of the node's own database: its tables, keys and records.

    blocks      block hash                                   -> the signed block, SSZ
    states      height (8, BE) | hash                        -> the chain's state after the block
    changes     height (8, BE) | hash | table's name "|" key -> the block's new value; empty for a deletion
    canonical   height (8, BE)                               -> block hash
    evidence    slot (8, BE) | SHA-256 of the value         -> evidence against authorities, SSZ
    meta        "genesis", "final", "format", after the first block "safe", and "updates": those that wait, SSZ

There is also one LMDB table per table of `types.tables`, with the same name and the entries as of the last final
block. The transaction that makes blocks final applies their changes to these tables, and deletes the changes of
abandoned branches.
"""

from collections.abc import Mapping
from typing import Any

from alysd.types.chain import ChainState
from alysd.types.hashes import sha256
from alysd.types.tables import SHAPES, Table
from alysd.types.units import Height
from alysd.wire.records import RecordCodec, record_codec

TABLES = ("blocks", "states", "changes", "canonical", "evidence", "meta", *(table.value for table in Table))

STATE: RecordCodec[ChainState] = record_codec(ChainState)
ENTRIES: Mapping[Table, RecordCodec[Any]] = {table: record_codec(shape.value) for table, shape in SHAPES.items()}

VERSION = 5
"""The version of the tables' contents. A new field in a record, such as `ChainState`, needs no new version."""

FORMAT = f"{VERSION}-{sha256('; '.join(codec.layout for codec in (STATE, *ENTRIES.values())).encode()).hex()[:8]}"
"""The format recorded in the database: the version, and a digest of the record layouts."""

BLOCK_KEY_BYTES = 40
"""The length in bytes of a height and a hash, with which the keys of a block's state and changes begin."""


def height_key(height: Height) -> bytes:
    """The key of a height in `canonical`, and the first part of the keys of `states` and `changes`."""
    return height.to_bytes(8, "big")


def state_key(state: ChainState) -> bytes:
    """The key of a state in `states`, and the first part of the keys of its block's changes."""
    return height_key(state.height) + state.hash
