"""The messages to the bridge, which compares the peg's parts of blocks with Bitcoin."""

import attrs

from alysd.nurseries import Ask
from alysd.types.bitcoin_watch import Expected, Stolen
from alysd.types.block import Block
from alysd.types.hashes import BlockHash, displayed
from alysd.types.peg import PegContents
from alysd.types.units import Sat


class Bridge:
    """Protocol of the bridge. Only a node of a chain with a peg that has a Bitcoin node runs this actor."""


@attrs.frozen
class PegHealth:
    """Whether Bitcoin has everything on which the ledger relies, as this node saw last.

    The peg is halted while there are `lost` transactions, which are minted deposits and confirmed payments, and
    while bitcoin of the ledger is `stolen`. Independently, it is halted while governance has halted it, as the
    chain's state says (`by_governance`). `doubt` is the reason why this node does not know yet; the node then
    makes, approves and signs nothing either.
    """

    lost: tuple[Expected, ...]
    doubt: str | None
    stolen: tuple[Stolen, ...] = ()
    by_governance: bool = False

    @property
    def halted(self) -> bool:
        """Whether the peg is halted, as far as this node knows."""
        return bool(self.lost or self.stolen) or self.by_governance

    @property
    def stolen_sat(self) -> Sat:
        """The amount that the ledger holds, and that others have spent."""
        return Sat(sum(one.amount for one in self.stolen))

    @property
    def reason(self) -> str | None:
        """The reason why the peg is halted; None if it is not."""
        if self.stolen:
            one, more = self.stolen[0], len(self.stolen) - 1
            others = f" and {more} more" if more else ""
            return (
                f"the Bitcoin transaction {displayed(one.txid)}{others}, which no block has proposed, has spent "
                f"{self.stolen_sat} sat of the federation: a quorum of its keys was used outside of the protocol"
            )
        if self.lost:
            first, more = self.lost[0], len(self.lost) - 1
            others = f", nor {more} more" if more else ""
            kind = "confirmed payment" if first.is_payment else "minted deposit"
            return f"the {kind} {displayed(first.txid)} is not on Bitcoin any more{others}"
        return "governance has halted it, until it resumes it" if self.by_governance else None


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
    """Check that Bitcoin has all that the ledger relies on, before this member signs a payment.

    Raises `NotSeenOnBitcoin` while the peg is halted, and `NotNow` while the Bitcoin node does not answer.
    """
