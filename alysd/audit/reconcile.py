"""Explains every mint, payment and refund of the peg, and sums up the amounts held, owed and minted.

All amounts are in sat. A problem is a sentence about something that no rule of docs/protocol.md explains.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import attrs

from alysd.audit.explain import Explained, explain
from alysd.audit.records import RESERVE, AlysFindings, BitcoinFindings, Burned, Paid, PegTerms
from alysd.types.units import Sat

REFUND_DIVISOR = 10
"""A refused burn below `peg_out_minimum` divided by this is not refunded (docs/protocol.md, "Burns")."""

SMALLEST_CHANGE = 330
"""The smallest change of a payment, in sat (docs/protocol.md, "Proposal")."""

MIN_CONSOLIDATED = 20
"""The minimum number of inputs of a consolidation (docs/protocol.md, "Consolidation")."""

MAX_CONSOLIDATION_BLOCKS = 2_016
"""The number of Bitcoin blocks for which a consolidation may be in flight after its request was paid.

It is the time after which Bitcoin Core drops a transaction that waits: two weeks.
"""


@attrs.frozen
class Totals:
    """The sums of the peg.

    `waiting` are credited deposits that no block has minted yet, `uncredited` payments to the federation that are
    no deposits. `held` are the federation's coins from deposits and changes, without those that wait.
    """

    held: int
    burned: int
    minted: int
    refunded: int
    refunds_due: int
    owed: int
    reserve: int
    waiting: int
    uncredited: int
    paid: int
    bitcoin_fees: int

    @property
    def missing(self) -> int:
        """The amount by which the federation holds less than the equality requires; negative for a surplus."""
        owes = self.minted + self.refunded + self.refunds_due + self.owed + self.reserve
        return owes - self.burned - self.held


@attrs.frozen
class Report:
    """The result of an audit. `open` is the number of deposits, requests and refunds that still wait."""

    totals: Totals
    problems: tuple[str, ...]
    open: int

    @property
    def equal(self) -> bool:
        """Whether everything is explained, and the federation holds the amount that the equality requires."""
        return not self.problems and self.totals.missing == 0


@attrs.define
class _Request:
    """A burn that was accepted: `script` is to get `owed`, less a share of the fee."""

    script: bytes
    owed: Sat
    paid: bool = False


@attrs.define
class _Joined:
    """The consolidations that may explain charges (docs/protocol.md, "Consolidation").

    `fees` is the sum of the fees of the confirmed ones that no request has borne yet. The blocks say which request
    bears them, and the two chains do not. The first payee of a later payment may get so much less than it is owed.

    This payment can also be confirmed before the consolidation. `ahead` is the number of such payments. The two
    chains do not show a consolidation in flight, so this bounds what it explains: the federation has `coins` coins
    up to the Bitcoin block `height`, and a request that bears a consolidation is still owed `least` sat.
    """

    fees: int
    coins: int
    height: int
    least: int
    ahead: int = 0

    def may_bear(self, request: _Request) -> int:
        """The largest sum that a request can bear."""
        return max(self.fees, request.owed - self.least)

    def explains(self, payment: Paid, found: "_Match") -> bool:
        """Whether the charge of the first payee is of consolidations, confirmed or in flight."""
        if found.charge <= self.fees:
            return True
        return (
            self.coins >= MIN_CONSOLIDATED
            and self.height - payment.height <= MAX_CONSOLIDATION_BLOCKS
            and found.requests[0].owed - found.charge >= self.least
        )


def reconcile(
    bitcoin: BitcoinFindings, alys: AlysFindings, terms: PegTerms, scripts: Mapping[bytes, bytes | None]
) -> Report:
    """Reconcile the two chains. `scripts` maps the burns' addresses to output scripts; None: not payable."""
    problems = [*bitcoin.problems, *alys.problems]
    requests: list[_Request] = []
    refused: list[Burned] = []
    reserve = sum(one.amount for one in bitcoin.deposits if one.recipient == RESERVE)
    for burned in alys.burns:
        script = scripts[burned.address]
        if script is not None and burned.amount >= terms.peg_out_minimum:
            requests.append(_Request(script, Sat(burned.amount - terms.service_fee)))
            reserve += terms.service_fee
        elif REFUND_DIVISOR * burned.amount < terms.peg_out_minimum:
            reserve += burned.amount
        else:
            refused.append(burned)
    fees = sum(one.fee for one in bitcoin.payments if not one.payees)
    joined = _Joined(fees, len(bitcoin.coins), bitcoin.height, terms.peg_out_minimum - terms.service_fee)
    for payment in bitcoin.payments:
        reserve -= _take_payment(payment, requests, joined, problems)
    explained = _explain_withdrawals(bitcoin, alys, refused, problems)
    totals = _sum_up(bitcoin, alys, requests, refused, explained, reserve)
    if alys.bridge_sat < totals.burned:
        problems.append(f"the bridge contract has {alys.bridge_sat} sat, and {totals.burned} sat were burned")
    if totals.reserve + min(joined.fees, totals.owed) < 0:
        problems.append(f"payments took {-totals.reserve} sat more from the reserve than it had")
    waiting = sum(not one.paid for one in requests) + joined.ahead
    return Report(totals, tuple(problems), explained.waiting_deposits + explained.waiting_refunds + waiting)


