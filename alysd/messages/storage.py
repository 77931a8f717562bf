"""What the storage actor may be told."""

import attrs

from alysd.nurseries import Ask
from alysd.types.block import SignedBlock
from alysd.types.chain import ExecutedBlock, ForkChoiceChange, StoredBlock, StoredChain
from alysd.types.hashes import BlockHash
from alysd.types.tables import Entry, Table
from alysd.types.units import Height


class Storage:
    """Protocol of the storage actor."""


@attrs.frozen
class CommitBlock(Ask[Storage, StoredBlock]):
    """Write a block and its placement in one synced transaction; after the reply it survives a power cut."""

    executed: ExecutedBlock
    placement: ForkChoiceChange


@attrs.frozen
class LoadChain(Ask[Storage, StoredChain]):
    """What fork choice needs to find the head again."""


@attrs.frozen
class GetFinalEntries(Ask[Storage, tuple[Entry | None, ...]]):
    """The entries of `table` under `keys`, in order, as the last final block leaves them, or None.

    Only the chain actor, which has the changes since, asks this; all others ask it with `GetEntries`.
    """

    table: Table
    keys: tuple[bytes, ...]


@attrs.frozen
class GetBlockByHash(Ask[Storage, SignedBlock | None]):
    """A stored block, or None."""

    hash: BlockHash


@attrs.frozen
class GetBlockByHeight(Ask[Storage, SignedBlock | None]):
    """The canonical block of a height, or None."""

    height: Height


@attrs.frozen
class GetCanonicalRange(Ask[Storage, tuple[SignedBlock, ...]]):
    """Canonical blocks from `start` upwards, at most `count` of them, oldest first."""

    start: Height
    count: int
