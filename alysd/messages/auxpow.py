"""The messages to the merged-mining actor."""

import attrs

from alysd.errors import InvalidWork
from alysd.nurseries import Ask, Tell
from alysd.types.auxpow import AuxPow, AuxPowHeader, AuxWork
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress, displayed
from alysd.types.units import Sat


class MergedMining:
    """Protocol of the merged-mining actor."""


@attrs.frozen(str=False)
class UnknownWork(InvalidWork):
    """The proof is for work that this node never offered, or offered so long ago that it has forgotten it."""

    aux_hash: AuxHash

    def __str__(self) -> str:
        return f"this node does not offer work with the hash {displayed(self.aux_hash)}: request new work"


@attrs.frozen(str=False)
class StaleWork(InvalidWork):
    """The proof is for blocks that follow `previous`, but the last final block is now `final`."""

    previous: BlockHash
    final: BlockHash

    def __str__(self) -> str:
        final, previous = displayed(self.final), displayed(self.previous)
        return f"stale work: the last final block is now {final}, not {previous}; request new work"


@attrs.frozen
class MiningOffer:
    """Work offered to a miner, with further values for the RPC's answer.

    `target` is the number that the parent block's hash must not exceed. `previous` is the block before the bundle.
    `reward` is the miner's share of the fees that the work would mint.
    """

    work: AuxWork
    target: int
    previous: BlockHash
    reward: Sat


@attrs.frozen
class QueuedWork:
    """A proof that waits to be included in a block.

    `proof_value` is the parent block's hash as a number; a lower number proves more work.
    """

    header: AuxPowHeader
    aux_hash: AuxHash
    bundle_length: int
    proof_value: int


@attrs.frozen
class CreateWork(Ask[MergedMining, MiningOffer]):
    """Offer work on the current bundle, with the fees for `fee_recipient`. Raises `NotNow` without a bundle."""

    fee_recipient: EvmAddress


@attrs.frozen
class SubmitWork(Ask[MergedMining, QueuedWork]):
    """Submit a proof for offered work. Raises the subclass of `InvalidWork` for the failed check."""

    aux_hash: AuxHash
    auxpow: AuxPow


@attrs.frozen
class ConsiderProof(Ask[MergedMining, bool]):
    """Check the proof that a peer has passed on against the head, and queue it. The reply is whether it was new.

    Raises the subclass of `InvalidWork` for the failed check, and `UnknownParent` if the head has just changed.
    """

    header: AuxPowHeader


@attrs.frozen
class GetQueuedWork(Ask[MergedMining, QueuedWork | None]):
    """Get the work that the next block would include, or None."""


@attrs.frozen
class WorkFor(Ask[MergedMining, AuxPowHeader | None]):
    """Get the best queued work that is valid in a child of `parent`, or None."""

    parent: ChainState


@attrs.frozen
class Finalized(Tell[MergedMining]):
    """Report that the last final block has changed. The actor removes the work that is now obsolete."""

    head: Forkchoice


# From the merged-mining actor to itself


@attrs.frozen
class PassOnAgain(Tell[MergedMining]):
    """Send the best queued proof to all peers again, if the head has changed since, or if it was sent long ago."""
