"""What a node knows of a block besides the block: the state of the chain behind it, and its progress.

The classes `ReceivedBlock`, `ValidBlock`, `ExecutedBlock`, `StoredBlock` prove progress: what stores a block
accepts only an executed one, and so on (docs/architecture.md, "A block's way").
"""

from collections.abc import Mapping

import attrs

from alysd.types.block import SignedBlock
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.tables import EntryChange
from alysd.types.units import Height, Slot, Wei


@attrs.frozen
class ChainState:
    """The state of the chain after a block: all that the rules need to judge its children.

    It is a function of the block and its parent's state (`consensus.validity`), so that every node has the
    same one. `bits` is the target of the last proof; `last_final` the last `range_end`, with its height and
    slot; `unpaid_fees` the priority fees since the last block with a proof, in wei; `next_withdrawal` the index
    that the next withdrawal must bear.
    """

    hash: BlockHash
    parent_hash: BlockHash
    height: Height
    slot: Slot
    payload_hash: PayloadHash
    timestamp: int
    bits: int
    last_final: BlockHash
    last_final_height: Height
    last_final_slot: Slot
    unpaid_fees: Wei
    next_withdrawal: int


@attrs.frozen
class ReceivedBlock:
    """A block that nobody has judged yet; `encoded_size` in bytes."""

    signed: SignedBlock
    encoded_size: int


@attrs.frozen
class ValidBlock:
    """A block that keeps every rule but the execution client's; `parent` is the state it builds on."""

    signed: SignedBlock
    parent: ChainState


@attrs.frozen
class ExecutedBlock:
    """A valid block that the execution client has judged valid too.

    `state` is the chain's state after it; `changes` is what the block does to the tables of `types.tables`.
    """

    signed: SignedBlock
    state: ChainState
    changes: tuple[EntryChange, ...]


@attrs.frozen
class Forkchoice:
    """The three blocks that everything outside asks for, as one consistent value.

    `safe` is the newest approved ancestor of `head` with an approved child, `finalized` the newest block that a
    proof of work has made final (docs/protocol.md, "Fork choice").
    """

    head: ChainState
    safe: ChainState
    finalized: ChainState

    @property
    def payload_hashes(self) -> tuple[PayloadHash, PayloadHash, PayloadHash]:
        """Head, safe and finalized block, as an execution client names them."""
        return self.head.payload_hash, self.safe.payload_hash, self.finalized.payload_hash


@attrs.frozen
class ForkChoiceChange:
    """What fork choice makes of a new block: the three blocks afterwards, and what that changes.

    `canonical` lists the (height, hash) pairs that the block makes canonical, oldest first: empty when the block
    does not become the head. `removed` counts the canonical blocks that they displace.
    """

    tip: Forkchoice
    canonical: tuple[tuple[Height, BlockHash], ...]
    removed: int


@attrs.frozen
class StoredBlock:
    """An executed block that is on disk together with its placement: from here on it may be shown."""

    executed: ExecutedBlock
    placement: ForkChoiceChange


@attrs.frozen
class StoredChain:
    """What fork choice needs of the database at start.

    `states` begin with the block that was final before `final` (a branch from the final block may bring a proof
    for a range that begins there) and go on with all blocks stored above its height, by height. `changes` are
    those of the blocks above `final`.
    """

    states: tuple[ChainState, ...]
    final: BlockHash
    changes: Mapping[BlockHash, tuple[EntryChange, ...]]
