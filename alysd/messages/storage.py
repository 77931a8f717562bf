"""The messages to the storage actor."""

import attrs

from alysd.nurseries import Ask
from alysd.types.block import SignedBlock
from alysd.types.chain import ExecutedBlock, ForkChoiceChange, StoredBlock, StoredChain
from alysd.types.evidence import Evidence
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash
from alysd.types.tables import Entry, EntryKey, Table
from alysd.types.units import Height


class Storage:
    """Protocol of the storage actor."""


@attrs.frozen
class CommitBlocks(Ask[Storage, tuple[StoredBlock, ...]]):
    """Write blocks with their placements, in order, in one synced transaction.

    All these blocks survive a power failure after the reply.
    """

    placed: tuple[tuple[ExecutedBlock, ForkChoiceChange], ...]


@attrs.frozen
class LoadChain(Ask[Storage, StoredChain]):
    """Load the data from which fork choice computes the head at start."""


@attrs.frozen
class GetFinalEntries(Ask[Storage, tuple[Entry | None, ...]]):
    """Get the entries with these keys, in order, as of the last final block; None for a missing entry.

    Only the chain actor, which knows the later changes, sends this message. Others send it `GetEntries` instead.
    """

    keys: tuple[EntryKey, ...]


@attrs.frozen
class ListFinalEntries(Ask[Storage, tuple[tuple[bytes, Entry], ...]]):
    """Get at most `limit` entries of `table` with their keys, as of the last final block, ordered by key.

    They begin with the first key after `after`. Only the chain actor sends this message.
    """

    table: Table
    after: bytes
    limit: int


@attrs.frozen
class GetBlockByHash(Ask[Storage, SignedBlock | None]):
    """Get the stored block with this hash, or None."""

    hash: BlockHash


@attrs.frozen
class GetBlockByHeight(Ask[Storage, SignedBlock | None]):
    """Get the canonical block at `height`, or None."""

    height: Height


@attrs.frozen
class GetCanonicalRange(Ask[Storage, tuple[SignedBlock, ...]]):
    """Get at most `count` canonical blocks from `start` upwards, oldest first."""

    start: Height
    count: int


@attrs.frozen
class KeepEvidence(Ask[Storage, None]):
    """Write evidence against authorities in one synced transaction."""

    evidence: Evidence


@attrs.frozen
class LoadEvidence(Ask[Storage, tuple[Evidence, ...]]):
    """Load all evidence, oldest slot first."""


@attrs.frozen
class KeepUpdates(Ask[Storage, None]):
    """Write the updates of the federation that wait for a block, in place of those before, in one transaction."""

    updates: tuple[FederationUpdate, ...]


@attrs.frozen
class LoadUpdates(Ask[Storage, tuple[FederationUpdate, ...]]):
    """Load the updates of the federation that wait for a block."""