def _take_payment(payment: Paid, requests: Sequence[_Request], joined: _Joined, problems: list[str]) -> int:
    """Mark the requests that a payment pays, and return by how much it lowers the reserve.

    This is the part of its fee that the payees do not bear. It is negative if the payees have raised a rest to the
    smallest change, or if the first one bears the fees of consolidations. A consolidation pays no request.
    """
    if not payment.payees:
        return payment.fee
    name = f"Bitcoin transaction {payment.txid[::-1].hex()}"
    # Payments confirm in any order, so a later request to the same address may be paid first.
    found = min(_matches(payment, requests, joined), key=lambda one: one.charge > joined.fees, default=None)
    if found is None:
        problems.append(f"{name} pays {payment.spent - payment.change} sat that no request explains")
        return 0
    if not joined.explains(payment, found):
        problems.append(f"the payees of {name} bear more than its fee and the fees of consolidations")
    elif found.charge > joined.fees:
        joined.ahead += 1
    for one in found.requests:
        one.paid = True
    joined.fees -= min(found.charge, joined.fees)
    return payment.fee - found.borne


@attrs.frozen
class _Match:
    """The requests that a payment may pay.

    They bear `borne`: the fee, what a change that was raised lacks, and for consolidations at least `charge`.
    """

    requests: Sequence[_Request]
    borne: int
    charge: int


def _matches(payment: Paid, requests: Sequence[_Request], joined: _Joined) -> Iterator[_Match]:
    """All requests that can be the first payee, each with the requests of the others."""
    for place, request in enumerate(requests):
        first = request.owed - payment.payees[0][1]
        if request.paid or request.script != payment.payees[0][0] or first < 0:
            continue
        found = _others_of(payment, requests[place + 1 :], first, joined.may_bear(request))
        if found is None:
            continue
        share, others = found
        part = payment.fee - share * len(payment.payees)
        raised = SMALLEST_CHANGE - 1 if payment.change == SMALLEST_CHANGE else 0
        charge = first - share + max(0, -part - raised)
        yield _Match((request, *others), first + share * len(others), charge)


def _others_of(
    payment: Paid, requests: Sequence[_Request], borne: int, charged: int
) -> tuple[int, list[_Request]] | None:
    """Each payee's share of the fee, and the requests of the payees after the first, which bears `borne`.

    The first one may bear up to `charged` more than the others.
    """
    others = payment.payees[1:]
    if not others:
        return borne, []
    script, amount = others[0]
    for share in dict.fromkeys(one.owed - amount for one in requests if not one.paid and one.script == script):
        found = _payees_of(others, requests, share) if 0 <= borne - share <= charged else None
        if found is not None:
            return share, found
    return None


def _payees_of(
    payees: Sequence[tuple[bytes, Sat]], requests: Sequence[_Request], share: int
) -> list[_Request] | None:
    """The requests, in order, that these outputs pay when each bears `share` of the fee."""
    found: list[_Request] = []
    rest = iter(requests)
    for script, amount in payees:
        request = next(
            (one for one in rest if not one.paid and one.script == script and one.owed - share == amount), None
        )
        if request is None:
            return None
        found.append(request)
    return found


@attrs.frozen
class _Minting:
    minted: int
    refunded: int
    waiting: int
    waiting_deposits: int
    waiting_refunds: int


def _explain_withdrawals(
    bitcoin: BitcoinFindings,
    alys: AlysFindings,
    refused: Sequence[Burned],
    problems: list[str],
) -> _Minting:
    """Explain the withdrawals of each recipient by deposits to it and refunds to it."""
    deposits: dict[bytes, list[Sat]] = defaultdict(list)
    for one in bitcoin.deposits:
        if one.recipient != RESERVE:
            deposits[one.recipient].append(one.amount)
    due: dict[bytes, list[Sat]] = defaultdict(list)
    for burned in refused:
        due[burned.sender].append(burned.amount)
    made: dict[bytes, list[Sat]] = defaultdict(list)
    for withdrawn in alys.withdrawals:
        made[withdrawn.recipient].append(withdrawn.amount)
    minted = refunded = 0
    left = {who: Explained(0, 0, tuple(deposits[who]), tuple(due[who])) for who in {*deposits, *due}}
    for who, amounts in made.items():
        found = explain(amounts, deposits[who], due[who])
        if found is None:
            problems.append(f"0x{who.hex()} got {sum(amounts)} sat that its deposits and refunds do not explain")
            continue
        left[who] = found
        minted, refunded = minted + found.minted, refunded + found.refunded
    return _Minting(
        minted=minted,
        refunded=refunded,
        waiting=sum(sum(one.waiting) for one in left.values()),
        waiting_deposits=sum(len(one.waiting) for one in left.values()),
        waiting_refunds=sum(len(one.due) for one in left.values()),
    )


def _sum_up(
    bitcoin: BitcoinFindings,
    alys: AlysFindings,
    requests: Sequence[_Request],
    refused: Sequence[Burned],
    explained: _Minting,
    reserve: int,
) -> Totals:
    owed = sum(one.owed for one in requests if not one.paid)
    due = sum(one.amount for one in refused) - explained.refunded
    return Totals(
        held=sum(bitcoin.coins.values()) - explained.waiting,
        burned=sum(one.amount for one in alys.burns),
        minted=explained.minted,
        refunded=explained.refunded,
        refunds_due=due,
        owed=owed,
        reserve=reserve,
        waiting=explained.waiting,
        uncredited=sum(one.amount for one in bitcoin.uncredited),
        paid=sum(amount for payment in bitcoin.payments for _, amount in payment.payees),
        bitcoin_fees=sum(payment.fee for payment in bitcoin.payments),
    )
