"""Explains every mint, payment and refund of the peg, and sums up the amounts held, owed and minted.

All amounts are in sat. A problem is a sentence about something that no rule of docs/protocol.md explains.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice, product

import attrs

from alysd.audit.assign import MIN_CONSOLIDATED, Assignment, OwedRequest
from alysd.audit.explain import Explained, Got, explain
from alysd.audit.fees import readings
from alysd.audit.payments import MOST_REST, largest_fee, largest_fee_of
from alysd.audit.records import (
    RESERVE,
    AlysFindings,
    AlysRecords,
    BitcoinFindings,
    Burned,
    Deposited,
    FederationRecord,
    NotCreditedPayment,
    Paid,
    PegTerms,
)
from alysd.types.hashes import EvmAddress
from alysd.types.peg import OutPoint
from alysd.types.units import Height, Sat

REFUND_DIVISOR = 10
"""A refused burn below `peg_out_minimum` divided by this is not refunded (docs/protocol.md, "Burns")."""

MAX_READINGS = 64
"""The number of readings of the withdrawals that are tried."""

MAX_PAYMENT_READINGS = 16
"""The number of readings of payments whose last output may be that of a payee."""

MAX_CHOICES = 1_024
"""The number of tried ways in which blocks can have minted a recipient's deposits to several federations."""

MAX_CONSOLIDATION_BLOCKS = 2_016
"""The number of Bitcoin blocks for which a consolidation may be in flight after its request was paid.

It is the time after which Bitcoin Core drops a transaction that waits: two weeks.
"""

MAX_IN_FLIGHT, MAX_JOINED = 4, 100
"""The maximum number of payments in flight, and of the coins that one spends (docs/protocol.md, "Proposal").

Each former federation can have one more payment in flight.
"""

_WEIGHT_OF_REST = 300
"""More than the weight of a consolidation without its inputs: 14 bytes and an output of 43 bytes."""


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


def reconcile_all(
    bitcoin: BitcoinFindings,
    alys: AlysRecords,
    terms: PegTerms,
    scripts: Mapping[bytes, bytes | None],
    federations: Sequence[FederationRecord],
) -> tuple[Report, AlysFindings]:
    """Reconcile the two chains in each reading of the withdrawals, until the sides are equal in one of them.

    `scripts` are as in `reconcile`; `federations` are all of the chain, the first one first. Returns the report of
    the first reading if there is no such reading.
    """
    most: dict[EvmAddress, int] = defaultdict(int)
    for one in bitcoin.deposits:
        most[one.recipient] += one.amount
    for burned in alys.burns:
        most[burned.sender] += burned.amount
    tried: list[tuple[Report, AlysFindings]] = []
    for read in _readings_of_payments(bitcoin, alys, terms, scripts):
        for findings in islice(readings(alys, federations, most), MAX_READINGS):
            tried.append((reconcile(read, findings, terms, scripts), findings))
            if tried[-1][0].equal:
                return tried[-1]
    return tried[0]


def _readings_of_payments(
    bitcoin: BitcoinFindings, alys: AlysRecords, terms: PegTerms, scripts: Mapping[bytes, bytes | None]
) -> Iterator[BitcoinFindings]:
    """The ways to read the last output of payments without change: as change, which is likelier, or as a payee.

    A user can burn to the address of a federation before that is in force. The payment of this request looks as if
    it brought its rest to this federation.
    """
    own = list(terms.own)
    burned = {(scripts[one.address], one.block) for one in alys.burns}
    asked = {own.index(script) for script, block in burned if script and block < terms.own.get(script, 0)}
    unclear = [
        place
        for place, one in enumerate(bitcoin.payments)
        if one.change and one.federation in asked and _change_of(one) in bitcoin.coins
    ]
    subsets = (chosen for count in range(len(unclear) + 1) for chosen in combinations(unclear, count))
    for chosen in islice(subsets, MAX_PAYMENT_READINGS):
        yield _without_change(bitcoin, frozenset(chosen), own)


def _change_of(payment: Paid) -> OutPoint:
    return OutPoint(payment.txid, len(payment.payees))


def _without_change(bitcoin: BitcoinFindings, places: frozenset[int], own: Sequence[bytes]) -> BitcoinFindings:
    """The findings if the last outputs of the payments at these places are those of payees."""
    payments, coins, uncredited = list(bitcoin.payments), dict(bitcoin.coins), list(bitcoin.uncredited)
    for place in places:
        one = payments[place]
        payments[place] = attrs.evolve(
            one, payees=(*one.payees, (own[one.federation], one.change)), change=Sat(0), federation=0
        )
        del coins[_change_of(one)]
        uncredited.append(NotCreditedPayment(one.txid, one.change, "it is a payment to a federation"))
    return attrs.evolve(bitcoin, payments=tuple(payments), coins=coins, uncredited=tuple(uncredited))


