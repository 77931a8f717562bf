"""Explains the amounts that one recipient got, by its deposits and the refunds that it is owed.

A mint is the sum of the deposits that one block has taken; a refund is paid alone, and the oldest one first. Equal
amounts can be explained in several ways, so this is a search, with a bound.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import accumulate

import attrs

from alysd.types.units import Sat

MAX_STEPS = 300_000
"""The number of steps after which the search gives up, about a second."""

MAX_DEPOSITS = 64
"""The number of deposits that a block takes at most (docs/protocol.md, "Peg-in")."""


@attrs.frozen
class Got:
    """An amount that a recipient got, after the burns of its first `open_refunds` refunds."""

    amount: Sat
    open_refunds: int


@attrs.frozen
class Explained:
    """An explanation: the sums that were minted and refunded, and the deposits and refunds that still wait.

    `waiting` are deposits that were not minted, `due` refunds that were not paid.
    """

    minted: int
    refunded: int
    waiting: tuple[Sat, ...]
    due: tuple[Sat, ...]


def explain(amounts: Sequence[Got], deposits: Sequence[Sat], due: Sequence[Sat]) -> Explained | None:
    """Find deposits and refunds that make up the `amounts`, in their order; None if none are found."""
    return _Search(amounts, deposits, due).run()


_Choice = tuple[int, ...]
"""The positions of the deposits of a mint; empty for the next refund."""


class _Search:
    def __init__(self, amounts: Sequence[Got], deposits: Sequence[Sat], due: Sequence[Sat]) -> None:
        self._amounts = amounts
        self._deposits = deposits
        self._due = due
        self._used = bytearray(len(deposits))
        self._first = 0  # all deposits before this one are used
        self._refunds = 0
        self._waiting = sum(map(_fingerprint, deposits))
        self._steps = 0

    def run(self) -> Explained | None:
        made: list[_Choice] = []
        levels = [self._choices(self._amounts[0])] if self._amounts else []
        seen: set[tuple[int, int, int]] = set()
        while levels and self._steps <= MAX_STEPS:
            if len(made) == len(levels):
                self._undo(made.pop())
            choice = next(levels[-1], None)
            if choice is None:
                levels.pop()
                continue
            self._take(choice)
            made.append(choice)
            if len(made) == len(self._amounts):
                return self._explained()
            state = (len(made), self._refunds, self._waiting)
            if state not in seen:
                seen.add(state)
                levels.append(self._choices(self._amounts[len(made)]))
        return None if self._amounts else self._explained()

    def _explained(self) -> Explained:
        refunded = sum(self._due[: self._refunds])
        waiting = tuple(one for one, used in zip(self._deposits, self._used, strict=True) if not used)
        got = sum(one.amount for one in self._amounts)
        return Explained(got - refunded, refunded, waiting, tuple(self._due[self._refunds :]))

    def _take(self, choice: _Choice) -> None:
        for place in choice:
            self._used[place] = True
            self._waiting -= _fingerprint(self._deposits[place])
        self._refunds += not choice
        while self._first < len(self._used) and self._used[self._first]:
            self._first += 1

    def _undo(self, choice: _Choice) -> None:
        for place in choice:
            self._used[place] = False
            self._waiting += _fingerprint(self._deposits[place])
        self._refunds -= not choice
        self._first = min(self._first, *choice, len(self._used))

    def _choices(self, got: Got) -> Iterator[_Choice]:
        """The next refund, if its burn came before; or the deposits that make up an amount, first those in order.

        Deposits may be younger than the amount, since the blocks of Bitcoin and of Alys have no common order. With
        the deposits first, anyone could deposit the amounts of former refunds, and make the search too long.
        """
        amount = got.amount
        if self._refunds < got.open_refunds and self._due[self._refunds] == amount:
            yield ()
        yield from self._runs(amount)
        unused = (place for place in range(self._first, len(self._used)) if not self._used[place])
        places = sorted(unused, key=lambda place: -self._deposits[place])
        sums = list(accumulate((self._deposits[place] for place in reversed(places)), initial=0))[::-1]
        yield from self._subsets(amount, places, sums, 0, ())

    def _runs(self, amount: int) -> Iterator[_Choice]:
        """Authors take the oldest deposits first."""
        run: deque[int] = deque()
        total = 0
        for place in range(self._first, len(self._used)):
            self._steps += 1
            if self._used[place]:
                continue
            run.append(place)
            total += self._deposits[place]
            while total > amount or len(run) > MAX_DEPOSITS:
                total -= self._deposits[run.popleft()]
            if run and total == amount:
                yield tuple(run)

    def _subsets(
        self, amount: int, places: Sequence[int], sums: Sequence[int], start: int, chosen: _Choice
    ) -> Iterator[_Choice]:
        """The `chosen` deposits with any others of `places` from `start` on, the largest first.

        `sums` has the sum of all deposits from each position of `places` on. Equal deposits are tried once.
        """
        last = None
        for at in range(start, len(places)):
            value = self._deposits[places[at]]
            self._steps += 1
            if sums[at] < amount or self._steps > MAX_STEPS:
                return
            if value > amount or value == last:
                continue
            last = value
            if value == amount:
                yield (*chosen, places[at])
            elif len(chosen) + 1 < MAX_DEPOSITS:
                yield from self._subsets(amount - value, places, sums, at + 1, (*chosen, places[at]))


@cache
def _fingerprint(amount: int) -> int:
    """A number whose sums tell sets of deposits apart that have equal sums of amounts."""
    return int.from_bytes(sha256(amount.to_bytes(8, "big")).digest(), "big")
