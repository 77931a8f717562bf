"""Outputs of deposits that count on no branch, whatever blocks follow."""

import pytest

from alysd.actors.bitcoin_counting import Counting, never_counts
from alysd.types.bitcoin_watch import SeenDeposit
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import MAX_DEPOSIT_OUTPUTS, DepositOutput, PegIn
from alysd.types.units import Sat

NUMBERS = {0: Counting(0, 0, end=1_000), 1: Counting(1, 500)}
HASH = BitcoinHash(bytes(32))


def seen(median_time: int, *federations: int, reveals: tuple[int, ...] = ()) -> SeenDeposit:
    outputs = tuple(DepositOutput(index, one, Sat(9_000)) for index, one in enumerate(federations))
    return SeenDeposit(1, 1, PegIn(HASH, HASH, EvmAddress(bytes(20)), outputs), median_time, reveals)


@pytest.mark.parametrize(
    ("deposit", "never"),
    [
        (seen(999, 0), False),
        (seen(1_000, 0), True),
        (seen(499, 1), True),
        (seen(500, 1), False),
        (seen(1_000, 2), False),
        (seen(1_000, 1, 0), False),
        (seen(1_000, 0, 1), True),
        (seen(500, 2, reveals=(1,)), True),
        (seen(499, 2, reveals=(1,)), False),
        (seen(500, 2, reveals=(2,)), False),
        (seen(999, *[0] * MAX_DEPOSIT_OUTPUTS), False),
        (seen(999, *[0] * (MAX_DEPOSIT_OUTPUTS + 1)), True),
        # The end of the newest federation's credit can still come to be below the time of the block.
        (seen(999, *[1] * (MAX_DEPOSIT_OUTPUTS + 1)), False),
    ],
)
def test_the_first_output_never_counts(deposit: SeenDeposit, never: bool) -> None:
    assert never_counts(deposit, 0, NUMBERS) is never