def reconcile(
    bitcoin: BitcoinFindings, alys: AlysFindings, terms: PegTerms, scripts: Mapping[bytes, bytes | None]
) -> Report:
    """Reconcile the two chains. `scripts` maps the burns' addresses to output scripts; None: not payable."""
    problems = [*bitcoin.problems, *alys.problems]
    requests: list[OwedRequest] = []
    refused: list[Burned] = []
    reserve = 0
    for burned in alys.burns:
        script = scripts[burned.address]
        if script is not None and terms.own.get(script, burned.block + 1) <= burned.block:
            script = None  # a burn to a federation is refused
        if script is not None and burned.amount >= terms.peg_out_minimum:
            requests.append(OwedRequest(script, Sat(burned.amount - terms.service_fee)))
            reserve += terms.service_fee
        elif REFUND_DIVISOR * burned.amount < terms.peg_out_minimum:
            reserve += burned.amount
        else:
            refused.append(burned)
    explained = _explain_withdrawals(bitcoin, alys, refused, problems)
    reports: list[Report] = []
    given = _given(bitcoin)
    whole = sum(one.amount for one in bitcoin.deposits if one.recipient == RESERVE)
    for reserve_first, least in product((False, True), given):
        made = _explain_payments(bitcoin, requests, terms, reserve_first=reserve_first)
        unpaid = [one for number, one in enumerate(requests) if number not in made.paid]
        left = attrs.evolve(explained, left_out=explained.left_out + whole - least)
        totals = _sum_up(bitcoin, alys, unpaid, refused, left, reserve + least + made.reserve)
        found = [*problems, *made.problems, *_impossible(totals, alys, made, len(unpaid))]
        waiting = len(unpaid) + made.ahead + explained.waiting_deposits + explained.waiting_refunds
        reports.append(Report(totals, tuple(found), waiting))
    return next((one for one in reports if one.equal), reports[0])


def _given(bitcoin: BitcoinFindings) -> tuple[int, ...]:
    """The sums that the deposits can have given to the reserve, the likeliest first.

    The chains do not show how much of a deposit to several federations a block has taken for the reserve: a part,
    if that was before the later federation was in force, and then the rest stays unspent for ever. Only a deposit
    around a change can be in doubt (`BitcoinSide`).
    """
    deposits = [one for one in bitcoin.deposits if one.recipient == RESERVE]
    whole = sum(one.amount for one in deposits)
    unspent: dict[bytes, int] = defaultdict(int)
    for at, amount in bitcoin.coins.items():
        unspent[at.txid] += amount
    least = sum(
        min((one.amount, *(part for part in one.less if one.amount - part <= unspent[one.txid])))
        for one in deposits
    )
    return (least,) if least == whole else (least, whole)


def _impossible(totals: Totals, alys: AlysFindings, made: "_Payments", unpaid: int) -> Iterator[str]:
    """The sums that cannot be.

    A payment in flight has already given the reserve what its payees raised its rest by. A confirmed payment may
    have taken that. Each such payment pays one of the `unpaid` requests at least.
    """
    if alys.bridge_sat < totals.burned:
        yield f"the bridge contract has {alys.bridge_sat} sat, and {totals.burned} sat were burned"
    if totals.reserve + min(made.unborne, totals.owed) + MOST_REST * unpaid < 0:
        yield f"payments took {-totals.reserve} sat more from the reserve than it had"


@attrs.frozen
class _Payments:
    """The effects of all payments.

    They have paid the requests with the numbers `paid`, and changed the reserve by `reserve`. No request has borne
    `unborne` of the fees of consolidations yet. `ahead` is the number of consolidations in flight at least.
    `problems` are those that nothing explains.
    """

    paid: frozenset[int]
    reserve: int
    unborne: int
    ahead: int
    problems: tuple[str, ...]


def _explain_payments(
    bitcoin: BitcoinFindings, requests: Sequence[OwedRequest], terms: PegTerms, *, reserve_first: bool
) -> _Payments:
    """Explain each payment by the requests that it pays, and the charges of these by consolidations.

    The blocks say which request bears the fee of a consolidation, and the two chains do not: the first payee of a
    later payment gets so much less than it is owed. This payment can also be confirmed before the consolidation.
    The two chains do not show a consolidation in flight, so one explains only a recent payment, and only up to the
    largest fees for joining the coins that the federation has.
    """
    payments = bitcoin.payments
    joins = len(bitcoin.coins) >= MIN_CONSOLIDATED
    settled = frozenset(
        place
        for place, one in enumerate(payments)
        if not joins or bitcoin.height - one.height > MAX_CONSOLIDATION_BLOCKS
    )
    fees = sum(one.fee for one in payments if not one.payees and not _only_moves(one))
    least = terms.peg_out_minimum - terms.service_fee
    in_flight = _largest_in_flight(bitcoin, terms) if joins else 0
    places = Assignment(requests, payments, least, settled, fees, in_flight, reserve_first).run()
    problems: list[str] = []
    charged = reserve = charges = 0
    for number, payment in enumerate(payments):
        name = f"Bitcoin transaction {payment.txid[::-1].hex()}"
        place = places.get(number)
        if payment.fee > (most := largest_fee(payment, terms.max_fee_rate)):
            problems.append(f"{name} pays a fee of {payment.fee} sat; members approve at most {most} sat")
        if not payment.payees:
            reserve -= payment.fee
            if len(payment.inputs) < MIN_CONSOLIDATED and not payment.moves:
                problems.append(f"{name} pays no request, and joins {len(payment.inputs)} coins, too few")
        elif place is None:
            problems.append(f"{name} pays {payment.spent - payment.change} sat that no request explains")
        else:
            reserve += place.charge - place.reserve_fee
            charges += place.charge
            charged += place.charge if number in settled else 0
            if place.charge and (charged > fees if number in settled else charges > fees + in_flight):
                problems.append(f"the payees of {name} bear more than its fee and the fees of consolidations")
    paid = frozenset(number for place in places.values() for number in place.numbers)
    return _Payments(paid, reserve, max(0, fees - charges), int(charges > fees), tuple(problems))


