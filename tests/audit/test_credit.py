"""The Bitcoin blocks in which outputs to a federation count, as far as an audit can know them."""

import pytest

from alysd.audit.credit import ALWAYS, Credit, TimeRange, credits_of
from alysd.audit.records import FederationRecord
from alysd.errors import UserError
from alysd.types.federation_update import BEFORE_UPDATE, LEAST_NOTICE, MOST_NOTICE
from alysd.types.units import Height

DAY = 86_400
FOUND = [
    FederationRecord(b"first", (), Height(0)),
    FederationRecord(b"second", (), Height(5_000)),
    FederationRecord(b"second", (), Height(2_000_000)),  # other authorities, with the same Bitcoin keys
    FederationRecord(b"third", (), Height(4_000_000)),
]


async def time_of(height: Height) -> int:
    """Blocks every 2 s."""
    return 1_000_000 + 2 * height


async def test_the_height_at_which_a_change_takes_effect_bounds_the_time_of_its_block() -> None:
    found = await credits_of(FOUND, {}, 90, time_of)
    second = TimeRange(1_000_002, 1_000_000 + 2 * (5_000 - LEAST_NOTICE))
    third = TimeRange(1_000_000 + 2 * (4_000_000 - MOST_NOTICE), 1_000_000 + 2 * (4_000_000 - LEAST_NOTICE))
    assert found == {
        b"first": Credit(TimeRange(-BEFORE_UPDATE, -BEFORE_UPDATE), second.later(90 * DAY), 0, 1, 0),
        b"second": Credit(second.later(-DAY), third.later(90 * DAY), 1, 3, 1_010_000),
        b"third": Credit(third.later(-DAY), None, 3, 0, 9_000_000),
    }


async def test_the_height_of_its_block_makes_the_time_exact() -> None:
    found = await credits_of(FOUND, {1: Height(4_000), 3: Height(3_999_900)}, 2, time_of)
    assert found[b"first"].end == TimeRange(1_008_000 + 2 * DAY, 1_008_000 + 2 * DAY)
    assert found[b"second"].since == TimeRange(1_008_000 - DAY, 1_008_000 - DAY)
    assert [found[b"second"].counts(1_008_000 - DAY + step) for step in (-1, 0)] == [False, True]
    assert [found[b"first"].counts(1_008_000 + 2 * DAY + step) for step in (-1, 0)] == [True, False]


@pytest.mark.parametrize(
    ("included", "message"),
    [
        ({4: Height(9)}, "--included 4=9: no --update gives change 4"),
        ({0: Height(9)}, "--included 0=9: no --update gives change 0"),
        (
            {1: Height(4_901)},
            "change takes effect at height 5000, so its block is at one of the heights 1 to 4900",
        ),
        ({3: Height(2_999_999)}, "one of the heights 3000000 to 3999900"),
        ({2: Height(4_999)}, "one of the heights 1000000 to 1999900"),
    ],
)
async def test_a_height_that_cannot_be_is_refused(included: dict[int, Height], message: str) -> None:
    with pytest.raises(UserError, match=message):
        await credits_of(FOUND, included, 90, time_of)


def test_a_time_within_the_bounds_is_not_known() -> None:
    """A report that guessed could be equal although a node credits another amount."""
    credit = Credit(TimeRange(100, 200), TimeRange(500, 600), 1, 3, 150)
    assert [credit.counts(median) for median in (99, 200, 499, 600)] == [False, True, True, False]
    for median, change in ((100, 1), (199, 1), (500, 3), (599, 3)):
        with pytest.raises(UserError, match=f"--included {change}=HEIGHT"):
            credit.counts(median)
    assert ALWAYS.counts(0)
