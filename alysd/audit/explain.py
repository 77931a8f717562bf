"""Explains the amounts that one recipient got, by its deposits and the refunds that it is owed.

A mint is the sum of one or more deposits; a refund is paid alone. Equal amounts can be explained in several ways,
so this is a search, with a bound.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import attrs

from alysd.types.units import Sat

MAX_STEPS = 200_000
"""The number of steps after which the search gives up, about a second."""

_MAX_COMBINED = 12
"""The number of the oldest waiting deposits of which all combinations are tried. Authors take them in order."""


@attrs.frozen
class Explained:
    """An explanation: the sums that were minted and refunded, and the deposits and refunds that still wait.

    `waiting` are deposits that were not minted, `due` refunds that were not paid.
    """

    minted: int
    refunded: int
    waiting: tuple[Sat, ...]
    due: tuple[Sat, ...]


def explain(amounts: Sequence[Sat], deposits: Sequence[Sat], due: Sequence[Sat]) -> Explained | None:
    """Find deposits and refunds that make up the `amounts`; None if none are found."""
    start = Explained(0, 0, tuple(deposits), tuple(due))
    if not amounts:
        return start
    levels = [_next(start, amounts[0])]
    for _ in range(MAX_STEPS + len(amounts)):
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
            if not levels:
                return None
        elif len(levels) == len(amounts):
            return found
        else:
            levels.append(_next(found, amounts[len(levels)]))
    return None


def _next(before: Explained, amount: Sat) -> Iterator[Explained]:
    """The explanations that explain one more `amount` than `before`."""
    for waiting in _without(before.waiting, amount):
        yield attrs.evolve(before, minted=before.minted + amount, waiting=waiting)
    refunded = before.refunded + amount
    if amount in before.due:
        at = before.due.index(amount)
        yield attrs.evolve(before, refunded=refunded, due=before.due[:at] + before.due[at + 1 :])


def _without(deposits: tuple[Sat, ...], amount: Sat) -> Iterator[tuple[Sat, ...]]:
    """The deposits that are left after a sum of `amount` is taken from them: first runs, then other choices."""
    start, total = 0, 0
    for end, value in enumerate(deposits, start=1):
        total += value
        while total > amount:
            total -= deposits[start]
            start += 1
        if total == amount:
            yield deposits[:start] + deposits[end:]
    first = range(min(len(deposits), _MAX_COMBINED))
    for size in range(2, len(first)):
        for chosen in combinations(first, size):
            if sum(deposits[at] for at in chosen) == amount and chosen[-1] - chosen[0] >= size:
                yield tuple(value for at, value in enumerate(deposits) if at not in chosen)
