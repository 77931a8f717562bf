"""The chain's state after a block, the stages of a block's import, and the result of fork choice.

The classes `ReceivedBlock`, `ValidBlock`, `ExecutedBlock`, `StoredBlock` are the stages of an import. Each step
takes the class of the stage before it: storage accepts only an executed block, for example
(docs/architecture.md, "The path of a block").
"""

from collections.abc import Mapping

import attrs

from alysd.types.auxpow import AuxPow, AuxPowHeader, Bundle
from alysd.types.block import SignedBlock
from alysd.types.federation_update import GovernanceState
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.peg import PegTotals
from alysd.types.tables import EntryChange, Proof
from alysd.types.units import Height, Slot, Wei


@attrs.frozen
class ChainState:
    """The state of the chain after a block: everything that the rules need to validate its children.

    It is a function of the block and its parent's state (`consensus.validity`), so every node computes the same
    state. `bits` is the target of the last proof. `last_final` is the last `range_end`, with its height and slot.
    `unpaid_fees` is the sum of the priority fees since the last block with a proof, in wei. `next_withdrawal` is
    the index that the next withdrawal must have. `peg` has the sums of the peg's ledger; they are zero on a chain
    without a peg. `governance` is the federation in force and its changes; it is None on a chain without
    governance keys, whose federation is always that of the chain specification.
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
    peg: PegTotals
    governance: GovernanceState | None = None


@attrs.frozen
class ReceivedBlock:
    """A block that has not been validated yet; `encoded_size` is in bytes."""

    signed: SignedBlock
    encoded_size: int


@attrs.frozen
class LedgerChange:
    """The sums of the peg's ledger after a block, or after a part of it, and the changes of its entries."""

    totals: PegTotals
    changes: tuple[EntryChange, ...]


@attrs.frozen
class ValidBlock:
    """A block that satisfies all rules except those of execution; `parent` is the state after its parent.

    `ledger` is the change by the peg's parts of the block; None on a chain without a peg.
    """

    signed: SignedBlock
    parent: ChainState
    ledger: LedgerChange | None = None


@attrs.frozen
class ExecutedBlock:
    """A valid block whose payload the execution client has found valid too.

    `state` is the chain's state after the block; `changes` are its changes to the tables of `types.tables`.
    """

    signed: SignedBlock
    state: ChainState
    changes: tuple[EntryChange, ...]


@attrs.frozen
class Forkchoice:
    """The head, the safe block and the finalized block at one moment.

    `finalized` is the newest block that a proof of work has made final. `safe` is the newest block below `head`
    that is committed on any branch, or `finalized` if that is newer (docs/protocol.md, "Fork choice").
    """

    head: ChainState
    safe: ChainState
    finalized: ChainState

    @property
    def payload_hashes(self) -> tuple[PayloadHash, PayloadHash, PayloadHash]:
        """The payload hashes of head, safe and finalized block, in this order."""
        return self.head.payload_hash, self.safe.payload_hash, self.finalized.payload_hash


@attrs.frozen
class PlacedBlock:
    """A stored block and its place in the chain when its forkchoice was `tip`.

    `canonical` says whether the block is on the branch of the head. `proof` is the proof of work that covers the
    block on this branch, or None. `included` is the proof that the block itself includes. It is None for a block
    without proof, and for a block that is not `canonical`.
    """

    signed: SignedBlock
    tip: Forkchoice
    canonical: bool
    proof: Proof | None
    included: Proof | None


@attrs.frozen
class FinalityProof:
    """A proof of work and everything that is needed to check it with Bitcoin's headers alone.

    `hashes` are the blocks that it makes final, oldest first. `header` is the merged-mining header with the proof,
    `auxpow` the proof in it. `proof` names the block that includes the header, and the proven work.
    """

    hashes: tuple[BlockHash, ...]
    header: AuxPowHeader
    auxpow: AuxPow
    proof: Proof


@attrs.frozen
class HeadBundle:
    """The bundle on the branch of `head`. A proof for it would be in a child of `head`."""

    bundle: Bundle
    head: ChainState


@attrs.frozen
class ForkChoiceChange:
    """The result of fork choice for a new block.

    `tip` is the forkchoice after the block. `canonical` lists the (height, hash) pairs of the blocks that become
    canonical, oldest first; it is empty when the head does not change. `removed` is the number of blocks that are
    no longer canonical.
    """

    tip: Forkchoice
    canonical: tuple[tuple[Height, BlockHash], ...]
    removed: int


@attrs.frozen
class StoredBlock:
    """An executed block that is on disk together with its placement. Only such a block may be shown to users."""

    executed: ExecutedBlock
    placement: ForkChoiceChange


@attrs.frozen
class StoredChain:
    """The part of the database that fork choice loads at start.

    `states` begins with the state of the last block that was final before `final`; `consensus.fork_choice.Tree`
    says why. The states of all stored blocks above that earlier block follow, ordered by height. `changes` has the
    table changes of the blocks above `final`.
    """

    states: tuple[ChainState, ...]
    final: BlockHash
    changes: Mapping[BlockHash, tuple[EntryChange, ...]]
