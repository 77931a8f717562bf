"""The messages to the block import workflow."""

import attrs

from alysd.consensus.ranges import VerifiedRange
from alysd.nurseries import Ask
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice


class BlockImport:
    """Protocol of the block import workflow."""


@attrs.frozen
class ImportBlock(Ask[BlockImport, Forkchoice]):
    """Validate, execute, store and adopt a block; the reply is the forkchoice afterwards.

    Raises the subclass of `InvalidBlock` for the rule that the block breaks. A block that the node already has is
    not an error: the reply is the current forkchoice.
    """

    signed: SignedBlock


@attrs.frozen
class RangeImported:
    """The number of blocks of a range that were imported, at least 1, and the forkchoice afterwards."""

    count: int
    forkchoice: Forkchoice


@attrs.frozen
class ImportRange(Ask[BlockImport, RangeImported]):
    """Import blocks of `verified` from the index `first` on, in one transaction: as many as take little time.

    Their approvals are not checked again. Raises the errors of `ImportBlock` for the block at `first`. If a later
    block cannot be imported, only the blocks before it are.

    This message stays in the process, because only the process that has checked the approvals knows that they are
    valid.
    """

    verified: VerifiedRange
    first: int
