"""Makes the proposal of a block."""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio

from alysd.actors.bridge_contents import BridgeMemory, Versions
from alysd.actors.bridge_judging import changes_of, estimate_of, requests_after, waited
from alysd.actors.bridge_reads import BridgeReads
from alysd.consensus.peg_ledger import spendings_at
from alysd.messages.log.base import LogEvent, log
from alysd.messages.log.peg import FormerOutputsWait
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.coins import Coin
from alysd.peg.consolidation import Waiting, make_consolidation
from alysd.peg.estimates import (
    LOW_RATE,
    STUCK_BLOCKS,
    least_replacement,
    replacement_helps,
)
from alysd.peg.ledger import Draft, free_reserve
from alysd.peg.moves import (
    fee_of_move,
    make_move,
    moves_dearly,
    worth_moving,
)
from alysd.peg.proposals import (
    FEES_OF_MOVE,
    MAX_IN_FLIGHT,
    MAX_OF_FORMER,
    least_owed,
    waiting_requests,
)
from alysd.peg.signing import Spending
from alysd.peg.weights import rate_of
from alysd.types.chain import ChainState
from alysd.types.peg import (
    OutPoint,
    Payment,
    PegOutProposal,
    PegRules,
)
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

MARGIN = 50
"""The distance of a proposal's fee rate from the bounds, in sat per 1,000 virtual bytes, because shares are
rounded up."""


@attrs.define
class Proposals:
    """Makes proposals in children of a block."""

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
            if (
                versions.unconfirmed(payment)
                and waited(self.memory, payment, await self.reads.tip()) > STUCK_BLOCKS
            ):
                newer = await self._newer(payment, parent, spendings)
                if newer is not None:
                    return newer
        former = await self._free_of_former(parent, spendings)
        waits = parent.peg.first_request < parent.peg.next_request
        if not former and not waits:
            return None
        rate = min(await estimate_of(self.reads), self.reads.context.spec.peg_out_max_fee_rate - MARGIN)
        moved = await self._move(former, parent, rate, spendings)
        if moved is not None or not waits:
            return moved
        return await self._payment(former, parent, versions, rate, spendings)

    async def note_signed(self, versions: Versions) -> None:
        """Remember the height of Bitcoin since which each version has its witnesses.

        A version keeps its height even if the parent block is on a branch without the witnesses.
        """
        every = [one for payment in versions.payments for one in payment.versions]
        known = {one.txid: self.memory.signed[one.txid] for one in every if one.txid in self.memory.signed}
        if unknown := [one.txid for one in every if one.signed is not None and one.txid not in known]:
            known |= zip(unknown, await self.reads.signed_since(unknown), strict=True)
        self.memory.signed = known

    async def _newer(
        self, payment: Payment, parent: ChainState, spendings: Sequence[Spending]
    ) -> PegOutProposal | None:
        newest, estimate = rate_of(payment, payment.versions[-1].fee, spendings), await estimate_of(self.reads)
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
        draft = await requests_after(self.reads, parent)
        coins = await self.reads.coins(parent.hash, spendings, newest)
        waiting = Waiting(waiting_requests(draft, 1)[0].owed, coins, changes_of(versions, newest))
        for old in former if waiting.is_stuck else ():
            made = await self._paid_from(draft, old, rate, spendings)
            others = attrs.evolve(waiting, coins=old, changes=changes_of(versions, old[0].federation))
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
