"""Compares the choice of outputs for payments with that of a library for Bitcoin wallets.

    python -m benchmarks.coin_selection [--sets 10000] [--coins 12]

The library is bdk_coin_select 0.4.1 (Rust), with its metric `LowestFee` and 100,000 rounds of branch and bound. It
is built by cargo at the first run. Both choose from the same random sets. The waste of a choice is the weight of
its inputs, and of a change with its later spending. Amounts are multiples of 10,000 sat, so that the library never
prefers to leave a small rest to the miners, which the rules of the peg forbid.
"""

import argparse
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from alysd.peg.coins import Coin, SelectionTarget, holds, select
from alysd.testing.virtual_time import seeded
from alysd.types.hashes import BitcoinHash, sha256
from alysd.types.peg import OutPoint
from alysd.types.units import Sat

PEER = Path(__file__).parent / "peer"
WEIGHTS = (232, 380, 808)
"""Weights of inputs of federations of 1, 3 and 7 members, near enough, in whole virtual bytes."""
UNIT = 10_000
SMALLEST_CHANGE = Sat(330)
CHANGE_OUTPUT, CHANGE_SPENDING = 4 * 43, 4 * 41
SEED = 1


def random_sets(count: int, most: int) -> Iterator[tuple[list[Coin], SelectionTarget]]:
    """Coins and a target, which half of the time is the sum of some of them."""
    draw = seeded(SEED)
    for number in range(count):
        scale = draw.choice([20, 2_000])
        weights = draw.choice([WEIGHTS, WEIGHTS[:2], WEIGHTS[1:2]])
        coins = [
            Coin(
                OutPoint(BitcoinHash(sha256(b"%d %d" % (number, place))), 0),
                Sat(draw.randint(1, scale) * UNIT),
                0,
                draw.choice(weights),
            )
            for place in range(draw.randint(2, most))
        ]
        some = draw.sample(coins, draw.randint(1, len(coins)))
        amount = sum(one.amount for one in some) - draw.choice([0, 0, UNIT, 3 * UNIT])
        yield (
            coins,
            SelectionTarget(Sat(max(UNIT, amount)), SMALLEST_CHANGE, len(coins), CHANGE_OUTPUT + CHANGE_SPENDING),
        )


def waste(coins: Sequence[Coin], target: SelectionTarget) -> int:
    """The weight of the inputs, and of a change with its later spending."""
    exact = sum(one.amount for one in coins) == target.amount
    return sum(one.weight for one in coins) + (0 if exact else target.change_weight)


def line(coins: Sequence[Coin], target: SelectionTarget) -> str:
    """The set as the program beside this one reads it."""
    numbers = [target.amount, target.change, CHANGE_OUTPUT, CHANGE_SPENDING]
    for one in coins:
        numbers += [one.amount, one.weight]
    return " ".join(map(str, numbers))


def answers_of_the_library(sets: Sequence[tuple[list[Coin], SelectionTarget]]) -> list[list[Coin] | None]:
    """The library's choices, in the order of the sets."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=PEER, check=True)  # noqa: S607
    program = PEER / "target" / "release" / "coin-selection-peer"
    lines = "\n".join(line(*each) for each in sets)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)  # noqa: S603
    return [
        None if answer == "-" else [coins[int(place)] for place in answer.split()]
        for answer, (coins, _) in zip(done.stdout.splitlines(), sets, strict=True)
    ]


def compare(sets: Sequence[tuple[list[Coin], SelectionTarget]]) -> None:
    """Print how often each of the two wastes less, and how many exact choices each finds."""
    started = time.process_time()
    own = [select("minimize-fee", *each) for each in sets]
    seconds = time.process_time() - started
    library = answers_of_the_library(sets)
    better = worse = missed = refused = own_exact = library_exact = own_waste = library_waste = 0
    for (_, target), ours, theirs in zip(sets, own, library, strict=True):
        if theirs is None or not holds(theirs, target):
            refused += theirs is not None
            continue
        library_exact += sum(one.amount for one in theirs) == target.amount
        if ours is None:
            missed += 1
            continue
        own_exact += sum(one.amount for one in ours) == target.amount
        mine, other = waste(ours, target), waste(theirs, target)
        own_waste, library_waste = own_waste + mine, library_waste + other
        better, worse = better + (mine < other), worse + (mine > other)
    print(f"sets                                {len(sets):>8,}    seed {SEED}")
    print(f"choices with less waste             {better:>8,}    waste in all {own_waste:,}")
    print(f"choices with more waste             {worse:>8,}    of the library {library_waste:,}")
    print(f"sets without a choice here          {missed:>8,}    where the library has one")
    print(f"exact choices                       {own_exact:>8,}    of the library {library_exact:,}")
    print(f"choices of the library against the rules {refused:>3,}")
    print(f"processor time per choice           {seconds / len(sets) * 1000:>8.3f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=int, default=10_000, help="random sets (10000)")
    parser.add_argument("--coins", type=int, default=12, help="most coins of a set (12)")
    chosen = parser.parse_args()
    compare(list(random_sets(chosen.sets, chosen.coins)))
