"""What the block import workflow may be told."""

import attrs

from alysd.nurseries import Ask
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice


class BlockImport:
    """Protocol of the block import workflow."""


@attrs.frozen
class ImportBlock(Ask[BlockImport, Forkchoice]):
    """Judge, execute, store and adopt a block; the reply is the head afterwards.

    Raises a subclass of `InvalidBlock` for the rule that the block breaks. A block that the node has already is
    no error: the reply is the present head.
    """

    signed: SignedBlock
