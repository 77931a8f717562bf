"""The messages to the chain actor, which keeps the block tree and decides on the head."""

import attrs

from alysd.nurseries import Ask
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, HeadBundle, StoredBlock
from alysd.types.hashes import BlockHash
from alysd.types.tables import Entry, EntryKey, EntryPage, Table


class Chain:
    """Protocol of the chain actor."""


@attrs.frozen
class GetForkchoice(Ask[Chain, Forkchoice]):
    """Get the current head, safe and final block."""


@attrs.frozen
class GetState(Ask[Chain, ChainState | None]):
    """Get the chain's state after a block if this is the last final block or above it, else None."""

    hash: BlockHash


@attrs.frozen
class GetAncestry(Ask[Chain, tuple[ChainState, ...]]):
    """Get the states after the blocks, up to `tip`, that no proof of work on the branch of `tip` makes final.

    The states are ordered from the oldest block to `tip`. Raises `UnknownParent` unless `tip` is the last final
    block or above it.
    """

    tip: BlockHash


@attrs.frozen
class GetEntries(Ask[Chain, tuple[Entry | None, ...]]):
    """Get the entries with these keys, in order, after the block `at`; None for a missing entry.

    Raises `UnknownParent` unless `at` is the last final block or above it.
    """

    keys: tuple[EntryKey, ...]
    at: BlockHash


@attrs.frozen
class ListEntries(Ask[Chain, EntryPage]):
    """Get entries of `table` after the block `at`, in the order of their keys, from the first one after `after`.

    Considers at most `limit` entries of the database, and those that blocks above the last final one have changed.
    Raises `UnknownParent` as `GetEntries`.
    """

    table: Table
    after: bytes
    limit: int
    at: BlockHash


@attrs.frozen
class GetBundle(Ask[Chain, HeadBundle]):
    """Get the committed blocks above the last final one. Raises `NotNow` when there are none."""


@attrs.frozen
class AdoptBlock(Ask[Chain, StoredBlock]):
    """Place an executed block in the tree, write block and placement to disk, and update the head.

    The chain actor is the only writer of the chain, so the tree cannot change between placing and storing.
    Adopting a block again has no effect.
    """

    executed: ExecutedBlock


@attrs.frozen
class AdoptBlocks(Ask[Chain, tuple[StoredBlock, ...]]):
    """Like `AdoptBlock`, for blocks of which each is the parent of the next one, in one transaction."""

    executed: tuple[ExecutedBlock, ...]
