"""Makes the proposal of a block, and judges those of other authors by this node's own Bitcoin node."""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio

from alysd.actors.bridge_contents import BridgeMemory, Versions
from alysd.actors.bridge_reads import MAX_COINS, BridgeReads
from alysd.consensus.peg_ledger import spendings_at
from alysd.errors import NotSeenOnBitcoin, PaymentDeclined
from alysd.messages.log.base import LogEvent, log
from alysd.messages.log.peg import FormerOutputsWait
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.coins import Coin
from alysd.peg.consolidation import Waiting, judge_consolidation, make_consolidation
from alysd.peg.estimates import (
    LOW_RATE,
    STUCK_BLOCKS,
    bounded_estimate,
    check_rate_near,
    least_replacement,
    replacement_helps,
)
from alysd.peg.ledger import Draft, free_reserve, number_key
from alysd.peg.moves import fee_of_move, former_coins, judge_move, make_move
from alysd.peg.proposals import (
    MAX_IN_FLIGHT,
    MAX_PAYEES,
    is_move,
    least_owed,
    waiting_requests,
)
from alysd.peg.selection import judge_selection
from alysd.peg.signing import Spending
from alysd.peg.weights import rate_of
from alysd.types.chain import ChainState
from alysd.types.hashes import displayed
from alysd.types.peg import (
    MAX_INPUTS,
    ConfirmedPegOut,
    OutPoint,
    Payment,
    PaymentVersion,
    PegOutProposal,
    PegRules,
)
from alysd.types.tables import Table
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

MARGIN = 50
"""The distance of a proposal's fee rate from the bounds, in sat per 1,000 virtual bytes, because shares are
rounded up."""


