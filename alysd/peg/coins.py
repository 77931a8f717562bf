"""Coin selection: the choice of the outputs that a payment spends.

A selection holds the target exactly, or exceeds it by at least the smallest change. Each strategy returns the
chosen coins, or None if the coins are not enough. `select` removes coins that the target does not need, because
the payees must not pay for them (`alysd.peg.proposals`).
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, islice, product
from operator import getitem, mul
from typing import Literal

import attrs

from alysd.types.peg import OutPoint
from alysd.types.units import Sat

Strategy = Literal["largest-first", "smallest-first", "branch-and-bound", "minimize-fee"]


@attrs.frozen
class Coin:
    """An output that can be spent. `weight` is the weight of its input, in weight units."""

    outpoint: OutPoint
    amount: Sat
    federation: int
    weight: int


@attrs.frozen
class SelectionTarget:
    """The sum of a selection: exactly `amount`, or at least `amount` plus `change`; in at most `most` coins.

    `change_weight` is the weight of a change output and of spending it later, in weight units.
    """

    amount: Sat
    change: Sat
    most: int
    change_weight: int = 4 * 43 + 4 * 41


Selection = tuple[Coin, ...]

MAX_TRIES = 20_000
"""The number of steps after which a search gives up: some 0.03 s, of the 0.3 s that an author has."""


def select(strategy: Strategy, coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """Choose coins by `strategy`; None if there is no choice."""
    found = _STRATEGIES[strategy](coins, target)
    return None if found is None else needed(found, target)


def holds(coins: Sequence[Coin], target: SelectionTarget) -> bool:
    """Whether the coins hold the target, and are not too many."""
    rest = sum(coin.amount for coin in coins) - target.amount
    return len(coins) <= target.most and (rest == 0 or rest >= target.change)


def needed(coins: Sequence[Coin], target: SelectionTarget) -> Selection:
    """The coins that the target needs: the smallest coin is left out as long as the others hold the target."""
    kept = sorted(coins, key=_size, reverse=True)
    while len(kept) > 1 and sum(coin.amount for coin in kept[:-1]) >= target.amount:
        shorter = kept[:-1]
        if not holds(shorter, target):
            break
        kept = shorter
    return tuple(kept)


def _size(coin: Coin) -> tuple[int, bytes]:
    return coin.amount, coin.outpoint.key


def _accumulated(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """The first coins, in the given order, that hold the target."""
    rest = -target.amount
    for count, coin in enumerate(coins[: target.most], 1):
        rest += coin.amount
        if rest == 0 or rest >= target.change:
            return tuple(coins[:count])
    return None


def largest_first(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """The largest coins, as many as the target needs."""
    return _accumulated(sorted(coins, key=_size, reverse=True), target)


def smallest_first(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """The smallest coins that hold the target in at most `most` coins: a payment then leaves fewer small coins."""
    ordered = sorted(coins, key=_size)
    sums = [0, *accumulate(coin.amount for coin in ordered)]
    for start in range(max(1, len(ordered) - target.most + 1)):
        if sums[min(start + target.most, len(ordered))] - sums[start] < target.amount:
            continue
        found = _accumulated(ordered[start : start + target.most], target)
        if found is not None:
            return found
    return None


def branch_and_bound(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """Coins that hold the target exactly, the lightest found; without such coins, those of `minimize_fee`."""
    return _exact(coins, target) or minimize_fee(coins, target)


def minimize_fee(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """The lighter of the lightest exact selection and the lightest selection with a change output.

    The weight of a selection with change includes that of the change output and of spending it later.
    """
    found = (_exact(coins, target), _lightest(coins, target), largest_first(coins, target))
    choices = [needed(each, target) for each in found if each is not None]
    return min(choices, key=lambda each: (_waste(each, target), len(each)), default=None)


def _lightest(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """The lightest coins that hold the target and a change.

    Of coins of one weight, the largest are the best. So only the number of coins of each weight is searched: of
    all numbers if the coins have up to three weights, else the first `MAX_TRIES`.
    """
    weights = sorted({coin.weight for coin in coins})
    if not weights:
        return None
    ordered = [sorted((each for each in coins if each.weight == one), key=_size, reverse=True) for one in weights]
    largest = [each[: target.most] for each in ordered]
    sums = [[0, *accumulate(coin.amount for coin in each)] for each in largest]
    best: tuple[int, int, tuple[int, ...]] | None = None
    for others in islice(product(*(range(len(each)) for each in sums[1:])), MAX_TRIES):
        left = target.amount + target.change - sum(map(getitem, sums[1:], others))
        counts = (bisect_left(sums[0], left), *others)
        if counts[0] == len(sums[0]) or sum(counts) > target.most:
            continue
        found = (sum(map(mul, weights, counts)), sum(counts), counts)
        best = found if best is None else min(best, found)
    if best is None:
        return None
    return tuple(coin for each, count in zip(largest, best[2], strict=True) for coin in each[:count])


def _waste(coins: Sequence[Coin], target: SelectionTarget) -> int:
    change = sum(coin.amount for coin in coins) != target.amount
    return sum(coin.weight for coin in coins) + (target.change_weight if change else 0)


def _exact(coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
    """Search for the lightest coins whose sum is the target (as Bitcoin Core's branch and bound, depth first)."""
    # Of coins with the same amount, the lightest comes first: the others are tried only together with it.
    ordered = sorted(
        (coin for coin in coins if coin.amount <= target.amount),
        key=lambda coin: (-coin.amount, coin.weight, coin.outpoint.key),
    )
    rest = [0] * (len(ordered) + 1)
    for place in reversed(range(len(ordered))):
        rest[place] = rest[place + 1] + ordered[place].amount
    best: Selection | None = None
    best_weight = 0
    stack: list[tuple[int, int, int, tuple[Coin, ...]]] = [(0, target.amount, 0, ())]
    for _ in range(MAX_TRIES):
        if not stack:
            break
        place, left, weight, chosen = stack.pop()
        if best is not None and weight >= best_weight:
            continue
        if left == 0:
            best, best_weight = chosen, weight
            continue
        if place == len(ordered) or left < 0 or left > rest[place] or len(chosen) == target.most:
            continue
        coin = ordered[place]
        # A coin of the same amount as one that was left out gives the same sums again.
        skip = place + 1
        while skip < len(ordered) and ordered[skip].amount == coin.amount:
            skip += 1
        stack.append((skip, left, weight, chosen))
        stack.append((place + 1, left - coin.amount, weight + coin.weight, (*chosen, coin)))
    return best


_STRATEGIES: Mapping[Strategy, Callable[[Sequence[Coin], SelectionTarget], Selection | None]] = {
    "largest-first": largest_first,
    "smallest-first": smallest_first,
    "branch-and-bound": branch_and_bound,
    "minimize-fee": minimize_fee,
}
