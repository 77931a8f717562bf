"""Every member approves every proposal of an honest author: random ledgers, fee rates and queues of requests."""

from random import Random

import attrs

from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.consolidation import Waiting, judge_consolidation, make_consolidation
from alysd.peg.estimates import (
    LOW_RATE,
    bounded_estimate,
    check_rate_near,
    least_replacement,
    replacement_helps,
)
from alysd.peg.ledger import check_totals, free_reserve
from alysd.peg.proposals import CONSOLIDATE_ABOVE, MAX_IN_FLIGHT, least_owed, waiting_requests
from alysd.peg.selection import judge_selection
from alysd.peg.versions import transaction_of
from alysd.peg.weights import least_minimum, rate_of
from alysd.types.peg import MAX_INPUTS, Burn, Payment, PegContents, PegOutProposal
from alysd.types.units import Height
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import PAYABLE, RULES, SPENDINGS, LedgerBook, make_burn
from tests.thorough import cases

MOST = RULES.peg_out_max_fee_rate
LEAST = least_minimum(3, MOST)
MARGIN = 50
HISTORIES = cases(60, 1_500)


class Federation:
    """A ledger with random deposits, whose members all have one fee `estimate`."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  not used for secrets
        self.estimate = 0
        self.book = LedgerBook()
        scale = self.random.choice([1, 3, 100]) * LEAST
        count = self.random.choice([1, 3, 10, 60, 105, 150, 300])
        amounts = [LEAST + self.random.choice([0, 5, self.random.randrange(scale)]) for _ in range(count)]
        self.book.hold(amounts, reserve=self.random.choice([0, 0, LEAST, 10 * LEAST]))

    def step(self) -> str:
        """Burn, and then replace, confirm or propose. Returns what was done."""
        self.estimate = bounded_estimate(
            self.random.choice([500, 1_000, 4_999, 5_000, 20_000, 199_990, 10**6]), 2_000, MOST
        )
        self.book.block(PegContents(), tuple(self.burns()))
        payments, totals = self.book.payments(), self.book.totals
        full = totals.payments == MAX_IN_FLIGHT or totals.first_request == totals.next_request
        if payments and (full or self.random.random() < 0.5):
            return self.move(self.random.choice(payments))
        return "nothing" if full else self.propose()

    def burns(self) -> list[Burn]:
        """Requests of random amounts, some of exactly what a few outputs hold, or almost."""
        totals, least = self.book.totals, 26 * LEAST // 25
        left = totals.minted + totals.refunded - totals.burned
        burns: list[Burn] = []
        for _ in range(self.random.choice([0, 0, 1, 3, 70])):
            coins = self.book.free_coins()
            some = self.random.sample(coins, min(3, len(coins)))
            exact = sum(coin.amount for coin in some) + RULES.peg_out_service_fee - self.random.choice([0, 1, 329])
            amount = self.random.choice([least, 2 * least, left // self.random.choice([1, 2, 50]), exact])
            if least <= amount <= left:
                burns.append(make_burn(amount, self.random.choice(PAYABLE)))
                left -= amount
        return burns

    def move(self, payment: Payment) -> str:
        """Sign, replace or confirm a payment in flight."""
        newest = payment.versions[-1]
        if newest.signed is not None and self.random.random() < 0.7:
            return self.replace(payment)
        if newest.signed is None and self.random.random() < 0.6:
            versions = (*payment.versions[:-1], attrs.evolve(newest, signed=Height(1)))
            name = payment.versions[0].txid
            self.book.entries[Payment, name] = attrs.evolve(payment, versions=versions)
            return "signed"
        self.book.confirm(self.random.choice(payment.versions).txid)
        return "confirmed"

    def replace(self, payment: Payment) -> str:
        """Replace a payment as an author does, and judge the replacement."""
        old = rate_of(payment, payment.versions[-1].fee, SPENDINGS)
        if not replacement_helps(old, self.estimate):
            return "not replaced"
        rate = max(self.estimate, least_replacement(old))
        made = make_replacement(payment, rate, SPENDINGS, make_transaction)
        if made is None or rate > MOST - MARGIN:
            return "not replaced"
        if made.reserve_fee - payment.reserve_fee_of(payment.versions[-1]) > free_reserve(self.book.totals):
            return "not replaced"
        self.take(made, old)
        return "replaced"

    def propose(self) -> str:
        """Propose a payment or a consolidation as an author does, and judge it."""
        book, rate = self.book, min(self.estimate, MOST - MARGIN)
        coins, draft = book.free_coins(), book.draft()
        changes = [one.change_of(one.versions[-1]) for one in book.payments() if one.change]
        waiting = Waiting(waiting_requests(draft, 1)[0].owed, coins[:MAX_INPUTS], changes)
        for wish in (Wish(rate, MOST, "minimize-fee", rate <= LOW_RATE), Wish(rate, MOST, "largest-first")):
            made = make_proposal(draft, coins, wish, SPENDINGS, make_transaction)
            if made is not None:
                judge_selection(self.take(made), coins[: CONSOLIDATE_ABOVE + 1], SPENDINGS)
                return "small outputs joined" if made.reserve_fee > 329 else "proposed"
        joined = make_consolidation(waiting, rate, least_owed(RULES), SPENDINGS, make_transaction)
        if joined is None:
            assert book.payments(), "nothing waits for ever"
            return "waits for a payment in flight"
        judge_consolidation(self.take(joined), waiting)
        return "consolidated"

    def take(self, made: PegOutProposal, replaced: int | None = None) -> Payment:
        """Take a proposal into the ledger, judge its rate, and check that the members can sign it."""
        payment = self.book.propose(made)
        newest = payment.versions[-1]
        check_rate_near(rate_of(payment, newest.fee, SPENDINGS), self.estimate, replaced)
        assert transaction_of(payment, newest, SPENDINGS, make_transaction) == made.transaction
        check_totals(self.book.totals)
        return payment


def test_members_approve_what_an_author_makes() -> None:
    """A proposal that they refuse is made again by every author, and payments stop."""
    done: dict[str, int] = {}
    for seed in range(HISTORIES):
        federation = Federation(seed)
        for _ in range(federation.random.randrange(30)):
            what = federation.step()
            done[what] = done.get(what, 0) + 1
    wanted = {"proposed", "small outputs joined", "consolidated", "replaced", "confirmed", "signed"}
    assert {what for what, count in done.items() if count > HISTORIES // 30} >= wanted, done
