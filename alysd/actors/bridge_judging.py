"""Judges other authors' proposals by this node's own Bitcoin node and by the outputs that they could spend."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import attrs
import trio

from alysd.actors.bridge_contents import BridgeMemory, Versions
from alysd.actors.bridge_reads import BridgeReads
from alysd.consensus.peg_ledger import spendings_at
from alysd.errors import NotSeenOnBitcoin, PaymentDeclined
from alysd.peg.coins import Coin
from alysd.peg.consolidation import Waiting, judge_consolidation
from alysd.peg.estimates import (
    STUCK_BLOCKS,
    bounded_estimate,
    check_rate_near,
)
from alysd.peg.ledger import Draft, free_reserve, number_key
from alysd.peg.moves import (
    check_worth,
    judge_move,
)
from alysd.peg.proposals import (
    CONSOLIDATE_ABOVE,
    MAX_PAYEES,
    is_move,
    waiting_requests,
)
from alysd.peg.selection import check_former_needed, judge_selection
from alysd.peg.signing import Spending
from alysd.peg.weights import rate_of
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import (
    ConfirmedPegOut,
    OutPoint,
    Payment,
    PaymentVersion,
    PegOutProposal,
)
from alysd.types.tables import Table
from alysd.types.units import Sat

MAX_JUDGED = CONSOLIDATE_ABOVE + 1
"""The number of outputs of a federation that are read for a judgement: the largest, more than a payment spends."""


@attrs.frozen
class ProposalJudge:
    """Judges proposals of children of a block."""

    reads: BridgeReads
    memory: BridgeMemory

    async def judge(
        self,
        proposal: PegOutProposal,
        made: Payment,
        parent: ChainState,
        versions: Versions,
        confirmed: Sequence[ConfirmedPegOut],
    ) -> None:
        """Judge the fee rate and the choice of outputs, or whether a payment may be replaced yet.

        `made` is the payment in the ledger after the block, and `confirmed` are the peg-outs that the block
        confirms. Raises `NotSeenOnBitcoin` and `PaymentDeclined`.
        """
        spendings = await trio.to_thread.run_sync(spendings_at, parent, self.reads.context)
        replaced = None
        if proposal.replaces is not None:
            before = next(one for one in versions.payments if one.versions[0].txid == proposal.replaces)
            if not versions.unconfirmed(before):
                raise NotSeenOnBitcoin(f"the payment {displayed(proposal.replaces)} is in a Bitcoin block already")
            if waited(self.memory, before, await self.reads.tip()) < STUCK_BLOCKS:
                raise PaymentDeclined(
                    f"the payment {displayed(proposal.replaces)}, which it replaces, has not waited for "
                    f"{STUCK_BLOCKS} Bitcoin blocks yet, as far as this node has seen"
                )
            replaced = rate_of(before, before.versions[-1].fee, spendings)
        rate = rate_of(made, made.versions[-1].fee, spendings)
        check_rate_near(rate, await estimate_of(self.reads), replaced)
        if proposal.replaces is not None:
            check_worth(made, rate, spendings)
            return
        if confirmed and not made.payees:
            # The confirmations change the reserve, and with it whether this is a move or a consolidation. Authors
            # propose nothing beside confirmations.
            raise PaymentDeclined(
                f"it has no payees, and its block confirms {len(confirmed)} payments: propose it in a later block"
            )
        await self._judge_outputs(made, parent, versions, {one.txid for one in confirmed}, spendings)

    async def _judge_outputs(
        self,
        made: Payment,
        parent: ChainState,
        versions: Versions,
        confirmed: AbstractSet[BitcoinHash],
        spendings: Sequence[Spending],
    ) -> None:
        """Judge the choice of outputs. Raises `PaymentDeclined`."""
        # The proposal can also spend the changes of the payments that its block confirms.
        changes = [_coin(*one, spendings) for one in versions.each() if one[1].txid in confirmed and one[0].change]

        async def coins_of(federation: int) -> list[Coin]:
            coins = list(await self.reads.coins(parent.hash, spendings, federation, MAX_JUDGED))
            coins += [one for one in changes if one.federation == federation]
            return sorted(coins, key=lambda coin: coin.amount, reverse=True)

        coins, reserve = await coins_of(made.spender), free_reserve(parent.peg)
        if not made.payees and is_move(made, reserve):
            judge_move(made, coins, reserve, spendings)
            return
        first = waiting_requests(await requests_after(self.reads, parent), 1)
        left = versions.without(confirmed)
        if made.is_of_former:
            own = await coins_of(made.federation)
            check_former_needed(made, Waiting(first[0].owed, own, changes_of(left, made.federation)))
        if made.payees:
            judge_selection(made, coins, spendings)
        else:
            judge_consolidation(made, Waiting(first[0].owed, coins, changes_of(left, made.spender)))


def waited(memory: BridgeMemory, payment: Payment, tip: int) -> int:
    """The number of Bitcoin blocks since the newest version was signed, as far as this node has seen."""
    return tip - memory.signed.get(payment.versions[-1].txid, tip)


async def estimate_of(reads: BridgeReads) -> int:
    """This node's fee estimate, within the bounds of the chain."""
    spec = reads.context.spec
    return bounded_estimate(await reads.fee_rate(), spec.peg_out_fallback_fee_rate, spec.peg_out_max_fee_rate)


async def requests_after(reads: BridgeReads, parent: ChainState) -> Draft:
    """A draft with the requests at the front of the queue after `parent`."""
    totals = parent.peg
    last = min(totals.next_request, totals.first_request + MAX_PAYEES)
    numbers = [number_key(number) for number in range(totals.first_request, last)]
    return Draft(totals, await reads.ledger(Table.REQUESTS, numbers, parent.hash))


def _coin(payment: Payment, version: PaymentVersion, spendings: Sequence[Spending]) -> Coin:
    """The change of a version of a payment as an output that can be spent."""
    spends = OutPoint(version.txid, len(payment.payees))
    return Coin(spends, payment.change_of(version), payment.federation, spendings[payment.federation].weight)


def changes_of(versions: Versions, federation: int) -> list[Sat]:
    """The changes that payments in flight from outputs of this federation will make for it.

    Those of moves do not count, because nobody knows whether the former members still sign.
    """
    own = [one for one in versions.payments if one.spender == one.federation == federation]
    return [one.change_of(one.versions[-1]) for one in own if one.change]
