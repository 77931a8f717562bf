"""Computes which sums the payees of a payment can have been owed (docs/protocol.md, "Proposal").

The change is exact, and the reserve pays for nothing but the inputs that no payee needs. So the inputs, the change
and the fee of a payment say what its payees were owed, nearly always to the satoshi.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from alysd.audit.records import Paid

SMALLEST_CHANGE = 330
"""The smallest change of a payment, in sat."""

MOST_REST = SMALLEST_CHANGE - 1
"""The largest rest that the reserve pays because a change of it would be too small, in sat."""

_RATE_PER_WEIGHT = 4_000
"""The rate in sat per 1,000 virtual bytes of a fee of 1 sat for 1 weight unit."""

_LEAST_RISE = 1_000
"""A newer version of a payment pays at least so much more, in sat per 1,000 virtual bytes, and a quarter more."""

Range = tuple[int, int]
"""The whole numbers from the first to the last, both included."""


def owed_sums(payment: Paid) -> tuple[Range, ...]:
    """The sums that the payees can have been owed, less the fees of consolidations, in ascending order.

    The fee of the payment's first version decides what the reserve pays, and Bitcoin has only the version that was
    confirmed. So the sums are ranges if inputs are unneeded and an earlier version is possible.
    """
    most = payment.spent - payment.change
    found: list[Range] = []
    if payment.change == SMALLEST_CHANGE:  # the payees may have raised a rest to it
        found.append((payment.spent - MOST_REST, payment.spent - 1))
    rest = 0 if payment.change else MOST_REST
    first = first_fee(payment)
    unneeded_weight = 0
    for count, sums in enumerate(_sums_by_unneeded(payment)):
        whole = _part(payment.fee, unneeded_weight, payment.weight)
        reserve_fees = [(whole, whole + rest)]
        if count and first > 0:
            reserve_fees.append((1, _part(first, unneeded_weight, payment.weight) + rest))
        for least, largest in reserve_fees:
            found += _common((max(payment.paid, most - largest), most - least), sums)
        unneeded_weight += payment.inputs[count].weight
    return _merged(found)


def first_fee(payment: Paid) -> int:
    """The largest fee that the first version can have had if another one was confirmed; 0 if there was none.

    Rates are rounded down, so the exact rate of each version is less than one unit above its rate.
    """
    quarter = _RATE_PER_WEIGHT * 4 * payment.fee // 5 + payment.weight
    step = _RATE_PER_WEIGHT * payment.fee - (_LEAST_RISE - 1) * payment.weight
    return max(0, (min(quarter, step) - 1) // _RATE_PER_WEIGHT)


def largest_fee(payment: Paid, max_fee_rate: int) -> int:
    """The largest fee that a member approves: by the rate, which is rounded down, and a rest without a change.

    One percent more is allowed, since the weight of a payment is known exactly only when it is signed.
    """
    return largest_fee_of(payment.weight, max_fee_rate)


def largest_fee_of(weight: int, max_fee_rate: int) -> int:
    """The largest fee of a payment with this weight that a member approves."""
    return (max_fee_rate + 1) * weight * 101 // (100 * _RATE_PER_WEIGHT) + MOST_REST


def contains(ranges: Sequence[Range], number: int) -> bool:
    """Whether one of the ranges, which are in ascending order, has this number."""
    place = bisect_right(ranges, number, key=lambda one: one[0])
    return place > 0 and number <= ranges[place - 1][1]


def largest_below(ranges: Sequence[Range], number: int) -> int | None:
    """The largest number of the ranges, which are in ascending order, up to `number`; None if there is none."""
    place = bisect_right(ranges, number, key=lambda one: one[0])
    return min(number, ranges[place - 1][1]) if place else None


def _sums_by_unneeded(payment: Paid) -> Iterator[list[Range]]:
    """For each number of unneeded inputs, from 0 on: the owed sums for which so many are unneeded.

    Inputs are unneeded, from the smallest on, as long as the others hold exactly the owed sum, or at least the
    smallest change more.
    """
    lefts = [payment.spent - taken for taken in accumulate((one.amount for one in payment.inputs), initial=0)]
    for count, (left, without) in enumerate(pairwise(lefts)):
        largest = left - SMALLEST_CHANGE if count else left
        sums = [(max(1, without - SMALLEST_CHANGE + 1), min(largest, without - 1))]
        sums.append((max(1, without + 1), largest))
        if count and lefts[count - 1] - left >= SMALLEST_CHANGE:
            sums.append((left, left))
        yield sums


def _part(fee: int, weight: int, whole: int) -> int:
    """The part of a fee for a part of the weight, rounded up."""
    return -(-fee * weight // whole)


def _common(one: Range, others: Sequence[Range]) -> Iterator[Range]:
    for other in others:
        least, largest = max(one[0], other[0]), min(one[1], other[1])
        if least <= largest:
            yield least, largest


def _merged(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """The same numbers as ranges that are apart, in ascending order."""
    merged: list[Range] = []
    for least, largest in sorted(ranges):
        if merged and least <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], largest))
        else:
            merged.append((least, largest))
    return tuple(merged)
