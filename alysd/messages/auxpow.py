"""What the merged-mining actor may be told."""

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
    """A proof for work that this node has not offered, or too long ago, or to too many others since."""

    aux_hash: AuxHash

    def __str__(self) -> str:
        return f"no work with the hash {displayed(self.aux_hash)} is on offer: ask for new work"


@attrs.frozen(str=False)
class StaleWork(InvalidWork):
    """A proof for blocks that follow `previous`, when others have become final since: `final` is the last now."""

    previous: BlockHash
    final: BlockHash

    def __str__(self) -> str:
        return f"stale work: it follows block {displayed(self.previous)}, but {displayed(self.final)} is final"


@attrs.frozen
class MiningOffer:
    """Work offered to a miner, with what the RPC shows beside it.

    `target` is the number that the parent block's hash must not exceed; `previous` the block before the bundle;
    `reward` the miner's share of the fees that the work would mint.
    """

    work: AuxWork
    target: int
    previous: BlockHash
    reward: Sat


@attrs.frozen
class QueuedWork:
    """A proof that waits to be included, and the parent block's hash as a number: the lower, the better."""

    header: AuxPowHeader
    aux_hash: AuxHash
    bundle_length: int
    proof_value: int


@attrs.frozen
class CreateWork(Ask[MergedMining, MiningOffer]):
    """Offer work on the present bundle with the fees going to `fee_recipient`."""

    fee_recipient: EvmAddress


@attrs.frozen
class SubmitWork(Ask[MergedMining, QueuedWork]):
    """Hand in a proof for work offered before; raises a subclass of `InvalidWork` for the check that fails."""

    aux_hash: AuxHash
    auxpow: AuxPow


@attrs.frozen
class GetQueuedWork(Ask[MergedMining, QueuedWork | None]):
    """The work that the next block would include, or None."""


@attrs.frozen
class WorkFor(Ask[MergedMining, AuxPowHeader | None]):
    """The best queued work that is valid in a child of `parent`, or None."""

    parent: ChainState


@attrs.frozen
class Finalized(Tell[MergedMining]):
    """The last final block has moved: forget the work that this settles."""

    head: Forkchoice
