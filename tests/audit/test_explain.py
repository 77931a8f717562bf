"""The search for the deposits and refunds that explain what a recipient got."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from alysd.audit.explain import Explained, Got, explain
from alysd.types.units import Sat


def sats(*values: int) -> tuple[Sat, ...]:
    return tuple(Sat(value) for value in values)


def found(amounts: Sequence[int], deposits: Sequence[int], due: Sequence[int] = ()) -> Explained | None:
    return explain([Got(Sat(one), len(due)) for one in amounts], sats(*deposits), sats(*due))


def test_a_mint_sums_up_deposits_that_follow_each_other() -> None:
    assert found([7], [3, 4, 5]) == Explained(7, 0, sats(5), ())
    assert found([9], [3, 4, 5]) == Explained(9, 0, sats(3), ())


def test_a_mint_may_leave_out_a_deposit_in_between() -> None:
    assert found([8], [3, 4, 5]) == Explained(8, 0, sats(4), ())


def test_a_refund_is_paid_alone() -> None:
    assert found([6], [5], due=[6]) == Explained(0, 6, sats(5), ())
    assert found([11], [5], due=[6]) is None


def test_the_search_goes_back_when_a_refund_looked_like_a_mint() -> None:
    assert found([8, 5, 3], [5, 3], due=[8]) == Explained(8, 8, (), ())


def test_nothing_explains_a_mint_without_deposit() -> None:
    assert found([1], []) is None
    assert found([5, 5], [5]) is None


@given(st.lists(st.integers(1, 50), max_size=30), st.lists(st.integers(1, 50), max_size=5), st.data())
def test_what_authors_do_is_explained(deposits: list[int], due: list[int], data: st.DataObject) -> None:
    """Authors mint deposits in order, several in a block, and refunds between them."""
    amounts: list[int] = []
    rest, refunds = list(deposits), list(due)
    while rest or refunds:
        count = data.draw(st.integers(0, len(rest)))
        if count:
            amounts.append(sum(rest[:count]))
            del rest[:count]
        if refunds and data.draw(st.booleans()):
            amounts.append(refunds.pop(0))
        if not count and data.draw(st.booleans()):
            break
    explained = found(amounts, deposits, due)
    assert explained is not None
    assert explained.minted + explained.refunded == sum(amounts)
    assert explained.minted + sum(explained.waiting) == sum(deposits)
    assert explained.refunded + sum(explained.due) == sum(due)


def test_deposits_of_the_amounts_of_former_refunds_do_not_confuse_the_search() -> None:
    """Anyone can make such deposits, and an auditor that gives up hides every theft."""
    refunds = [600_000 + 7 * number for number in range(8)]
    deposits = [*refunds, *(100_000 + number**2 for number in range(30))]
    amounts = [Got(Sat(one), 8) for one in refunds] + [Got(Sat(sum(deposits)), 8)]
    assert explain(amounts, sats(*deposits), sats(*refunds)) == Explained(sum(deposits), sum(refunds), (), ())


def test_a_refund_is_not_paid_before_its_burn() -> None:
    amounts = [Got(Sat(7), 0), Got(Sat(7), 1)]
    assert explain(amounts, sats(3, 4), sats(7)) == Explained(7, 7, (), ())
    assert explain(amounts, sats(), sats(7, 7)) is None
