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
class ImportVerified(Ask[BlockImport, Forkchoice]):
    """Import a block like `ImportBlock`, but without another check of its approvals if it is in `verified`.

    It stays in this process, because only the process that has checked the approvals knows that they are valid.
    """

    signed: SignedBlock
    verified: VerifiedRange