def _only_moves(payment: Paid) -> bool:
    """Whether a payment can only be a move, whose fee no request bears."""
    return payment.moves and len(payment.inputs) < MIN_CONSOLIDATED


def _largest_in_flight(bitcoin: BitcoinFindings, terms: PegTerms) -> int:
    """The largest sum of the fees of consolidations in flight, whose inputs are among the federation's coins."""
    places = MAX_IN_FLIGHT + bitcoin.federations - 1
    inputs = min(len(bitcoin.coins), places * MAX_JOINED)
    weight = max((one.weight for payment in bitcoin.payments for one in payment.inputs), default=0)
    whole = inputs * weight + places * _WEIGHT_OF_REST
    return largest_fee_of(whole, terms.max_fee_rate) + (places - 1) * MOST_REST


@attrs.frozen
class _Minting:
    """The withdrawals as mints and refunds. `left_out` is the amount of deposits that no block will ever mint."""

    minted: int
    refunded: int
    waiting: int
    waiting_deposits: int
    waiting_refunds: int
    left_out: int


def _explain_withdrawals(
    bitcoin: BitcoinFindings,
    alys: AlysFindings,
    refused: Sequence[Burned],
    problems: list[str],
) -> _Minting:
    """Explain the withdrawals of each recipient by deposits to it and refunds to it."""
    deposits: dict[bytes, list[Deposited]] = defaultdict(list)
    requested: dict[bytes, list[Height]] = defaultdict(list)
    for one in bitcoin.deposits:
        if one.recipient != RESERVE:
            deposits[one.recipient].append(one)
    due: dict[bytes, list[Sat]] = defaultdict(list)
    for burned in refused:
        due[burned.sender].append(burned.amount)
        requested[burned.sender].append(burned.block)
    made: dict[bytes, list[Got]] = defaultdict(list)
    for withdrawn in alys.withdrawals:
        open_refunds = bisect_left(requested[withdrawn.recipient], withdrawn.block)
        made[withdrawn.recipient].append(Got(withdrawn.amount, open_refunds))
    minted = refunded = left_out = 0
    left = {
        who: Explained(0, 0, tuple(one.amount for one in deposits[who]), tuple(due[who]))
        for who in {*deposits, *due}
    }
    for who, amounts in made.items():
        found, unminted = _explained(amounts, deposits[who], due[who])
        if found is None:
            got = sum(one.amount for one in amounts)
            problems.append(f"0x{who.hex()} got {got} sat that its deposits and refunds do not explain")
            continue
        left[who] = found
        left_out += unminted
        minted, refunded = minted + found.minted, refunded + found.refunded
    return _Minting(
        minted=minted,
        refunded=refunded,
        waiting=sum(sum(one.waiting) for one in left.values()),
        waiting_deposits=sum(len(one.waiting) for one in left.values()),
        waiting_refunds=sum(len(one.due) for one in left.values()),
        left_out=left_out,
    )


def _explained(
    got: Sequence[Got], deposits: Sequence[Deposited], due: Sequence[Sat]
) -> tuple[Explained | None, int]:
    """Explain the withdrawals of a recipient, and tell which part of its deposits was left out of their mints."""
    whole = sum(one.amount for one in deposits)
    choices = product(*((one.amount, *one.less) for one in deposits))
    for amounts in islice(choices, MAX_CHOICES):
        found = explain(got, amounts, due)
        if found is not None:
            return found, whole - sum(amounts)
    return None, 0


def _sum_up(
    bitcoin: BitcoinFindings,
    alys: AlysFindings,
    unpaid: Sequence[OwedRequest],
    refused: Sequence[Burned],
    explained: _Minting,
    reserve: int,
) -> Totals:
    owed = sum(one.owed for one in unpaid)
    due = sum(one.amount for one in refused) - explained.refunded
    return Totals(
        held=sum(bitcoin.coins.values()) - explained.waiting - explained.left_out,
        burned=sum(one.amount for one in alys.burns),
        minted=explained.minted,
        refunded=explained.refunded,
        refunds_due=due,
        owed=owed,
        reserve=reserve,
        waiting=explained.waiting,
        uncredited=sum(one.amount for one in bitcoin.uncredited) + explained.left_out,
        paid=sum(payment.paid for payment in bitcoin.payments),
        bitcoin_fees=sum(payment.fee for payment in bitcoin.payments),
    )
