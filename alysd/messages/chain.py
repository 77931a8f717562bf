"""What the chain actor, which keeps the block tree and decides on the head, may be told."""

import attrs

from alysd.nurseries import Ask
from alysd.types.auxpow import Bundle
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, StoredBlock
from alysd.types.hashes import BlockHash
from alysd.types.tables import Entry, Table


class Chain:
    """Protocol of the chain actor."""


@attrs.frozen
class GetForkchoice(Ask[Chain, Forkchoice]):
    """Head, safe and final block as the node has them now."""


@attrs.frozen
class GetState(Ask[Chain, ChainState | None]):
    """The chain's state after a block that is final or above it; None if the node does not have it."""

    hash: BlockHash


@attrs.frozen
class GetAncestry(Ask[Chain, tuple[ChainState, ...]]):
    """The states from the child of the last final block, as `tip` sees it, up to `tip`, oldest first.

    Raises `UnknownParent` if the tip is not known.
    """

    tip: BlockHash


@attrs.frozen
class GetEntries(Ask[Chain, tuple[Entry | None, ...]]):
    """The entries of `table` under `keys`, in order, as they are after the block `at`; None where there is none.

    Raises `UnknownParent` unless `at` is final or above.
    """

    table: Table
    keys: tuple[bytes, ...]
    at: BlockHash


@attrs.frozen
class GetBundle(Ask[Chain, Bundle]):
    """The blocks above the last final one up to the head; raises `NotNow` when there is none."""


@attrs.frozen
class AdoptBlock(Ask[Chain, StoredBlock]):
    """Place an executed block in the tree, write both to disk, and follow the new head if it is one.

    The chain actor is the only writer of the chain, so nothing can change between placing and storing; a block
    that it has already is adopted again without effect.
    """

    executed: ExecutedBlock