@attrs.define
class Proposals:
    """Makes and judges proposals of children of a block."""

    reads: BridgeReads
    memory: BridgeMemory
    rules: PegRules
    report: Callable[[LogEvent], None] = log
    _waiting: frozenset[OutPoint] = frozenset()

    async def make(self, parent: ChainState, versions: Versions) -> PegOutProposal | None:
        """A newer version of a payment that is stuck, or a payment of the requests at the front of the queue.

        `versions` are the payments in flight after `parent`.
        """
        spendings = await trio.to_thread.run_sync(spendings_at, parent, self.reads.context)
        for payment in versions.payments:
            # One block more than the rules require, because other members may see a Bitcoin block later.
            if versions.unconfirmed(payment) and self._waited(payment, await self.reads.tip()) > STUCK_BLOCKS:
                newer = await self._newer(payment, parent, spendings)
                if newer is not None:
                    return newer
        totals = parent.peg
        if totals.payments >= MAX_IN_FLIGHT:
            return None
        if totals.first_request == totals.next_request:
            return await self._move(parent, spendings)
        return await self._payment(parent, versions, spendings)

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
            if self._waited(before, await self.reads.tip()) < STUCK_BLOCKS:
                raise PaymentDeclined(
                    f"the payment {displayed(proposal.replaces)}, which it replaces, has not waited for "
                    f"{STUCK_BLOCKS} Bitcoin blocks yet, as far as this node has seen"
                )
            replaced = rate_of(before, before.versions[-1].fee, spendings)
        rate = rate_of(made, made.versions[-1].fee, spendings)
        check_rate_near(rate, await self._estimate(), replaced)
        if proposal.replaces is not None:
            return
        # The proposal can also spend the changes of the payments that its block confirms.
        moves = not made.payees and is_move(made, parent.peg)
        coins = list(await self.reads.coins(parent.hash, spendings, MAX_COINS if moves else MAX_INPUTS))
        names = {one.txid for one in confirmed}
        coins += [_coin(*one, spendings) for one in versions.each() if one[1].txid in names and one[0].change]
        coins.sort(key=lambda coin: coin.amount, reverse=True)
        if made.payees:
            judge_selection(made, coins, spendings)
            return
        if moves:
            judge_move(made, coins, free_reserve(parent.peg), spendings)
            return
        (first,) = waiting_requests(await self._requests(parent), 1)
        judge_consolidation(made, Waiting(first.owed, coins, _changes(versions.without(names))))

    async def note_signed(self, versions: Versions) -> None:
        """Remember the height of Bitcoin since which each version has its witnesses.

        A version keeps its height even if the parent block is on a branch without the witnesses.
        """
        every = [one for payment in versions.payments for one in payment.versions]
        known = {one.txid: self.memory.signed[one.txid] for one in every if one.txid in self.memory.signed}
        if unknown := [one.txid for one in every if one.signed is not None and one.txid not in known]:
            known |= zip(unknown, await self.reads.signed_since(unknown), strict=True)
        self.memory.signed = known

    def _waited(self, payment: Payment, tip: int) -> int:
        """The number of Bitcoin blocks since the newest version was signed, as far as this node has seen."""
        return tip - self.memory.signed.get(payment.versions[-1].txid, tip)

    async def _estimate(self) -> int:
        """This node's fee estimate, within the bounds of the chain."""
        spec = self.reads.context.spec
        return bounded_estimate(
            await self.reads.fee_rate(), spec.peg_out_fallback_fee_rate, spec.peg_out_max_fee_rate
        )

    async def _newer(
        self, payment: Payment, parent: ChainState, spendings: Sequence[Spending]
    ) -> PegOutProposal | None:
        newest, estimate = rate_of(payment, payment.versions[-1].fee, spendings), await self._estimate()
        if not replacement_helps(newest, estimate):
            return None
        rate = max(estimate, least_replacement(newest))
        made = make_replacement(payment, rate, spendings, make_transaction)
        if made is None:
            return None
        fee = payment.spent - sum(output.amount for output in made.transaction.outputs)
        if rate_of(payment, fee, spendings) > self.rules.peg_out_max_fee_rate:
            return None
        rise = made.reserve_fee - payment.reserve_fee_of(payment.versions[-1])
        return made if rise <= free_reserve(parent.peg) else None

    async def _move(self, parent: ChainState, spendings: Sequence[Spending]) -> PegOutProposal | None:
        """Move outputs of former federations, if there are any and the reserve can pay for it."""
        if len(spendings) == 1:
            return None
        former = former_coins(await self.reads.coins(parent.hash, spendings), spendings)
        rate = min(await self._estimate(), self.reads.context.spec.peg_out_max_fee_rate - MARGIN)
        reserve = free_reserve(parent.peg)
        made = await trio.to_thread.run_sync(make_move, former, rate, reserve, spendings, make_transaction)
        if made is None and former:
            self._note_waiting(former, Sat(fee_of_move(former, rate, spendings) - reserve))
        return made

    def _note_waiting(self, former: Sequence[Coin], missing: Sat) -> None:
        """Log once, until the outputs change, that the reserve cannot pay for moving them."""
        waiting = frozenset(coin.outpoint for coin in former)
        if missing > 0 and waiting != self._waiting:
            self._waiting = waiting
            self.report(FormerOutputsWait(len(former), Sat(sum(coin.amount for coin in former)), missing))

    async def _payment(
        self, parent: ChainState, versions: Versions, spendings: Sequence[Spending]
    ) -> PegOutProposal | None:
        draft = await self._requests(parent)
        coins = await self.reads.coins(parent.hash, spendings)
        most = self.reads.context.spec.peg_out_max_fee_rate
        rate = min(await self._estimate(), most - MARGIN)
        for wish in (Wish(rate, most, "minimize-fee", rate <= LOW_RATE), Wish(rate, most, "largest-first")):
            made = await trio.to_thread.run_sync(
                partial(make_proposal, draft, coins, wish, spendings, make_transaction)
            )
            if made is not None:
                return made
        waiting = Waiting(waiting_requests(draft, 1)[0].owed, coins, _changes(versions))
        return make_consolidation(waiting, rate, least_owed(self.rules), spendings, make_transaction)

    async def _requests(self, parent: ChainState) -> Draft:
        """A draft with the requests at the front of the queue."""
        totals = parent.peg
        last = min(totals.next_request, totals.first_request + MAX_PAYEES)
        numbers = [number_key(number) for number in range(totals.first_request, last)]
        return Draft(totals, await self.reads.ledger(Table.REQUESTS, numbers, parent.hash))


def _coin(payment: Payment, version: PaymentVersion, spendings: Sequence[Spending]) -> Coin:
    """The change of a version of a payment as an output that can be spent."""
    spends = OutPoint(version.txid, len(payment.payees))
    return Coin(spends, payment.change_of(version), payment.federation, spendings[payment.federation].weight)


def _changes(versions: Versions) -> list[Sat]:
    """The changes that the payments in flight will make."""
    return [payment.change_of(payment.versions[-1]) for payment in versions.payments if payment.change]
