"""Makes the proposal of a block, and judges those of other authors by this node's own Bitcoin node."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import attrs
import trio

from alysd.actors.bridge_contents import BridgeMemory, Versions
from alysd.actors.bridge_reads import BridgeReads
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
from alysd.peg.moves import (
    check_worth,
    fee_of_move,
    judge_move,
    make_move,
    moves_dearly,
    worth_moving,
)
from alysd.peg.proposals import (
    FEES_OF_MOVE,
    MAX_IN_FLIGHT,
    MAX_OF_FORMER,
    MAX_PAYEES,
    is_move,
    least_owed,
    waiting_requests,
)
from alysd.peg.selection import check_former_needed, judge_selection
from alysd.peg.signing import Spending
from alysd.peg.weights import rate_of
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, displayed
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
    _waiting: dict[int, frozenset[OutPoint]] = attrs.field(factory=dict[int, frozenset[OutPoint]])

    async def make(self, parent: ChainState, versions: Versions) -> PegOutProposal | None:
        """A newer version of a payment that is stuck, or a move, or a payment of the requests that wait longest.

        `versions` are the payments in flight after `parent`. At most one move of a former federation is in flight,
        so moves delay users by a block now and then.
        """
        spendings = await trio.to_thread.run_sync(spendings_at, parent, self.reads.context)
        for payment in versions.payments:
            # One block more than the rules require, because other members may see a Bitcoin block later.
            if versions.unconfirmed(payment) and self._waited(payment, await self.reads.tip()) > STUCK_BLOCKS:
                newer = await self._newer(payment, parent, spendings)
                if newer is not None:
                    return newer
        former = await self._free_of_former(parent, spendings)
        waits = parent.peg.first_request < parent.peg.next_request
        if not former and not waits:
            return None
        rate = min(await self._estimate(), self.reads.context.spec.peg_out_max_fee_rate - MARGIN)
        moved = await self._move(former, parent, rate, spendings)
        if moved is not None or not waits:
            return moved
        return await self._payment(former, parent, versions, rate, spendings)

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
            check_worth(made, rate, spendings)
            return
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
            coins = list(await self.reads.coins(parent.hash, spendings, federation, MAX_INPUTS))
            coins += [one for one in changes if one.federation == federation]
            return sorted(coins, key=lambda coin: coin.amount, reverse=True)

        coins, reserve = await coins_of(made.spender), free_reserve(parent.peg)
        first = waiting_requests(await self._requests(parent), 1)
        if not made.payees and (is_move(made, reserve) or not first):
            judge_move(made, coins, reserve, spendings)
            return
        left = versions.without(confirmed)
        if made.is_of_former:
            own = await coins_of(made.federation)
            check_former_needed(made, Waiting(first[0].owed, own, _changes(left, made.federation)))
        if made.payees:
            judge_selection(made, coins, spendings)
        else:
            judge_consolidation(made, Waiting(first[0].owed, coins, _changes(left, made.spender)))

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
        if moves_dearly(payment, rate, spendings, judging=False):
            return None
        made = make_replacement(payment, rate, spendings, make_transaction)
        if made is None:
            return None
        fee = payment.spent - sum(output.amount for output in made.transaction.outputs)
        if rate_of(payment, fee, spendings) > self.rules.peg_out_max_fee_rate:
            return None
        rise = made.reserve_fee - payment.reserve_fee_of(payment.versions[-1])
        return made if rise <= free_reserve(parent.peg) else None

    async def _free_of_former(self, parent: ChainState, spendings: Sequence[Spending]) -> list[tuple[Coin, ...]]:
        """The outputs of each former federation that has some, and no payment in flight that spends others."""
        if len(spendings) == 1:
            return []
        found = await self.reads.former_coins(parent.hash, spendings)
        return [coins for coins in found if parent.peg.in_flight(coins[0].federation, former=True) < MAX_OF_FORMER]

    async def _move(
        self, former: Sequence[Sequence[Coin]], parent: ChainState, rate: int, spendings: Sequence[Spending]
    ) -> PegOutProposal | None:
        """Move outputs of a former federation, if the reserve can pay for it."""
        reserve = free_reserve(parent.peg)
        for coins in former:
            made = await trio.to_thread.run_sync(make_move, coins, rate, reserve, spendings, make_transaction)
            if made is not None:
                return made
            self._note_waiting(worth_moving(coins, rate), rate, reserve, spendings)
        return None

    def _note_waiting(self, coins: Sequence[Coin], rate: int, reserve: Sat, spendings: Sequence[Spending]) -> None:
        """Log once, until the outputs change, that the reserve cannot pay for moving them."""
        missing = FEES_OF_MOVE * fee_of_move(coins, rate, spendings) - reserve if coins else 0
        waiting = frozenset(coin.outpoint for coin in coins)
        if missing > 0 and waiting != self._waiting.get(coins[0].federation):
            self._waiting[coins[0].federation] = waiting
            self.report(FormerOutputsWait(len(coins), Sat(sum(coin.amount for coin in coins)), Sat(missing)))

    async def _payment(
        self,
        former: Sequence[Sequence[Coin]],
        parent: ChainState,
        versions: Versions,
        rate: int,
        spendings: Sequence[Spending],
    ) -> PegOutProposal | None:
        """Pay requests from outputs of the newest federation; the first one from former ones, if it must be."""
        newest = len(spendings) - 1
        full = parent.peg.in_flight(newest, former=False) >= MAX_IN_FLIGHT
        if full and not former:
            return None
        draft = await self._requests(parent)
        coins = await self.reads.coins(parent.hash, spendings, newest)
        waiting = Waiting(waiting_requests(draft, 1)[0].owed, coins, _changes(versions, newest))
        for old in former if waiting.is_stuck else ():
            made = await self._paid_from(draft, old, rate, spendings)
            others = attrs.evolve(waiting, coins=old, changes=_changes(versions, old[0].federation))
            joined = made or self._joined(others, rate, spendings)
            # Without payees it would be a move, of outputs that are not worth it now, if the reserve could pay.
            if made or (joined and FEES_OF_MOVE * joined.reserve_fee > free_reserve(parent.peg)):
                return joined
        if full:
            return None
        return await self._paid_from(draft, coins, rate, spendings) or self._joined(waiting, rate, spendings)

    def _joined(self, waiting: Waiting, rate: int, spendings: Sequence[Spending]) -> PegOutProposal | None:
        return make_consolidation(waiting, rate, least_owed(self.rules), spendings, make_transaction)

    async def _paid_from(
        self, draft: Draft, coins: Sequence[Coin], rate: int, spendings: Sequence[Spending]
    ) -> PegOutProposal | None:
        """Pay requests from these outputs of one federation."""
        most = self.reads.context.spec.peg_out_max_fee_rate
        for wish in (Wish(rate, most, "minimize-fee", rate <= LOW_RATE), Wish(rate, most, "largest-first")):
            made = await trio.to_thread.run_sync(
                partial(make_proposal, draft, coins, wish, spendings, make_transaction)
            )
            if made is not None:
                return made
        return None

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


def _changes(versions: Versions, federation: int) -> list[Sat]:
    """The changes that payments in flight from outputs of this federation will make for it.

    Those of moves do not count, because nobody knows whether the former members still sign.
    """
    own = [one for one in versions.payments if one.spender == one.federation == federation]
    return [one.change_of(one.versions[-1]) for one in own if one.change]
