"""The messages to the evidence actor, which keeps the evidence against authorities."""

import attrs

from alysd.nurseries import Tell
from alysd.types.block import SignedBlock
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash


class EvidenceKeeping:
    """Protocol of the evidence actor."""


@attrs.frozen
class ReportConflict(Tell[EvidenceKeeping]):
    """Report two different blocks that authorities have approved against the rule, such as two of one slot.

    The approvals may be those of a single authority. The actor checks everything itself, so a false report does
    no harm. `federations` are those by which the approvals of the blocks are numbered; None if the blocks are
    stored, and their parents have the federations.
    """

    one: SignedBlock
    other: SignedBlock
    federations: tuple[Federation, Federation] | None = None


@attrs.frozen
class ReportRivals(Tell[EvidenceKeeping]):
    """Report two stored blocks, by their hashes, that a quorum has approved against the rule."""

    one: BlockHash
    other: BlockHash
