"""Coin selection beside an exhaustive search: no choice is invalid, and exact choices are found."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import pytest

from alysd.peg.coins import Coin, SelectionTarget, Strategy, holds, needed, select
from alysd.peg.weights import DUST_CHANGE
from alysd.testing.virtual_time import seeded
from alysd.types.hashes import BitcoinHash, sha256
from alysd.types.peg import OutPoint
from alysd.types.units import Sat
from tests.thorough import cases

STRATEGIES: tuple[Strategy, ...] = ("largest-first", "smallest-first", "branch-and-bound", "minimize-fee")
SETS = cases(2_000, 10_000)
WEIGHTS = (230, 379, 806)
"""Weights of inputs of federations of 1, 3 and 7 members, near enough."""


def coin(number: int, amount: int, weight: int = 379) -> Coin:
    return Coin(OutPoint(BitcoinHash(sha256(b"coin %d" % number)), 0), Sat(amount), 0, weight)


def random_sets(seed: int, count: int) -> Iterator[tuple[list[Coin], SelectionTarget]]:
    """Up to eight coins, and a target that is often the exact sum of some, or a little beside it."""
    draw = seeded(seed)
    for _ in range(count):
        scale = draw.choice([20, 2_000, 100_000_000])
        coins = [
            coin(place, draw.randint(1, scale) * draw.choice([1, 1, 100]), draw.choice(WEIGHTS))
            for place in range(draw.randint(1, 8))
        ]
        some = draw.sample(coins, draw.randint(1, len(coins)))
        amount = sum(one.amount for one in some) + draw.choice([0, 0, -1, 1, -DUST_CHANGE, -5_000])
        yield coins, SelectionTarget(Sat(max(1, amount)), DUST_CHANGE, draw.choice([1, 3, 8]))


def choices(coins: Sequence[Coin], target: SelectionTarget) -> list[tuple[Coin, ...]]:
    """All choices that hold the target, without coins that they do not need."""
    every = (
        some for size in range(1, len(coins) + 1) for some in combinations(coins, size) if holds(some, target)
    )
    return [some for some in every if len(needed(some, target)) == len(some)]


def is_exact(coins: Sequence[Coin], target: SelectionTarget) -> bool:
    return sum(one.amount for one in coins) == target.amount


def waste(coins: Sequence[Coin], target: SelectionTarget) -> int:
    """The weight that a choice costs: its inputs, and a change with its later spending."""
    return sum(one.weight for one in coins) + (0 if is_exact(coins, target) else target.change_weight)


def test_every_strategy_on_random_sets() -> None:
    """A choice that is too small or leaves dust could not be proposed; a missed one would delay payments."""
    exact_sets = 0
    for coins, target in random_sets(1, SETS):
        possible = choices(coins, target)
        found = {strategy: select(strategy, coins, target) for strategy in STRATEGIES}
        for strategy, chosen in found.items():
            if chosen is None:
                continue
            assert holds(chosen, target), strategy
            assert len(set(chosen)) == len(chosen), strategy
            assert set(chosen) <= set(coins), strategy
        exact = [some for some in possible if is_exact(some, target)]
        if exact:
            exact_sets += 1
            for strategy in ("branch-and-bound", "minimize-fee"):
                chosen = found[strategy]
                assert chosen is not None
            chosen = found["branch-and-bound"]
            assert chosen is not None
            assert is_exact(chosen, target)
            assert waste(chosen, target) == min(waste(some, target) for some in exact)
        for strategy in STRATEGIES:
            assert possible or found[strategy] is None
    assert exact_sets > SETS // 5, "the sets must ask for exact choices"


def test_minimize_fee_is_never_worse_than_another_strategy() -> None:
    for coins, target in random_sets(2, SETS):
        best = select("minimize-fee", coins, target)
        for strategy in STRATEGIES:
            other = select(strategy, coins, target)
            assert best is not None or other is None
            if best is not None and other is not None:
                assert waste(best, target) <= waste(other, target)


def test_minimize_fee_finds_the_best_of_all_choices() -> None:
    found = 0
    for coins, target in random_sets(3, SETS):
        possible = choices(coins, target)
        chosen = select("minimize-fee", coins, target)
        assert (chosen is None) == (not possible), "whenever there is a choice, one is found"
        if chosen is not None:
            found += 1
            assert waste(chosen, target) == min(waste(some, target) for some in possible)
    assert found > SETS // 2


def test_coins_of_many_weights_are_chosen_too() -> None:
    """The search of the numbers of coins per weight then stops early, and the largest coins are the choice."""
    coins = [coin(place, 1_000 + place, 300 + place // 20) for place in range(100)]
    target = SelectionTarget(Sat(30_000), DUST_CHANGE, 100)
    chosen = select("minimize-fee", coins, target)
    largest = select("largest-first", coins, target)
    assert chosen is not None
    assert largest is not None
    assert waste(chosen, target) <= waste(largest, target)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_coins_and_too_few_coins_are_no_choice(strategy: Strategy) -> None:
    target = SelectionTarget(Sat(1_000), DUST_CHANGE, 2)
    assert select(strategy, [], target) is None
    assert select(strategy, [coin(0, 999)], target) is None
    assert select(strategy, [coin(0, 1_000 + DUST_CHANGE - 1)], target) is None, "the rest would be dust"
    assert select(strategy, [coin(place, 400) for place in range(5)], target) is None, "at most two coins"
