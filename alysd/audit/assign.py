"""Finds the requests that each payment has paid.

A payment takes requests from the front of the queue, so its payees are requests with numbers that follow each
other. Payments confirm in any order, and users may burn nearly the same amount to one address again and again, so
several places can fit. Each payment gets the first free place that fits exactly. If there is none, its place is
searched together with those of all payments that are in its way, with a bound.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence

import attrs

from alysd.audit.payments import SMALLEST_CHANGE, Range, contains, largest_below, owed_sums
from alysd.audit.records import Paid
from alysd.types.units import Sat

MIN_CONSOLIDATED = 20
"""The minimum number of inputs of a consolidation. Each holds at least `SMALLEST_CHANGE` sat."""

MAX_STEPS = 1_000_000
"""The number of places that one search looks at before it gives up, about a second."""

MAX_TOGETHER = 64
"""The number of payments that are searched together."""


@attrs.frozen
class OwedRequest:
    """A burn that was accepted: `script` is to get `owed`, less a share of the fee."""

    script: bytes
    owed: Sat


@attrs.frozen
class PaidRequests:
    """The requests that a payment pays: `count` from the number `first` on.

    The first one bears `charge` sat of the fees of consolidations. The reserve pays `reserve_fee` sat, which is
    negative if the payees have raised a rest to the smallest change.
    """

    first: int
    count: int
    charge: int
    reserve_fee: int

    @property
    def numbers(self) -> range:
        """The numbers of the requests."""
        return range(self.first, self.first + self.count)


Cost = tuple[int, int, int, int]
"""The cost of a choice of places, the gravest first; no part is negative.

The parts are the number of payments without a place, the charges that only confirmed consolidations can explain,
all charges, and what the reserve pays plus `SMALLEST_CHANGE` per payment. With `reserve_first`, the last of these
parts is the second.
"""


@attrs.define
class Assignment:
    """Places payments one after the other. `least` is what a request that bears a consolidation is still owed.

    `settled` are the positions of the payments whose charges must be those of confirmed consolidations. Of two
    ways to explain the payments, the one with smaller charges wins, or with `reserve_first` the one that takes
    less from the reserve. Then no such payment may have a charge above `most`, and no other one a charge above the
    sum of `most` and `in_flight`.
    """

    requests: Sequence[OwedRequest]
    payments: Sequence[Paid]
    least: int
    settled: frozenset[int]
    most: int = 0
    in_flight: int = 0
    reserve_first: bool = False
    _by_script: dict[bytes, list[int]] = attrs.field(init=False)
    _sums: dict[int, tuple[Range, ...]] = attrs.field(init=False, factory=dict[int, tuple[Range, ...]])
    _places: dict[int, PaidRequests] = attrs.field(init=False, factory=dict[int, PaidRequests])
    _taken: dict[int, int] = attrs.field(init=False, factory=dict[int, int])

    def __attrs_post_init__(self) -> None:
        self._by_script = defaultdict(list)
        for number, request in enumerate(self.requests):
            self._by_script[request.script].append(number)

    def run(self) -> Mapping[int, PaidRequests]:
        """Place all payments that have payees. Returns the places by the payments' positions."""
        for payment in (number for number, one in enumerate(self.payments) if one.payees):
            sums = self._sums[payment] = owed_sums(self.payments[payment])
            least = self.payments[payment].spent - self.payments[payment].change - sums[-1][1] if sums else 0
            for place in self._candidates(payment, only_free=True):
                if not place.charge and place.reserve_fee == least and self._is_free(place):
                    self._put(payment, place)
                    break
            else:
                self._place_together(payment)
        return self._places

    def _candidates(self, payment: int, *, only_free: bool = False) -> Iterator[PaidRequests]:
        """The places where the payment fits, with the least charge there, in the order of the requests.

        With `only_free`, those whose first request is taken are left out.
        """
        paid, sums = self.payments[payment], self._sums[payment]
        most, count = paid.spent - paid.change, len(paid.payees)
        for first in self._by_script.get(paid.payees[0][0], ()):
            owed = None if only_free and first in self._taken else self._owed_at(paid, first, sums)
            if owed is None:
                continue
            charge = sum(self.requests[number].owed for number in range(first, first + count)) - owed
            if not charge or self._may_bear(payment, self.requests[first], charge):
                yield PaidRequests(first, count, charge, most - owed)

    def _may_bear(self, payment: int, request: OwedRequest, charge: int) -> bool:
        """Whether consolidations for the request are possible: it is owed more than each of them joins."""
        if self.reserve_first and charge > self.most + (0 if payment in self.settled else self.in_flight):
            return False
        return request.owed > MIN_CONSOLIDATED * SMALLEST_CHANGE and request.owed - charge >= self.least

    def _owed_at(self, paid: Paid, first: int, sums: Sequence[Range]) -> int | None:
        """The sum that the payees are owed, without charges, if the first is this one; None if it does not fit."""
        others = self.requests[first + 1 : first + len(paid.payees)]
        if len(paid.payees) == 1:
            return largest_below(sums, self.requests[first].owed)
        if len(others) < len(paid.payees) - 1:
            return None
        share = others[0].owed - paid.payees[1][1]
        if any(
            (one.script, one.owed - share) != payee for one, payee in zip(others, paid.payees[1:], strict=True)
        ):
            return None
        owed = paid.paid + share * len(paid.payees)
        charge = self.requests[first].owed - share - paid.payees[0][1]
        return owed if share >= 0 and charge >= 0 and contains(sums, owed) else None

    def _is_free(self, place: PaidRequests) -> bool:
        return not any(number in self._taken for number in place.numbers)

    def _put(self, payment: int, place: PaidRequests) -> None:
        self._places[payment] = place
        self._taken.update(dict.fromkeys(place.numbers, payment))

    def _remove(self, payment: int) -> PaidRequests | None:
        place = self._places.pop(payment, None)
        for number in place.numbers if place else ():
            del self._taken[number]
        return place

    def _place_together(self, payment: int) -> None:
        """Place a payment, and anew all others that can be in its way, with the least cost."""
        choices = self._in_the_way(payment)
        before = {one: place for one in choices if (place := self._remove(one)) is not None}
        free = {one: self._distinct(places) for one, places in choices.items()}
        costs = {
            (one, place): self._cost_of(one, place)
            for places in (free, {one: [place] for one, place in before.items()})
            for one, choice in places.items()
            for place in choice
        }
        search = _Search(free, costs, before)
        search.run()
        for one, place in search.best.items():
            self._put(one, place)

    def _cost_of(self, payment: int, place: PaidRequests) -> Cost:
        settled = place.charge if payment in self.settled else 0
        reserve = place.reserve_fee + SMALLEST_CHANGE
        return (0, reserve, settled, place.charge) if self.reserve_first else (0, settled, place.charge, reserve)

    def _in_the_way(self, payment: int) -> dict[int, list[PaidRequests]]:
        """The places of a payment, and those of the payments that have taken a part of them, and so on."""
        choices: dict[int, list[PaidRequests]] = {}
        waiting = deque([payment])
        while waiting and len(choices) < MAX_TOGETHER:
            one = waiting.popleft()
            if one not in choices:
                choices[one] = list(self._candidates(one))
                numbers = {number for place in choices[one] for number in place.numbers}
                waiting += sorted({self._taken[number] for number in numbers if number in self._taken})
        return choices

    def _distinct(self, places: Sequence[PaidRequests]) -> list[PaidRequests]:
        """The free places of a payment, the cheapest first; enough of those that differ by number alone."""
        kept: list[PaidRequests] = []
        equals: dict[int, int] = defaultdict(int)
        for place in places:
            if self._is_free(place):
                owed = self.requests[place.first].owed
                equals[owed] += 1
                if place.count > 1 or equals[owed] <= MAX_TOGETHER:
                    kept.append(place)
        return sorted(kept, key=lambda place: (place.charge, place.reserve_fee, place.first))


