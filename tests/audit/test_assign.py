"""Payments are explained by the requests that they can have paid, however alike these are."""

from typing import TypeVar

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alysd.audit.assign import MAX_TOGETHER, Assignment, OwedRequest
from alysd.audit.payments import contains, owed_sums
from alysd.audit.reconcile import Report, reconcile
from alysd.audit.records import AlysFindings, BitcoinFindings, Burned, Deposited, Paid, Spent, Withdrawn
from alysd.testing.virtual_time import seeded
from alysd.types.peg import OutPoint
from alysd.types.units import Height, Sat
from tests.audit.ledgers import PAYEE, SCRIPTS, TERMS, WEIGHT, Made, can_be_explained, may_be_owed, txid
from tests.thorough import cases

Record = TypeVar("Record", Deposited, Withdrawn, Burned)

seeds = st.integers(0, 2**32 - 1)


def findings(made: Made, coins: int) -> tuple[BitcoinFindings, AlysFindings]:
    """The findings of an audit; the federation holds so many coins."""
    held = sum(one.amount for one in made.deposits) - sum(one.spent - one.change for one in made.payments)
    amounts = [held - coins + 1, *[1] * (coins - 1)]
    bitcoin = BitcoinFindings(
        height=1_100,
        deposits=tuple(made.deposits),
        uncredited=(),
        payments=tuple(made.payments),
        coins={OutPoint(txid(0), place): Sat(amount) for place, amount in enumerate(amounts)},
        problems=(),
    )
    burned = Sat(sum(one.amount for one in made.burns))
    return bitcoin, AlysFindings(Height(9), tuple(made.burns), tuple(made.mints), burned, 0, ())


def audit(bitcoin: BitcoinFindings, alys: AlysFindings) -> Report:
    return reconcile(bitcoin, alys, TERMS, SCRIPTS)


@settings(max_examples=cases(150, 5_000), deadline=None)
@example(144894473, 1)  # a payment in flight has raised its rest, and a confirmed one has taken what that gave
@given(seeds, st.sampled_from([1, 20]))
def test_a_true_chain_is_always_equal(seed: int, coins: int) -> None:
    made = Made.of(seeded(seed))
    report = audit(*findings(made, coins))
    assert report.equal, report.problems
    assert report.totals.missing == 0


@settings(max_examples=cases(150, 5_000), deadline=None)
@given(seeds, st.sampled_from([-1, 1]), st.data())
def test_a_satoshi_more_or_less_is_always_found(seed: int, by: int, data: st.DataObject) -> None:
    """A deposit, a mint, a coin; and a burn or a payment unless another true chain would look the same."""
    made = Made.of(seeded(seed))
    bitcoin, alys = findings(made, 1)
    kinds = ["coin"]
    kinds += ["deposit", "mint", "new mint"] * bool(made.mints) + ["burn"] * bool(made.burns)
    kinds += ["change", "input", "payee", "twice"] * any(one.payees for one in made.payments)
    kind = data.draw(st.sampled_from(kinds))
    place = data.draw(st.integers(0, 99))
    if kind == "coin":
        (at, amount), *_ = bitcoin.coins.items()
        assert not audit(attrs.evolve(bitcoin, coins={at: Sat(amount + by)}), alys).equal
    elif kind == "deposit":
        place = len(made.deposits) - 1 - place % len(made.mints)
        made.deposits[place] = changed(made.deposits[place], by)
        assert not audit(*findings(made, 1)).equal
    elif kind == "mint":
        place %= len(made.mints)
        made.mints[place] = changed(made.mints[place], by)
        assert not audit(*findings(made, 1)).equal
    elif kind == "new mint":
        made.mints.append(attrs.evolve(made.mints[0], amount=Sat(1)))
        assert not audit(*findings(made, 1)).equal
    else:
        if kind == "burn":
            place %= len(made.burns)
            made.burns[place] = changed(made.burns[place], by)
        else:
            choices = [number for number, one in enumerate(made.payments) if one.payees]
            place = choices[place % len(choices)]
            made.payments[place] = altered(made.payments[place], kind, by, data)
            if kind == "twice":
                made.payments.append(made.payments[place])
        bitcoin, alys = findings(made, 1)
        assert audit(bitcoin, alys).equal is can_be_explained(made, bitcoin, made.burns)


def changed(one: Record, by: int) -> Record:
    return attrs.evolve(one, amount=Sat(one.amount + by))


def altered(payment: Paid, kind: str, by: int, data: st.DataObject) -> Paid:
    """The payment with a satoshi more or less in one place; the fee has the rest."""
    if kind == "change":
        return attrs.evolve(payment, change=Sat(max(0, payment.change + by)))
    if kind == "input":
        first, *others = payment.inputs
        inputs = (attrs.evolve(first, amount=Sat(first.amount + by)), *others)
        return attrs.evolve(payment, inputs=tuple(sorted(inputs, key=lambda one: one.amount)))
    if kind == "payee":
        place = data.draw(st.integers(0, len(payment.payees) - 1))
        payees = list(payment.payees)
        payees[place] = (payees[place][0], Sat(payees[place][1] + by))
        return attrs.evolve(payment, payees=tuple(payees))
    return payment


@settings(max_examples=cases(150, 5_000), deadline=None)
@given(
    st.lists(st.integers(330, 1_400), min_size=1, max_size=4),
    st.one_of(st.just(0), st.just(330), st.integers(330, 500)),
    st.integers(0, 900),
    st.sampled_from([1, 30, 100, 199]),
)
def test_the_owed_sums_are_those_of_the_rule(amounts: list[int], change: int, fee: int, weight: int) -> None:
    spent = sum(amounts)
    paid = max(0, spent - change - fee)
    inputs = tuple(Spent(Sat(amount), weight) for amount in sorted(amounts))
    payment = Paid(txid(1), 1, inputs, ((PAYEE, Sat(paid)),), Sat(min(change, spent)), WEIGHT)
    sums = owed_sums(payment)
    assert list(sums) == sorted(sums)
    for owed in range(max(1, paid), spent + 2):
        assert contains(sums, owed) is may_be_owed(payment, owed), owed


def test_two_burns_whose_amounts_differ_by_less_than_the_fee_are_told_apart() -> None:
    """Paid in the other order, the audit took the first for the second, and failed for ever."""
    requests = [OwedRequest(PAYEE, Sat(2_100)), OwedRequest(PAYEE, Sat(2_000))]
    payments = [
        Paid(txid(place), place, (Spent(Sat(owed), 200),), ((PAYEE, Sat(owed - 150)),), Sat(0), WEIGHT)
        for place, owed in enumerate((2_000, 2_100))
    ]
    places = Assignment(requests, payments, 990, frozenset()).run()
    assert [(place.first, place.reserve_fee) for _, place in sorted(places.items())] == [(1, 0), (0, 0)]


def test_payments_in_the_way_are_moved() -> None:
    """Each of these fits two requests, and the first free one would leave none for the last."""
    owed = [2_000 + 300 * number for number in range(MAX_TOGETHER - 1, -1, -1)]
    requests = [OwedRequest(PAYEE, Sat(amount)) for amount in owed]
    payments = [
        Paid(txid(place), place, (Spent(Sat(amount + 310), 200),), ((PAYEE, Sat(amount - 150)),), Sat(0), WEIGHT)
        for place, amount in enumerate(owed)
    ]
    places = Assignment(requests, payments, 990, frozenset()).run()
    assert len(places) == len(payments)
    assert len({place.first for place in places.values()}) == len(payments)
