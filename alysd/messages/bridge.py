"""The messages to the bridge, which compares the peg's parts of blocks with Bitcoin."""

import attrs

from alysd.nurseries import Ask
from alysd.types.bitcoin_watch import Expected
from alysd.types.block import Block
from alysd.types.hashes import BlockHash
from alysd.types.peg import PegContents


class Bridge:
    """Protocol of the bridge. Only a node of a chain with a peg that has a Bitcoin node runs this actor."""


@attrs.frozen
class PegHealth:
    """Whether Bitcoin has everything on which the ledger relies, as this node saw last.

    The peg is halted while there are `lost` transactions: minted deposits, and confirmed payments. `doubt` is the
    reason why this node does not know yet; the node then makes, approves and signs nothing either.
    """

    lost: tuple[Expected, ...]
    doubt: str | None


@attrs.frozen
class GetPegHealth(Ask[Bridge, PegHealth]):
    """Get whether the peg is halted."""


@attrs.frozen
class GetPegContents(Ask[Bridge, PegContents]):
    """Get the contents that this node would put into a child of `parent`, as its Bitcoin node shows them now.

    The contents satisfy the rules of `alysd.peg` after `parent`. Raises `NotNow` while the Bitcoin node does not
    answer.
    """

    parent: BlockHash


@attrs.frozen
class JudgePegContents(Ask[Bridge, None]):
    """Compare the peg's parts of a block with this node's view of Bitcoin, before this authority approves.

    Raises `NotSeenOnBitcoin` for a difference, `PaymentDeclined` for a proposed payment that this node judges
    wrong, and `NotNow` while the Bitcoin node does not answer; the authority then abstains.
    """

    block: Block


@attrs.frozen
class CheckNotHalted(Ask[Bridge, None]):
    """Check that Bitcoin has all transactions on which the ledger relies, before this member signs a payment.

    Raises `NotSeenOnBitcoin` while the peg is halted, and `NotNow` while the Bitcoin node does not answer.
    """