class _Search:
    """Searches the places of some payments at once, which have these `choices` with these `costs`.

    `best` are the best places that were found, at first `best`.
    """

    def __init__(
        self,
        choices: Mapping[int, Sequence[PaidRequests]],
        costs: Mapping[tuple[int, PaidRequests], Cost],
        best: Mapping[int, PaidRequests],
    ) -> None:
        self._choices = choices
        self._costs = costs
        self._steps = 0
        self.best = dict(best)
        self._cost = _sum([costs[one] for one in best.items()])
        self._cost = _sum([self._cost, (len(choices) - len(best), 0, 0, 0)])
        self._least = {
            one: min((costs[one, place] for place in places), default=_UNPLACED) for one, places in choices.items()
        }

    def run(self) -> None:
        """_Search until all choices were tried, or until the bound."""
        self._search({}, frozenset(self._choices), (0, 0, 0, 0))

    def _search(self, placed: dict[int, PaidRequests], rest: frozenset[int], cost: Cost) -> None:
        if _sum([cost, *(self._least[one] for one in rest)]) >= self._cost or self._steps >= MAX_STEPS:
            return
        if not rest:
            self.best, self._cost = dict(placed), cost
            return
        taken = {number for place in placed.values() for number in place.numbers}
        free: dict[int, list[PaidRequests]] = {}
        for payment in rest:
            self._steps += len(self._choices[payment])
            free[payment] = [one for one in self._choices[payment] if taken.isdisjoint(one.numbers)]
        payment = min(rest, key=lambda one: _urgency(one, free[one]))
        for place in _unlike(free[payment]):
            self._search({**placed, payment: place}, rest - {payment}, _sum([cost, self._costs[payment, place]]))
        self._search(placed, rest - {payment}, _sum([cost, _UNPLACED]))


_UNPLACED: Cost = (1, 0, 0, 0)


def _sum(costs: Sequence[Cost]) -> Cost:
    unplaced, second, third, fourth = (sum(column) for column in zip((0, 0, 0, 0), *costs, strict=True))
    return unplaced, second, third, fourth


def _urgency(payment: int, free: Sequence[PaidRequests]) -> tuple[bool, bool, int, int]:
    """Payments without a choice come first, then those with several payees, then those with few choices."""
    return bool(free), bool(free) and free[0].count == 1, len(free), payment


def _unlike(places: Sequence[PaidRequests]) -> Iterator[PaidRequests]:
    """The places without those of single payees that differ from an earlier one by the number alone.

    All payments with several payees have their places by then, so the number makes no difference.
    """
    seen: set[tuple[int, int]] = set()
    for place in places:
        what = (place.charge, place.reserve_fee)
        if place.count > 1 or what not in seen:
            yield place
        seen.add(what)
