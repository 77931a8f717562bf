"""The sums of an audit, and each thing that no rule explains."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from alysd.audit.reconcile import Report, reconcile, reconcile_all
from alysd.audit.records import (
    RESERVE,
    AlysFindings,
    AlysRecords,
    BitcoinFindings,
    BlockWithdrawals,
    Burned,
    Deposited,
    FederationRecord,
    Paid,
    PegTerms,
    Spent,
    Withdrawn,
)
from alysd.audit.report import report_json, report_text
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import OutPoint
from alysd.types.units import Height, Sat

ALICE, BOB = EvmAddress(b"\xa1" * 20), EvmAddress(b"\xb0" * 20)
PAYEE, OTHER = b"\x00\x14" + b"\x01" * 20, b"\x00\x14" + b"\x02" * 20
SCRIPTS = {b"payee": PAYEE, b"other": OTHER, b"nonsense": None}
TERMS = PegTerms(peg_out_minimum=Sat(1_000), service_fee=Sat(10), max_fee_rate=500_000)


def txid(number: int) -> BitcoinHash:
    return BitcoinHash(number.to_bytes(32, "big"))


def deposit(number: int, recipient: EvmAddress, amount: int) -> Deposited:
    return Deposited(txid(number), number, recipient, Sat(amount))


def burn(amount: int, address: bytes = b"payee") -> Burned:
    return Burned(Height(5), ALICE, address, Sat(amount))


def mint(recipient: EvmAddress, amount: int) -> Withdrawn:
    return Withdrawn(Height(6), recipient, Sat(amount))


def payment(number: int, spent: int, change: int, *payees: tuple[bytes, int]) -> Paid:
    """A payment with one input."""
    return spending(number, (spent,), change, *payees)


def consolidation(number: int, spent: int, change: int) -> Paid:
    """A consolidation of 20 coins."""
    return spending(number, (*[330] * 19, spent - 19 * 330), change)


def spending(number: int, inputs: Sequence[int], change: int, *payees: tuple[bytes, int]) -> Paid:
    """A payment with these inputs, each with a tenth of the payment's weight of 2,000."""
    return Paid(
        txid(number),
        number,
        tuple(Spent(Sat(amount), 200) for amount in sorted(inputs)),
        tuple((script, Sat(amount)) for script, amount in payees),
        Sat(change),
        2_000,
    )


def audit(
    deposits: Sequence[Deposited] = (),
    payments: Sequence[Paid] = (),
    burns: Sequence[Burned] = (),
    withdrawals: Sequence[Withdrawn] = (),
    **changes: Any,
) -> Report:
    """Reconcile records whose coins follow from deposits and payments."""
    held = sum(one.amount for one in deposits) - sum(one.spent - one.change for one in payments)
    bitcoin = BitcoinFindings(9, tuple(deposits), (), tuple(payments), {OutPoint(txid(0), 0): Sat(held)}, ())
    burned = Sat(sum(one.amount for one in burns))
    alys = AlysFindings(Height(9), tuple(burns), tuple(withdrawals), burned, 0, ())
    bitcoin = attrs.evolve(bitcoin, **{name: value for name, value in changes.items() if hasattr(bitcoin, name)})
    alys = attrs.evolve(alys, **{name: value for name, value in changes.items() if hasattr(alys, name)})
    report = reconcile(bitcoin, alys, TERMS, SCRIPTS)
    assert report_json(report, bitcoin, alys)["equal"] is report.equal
    text, missing = report_text(report, bitcoin, alys), report.totals.missing
    assert all(problem in text for problem in report.problems)
    assert (f"{missing} sat are missing" in text) is (missing > 0)
    assert (f"{-missing} sat are too many" in text) is (missing < 0)
    return report


def test_a_round_trip_is_equal_to_the_satoshi() -> None:
    report = audit(
        deposits=[deposit(1, ALICE, 50_000), deposit(2, RESERVE, 5_000)],
        burns=[burn(20_000), burn(10_000, b"other")],
        withdrawals=[mint(ALICE, 50_000)],
        # The payees bear 200 sat each of a fee of 400 sat, and the service fees stay in the reserve.
        payments=[payment(3, 50_000, 20_020, (PAYEE, 19_790), (OTHER, 9_790))],
    )
    assert report.equal, report
    assert report.open == 0
    assert (report.totals.reserve, report.totals.owed, report.totals.bitcoin_fees) == (5_020, 0, 400)


def test_what_waits_is_open_and_not_missing() -> None:
    report = audit(deposits=[deposit(1, ALICE, 50_000)])
    assert report.equal
    assert report.open == 1
    assert report.totals.waiting == 50_000
    report = audit(deposits=[deposit(1, ALICE, 50_000)], withdrawals=[mint(ALICE, 50_000)], burns=[burn(2_000)])
    assert report.equal
    assert report.open == 1
    assert report.totals.owed == 1_990


def test_refused_requests_are_refunded_in_full() -> None:
    deposits, burns = [deposit(1, ALICE, 9_000)], [burn(999), burn(2_000, b"nonsense")]
    due = audit(deposits, burns=burns, withdrawals=[mint(ALICE, 9_000)])
    assert (due.equal, due.open, due.totals.refunds_due) == (True, 2, 2_999)
    all_paid = [mint(ALICE, 9_000), mint(ALICE, 999), mint(ALICE, 2_000)]
    paid = audit(deposits, burns=burns, withdrawals=all_paid)
    assert (paid.equal, paid.open, paid.totals.refunds_due, paid.totals.refunded) == (True, 0, 0, 2_999)


def test_small_refused_burns_belong_to_the_reserve() -> None:
    """A tenth of the minimum is refunded, and less is not."""
    deposits, burns = [deposit(1, BOB, 9_000)], [burn(99), burn(1, b"nonsense"), burn(100)]
    report = audit(deposits, burns=burns, withdrawals=[mint(BOB, 9_000), mint(ALICE, 100)])
    assert (report.equal, report.open, report.totals.reserve, report.totals.refunded) == (True, 0, 100, 100)
    assert not audit(deposits, burns=burns, withdrawals=[mint(BOB, 9_000), mint(ALICE, 99)]).equal


def test_an_accepted_request_is_never_refunded() -> None:
    report = audit(
        deposits=[deposit(1, BOB, 9_000)], burns=[burn(1_000)], withdrawals=[mint(BOB, 9_000), mint(ALICE, 990)]
    )
    assert not report.equal


def test_the_reserve_pays_for_a_consolidation() -> None:
    deposits = [deposit(1, ALICE, 9_000), deposit(2, RESERVE, 500)]
    report = audit(deposits, [consolidation(3, 9_000, 8_600)], withdrawals=[mint(ALICE, 9_000)])
    assert (report.equal, report.totals.reserve, report.totals.bitcoin_fees) == (True, 100, 400)
    report = audit(deposits, [consolidation(3, 9_000, 8_400)], withdrawals=[mint(ALICE, 9_000)])
    assert "100 sat more from the reserve than it had" in report.problems[0]


def test_the_reserve_pays_for_moves_to_a_later_federation() -> None:
    """No request bears a move, however few coins it has."""
    deposits = [deposit(1, RESERVE, 1_000), deposit(2, ALICE, 9_000)]
    moved = attrs.evolve(spending(3, [1_000, 9_000], 9_800), federation=1)
    report = audit(deposits, [moved], (), [mint(ALICE, 9_000)])
    assert (report.equal, report.totals.reserve, report.totals.held) == (True, 800, 9_800)
    for wrong in (
        attrs.evolve(moved, federation=0),
        attrs.evolve(moved, inputs=tuple(attrs.evolve(one, federation=1) for one in moved.inputs)),
        attrs.evolve(moved, inputs=(moved.inputs[0], attrs.evolve(moved.inputs[1], federation=1))),
    ):
        (problem,) = audit(deposits, [wrong], (), [mint(ALICE, 9_000)]).problems
        assert "pays no request, and joins 2 coins, too few" in problem
    robbed = payment(4, 9_800, 9_800 - 6_990 + 200, (PAYEE, 6_990 - 200 - 200))
    report = audit(deposits, [moved, robbed], [burn(7_000)], [mint(ALICE, 9_000)])
    assert "bear more than its fee and the fees of consolidations" in report.problems[0]
    report = audit(deposits[1:], [attrs.evolve(moved, inputs=moved.inputs[1:], change=Sat(8_800))])
    assert "more from the reserve than it had" in report.problems[0]


def test_a_deposit_to_two_federations_may_be_minted_before_the_later_one_is_in_force() -> None:
    """The output to the later one is then never credited, so the mint is smaller than the deposit."""
    mixed = attrs.evolve(deposit(1, ALICE, 9_000), less=(Sat(5_000),))
    coins = {OutPoint(mixed.txid, 0): Sat(5_000), OutPoint(mixed.txid, 1): Sat(4_000)}
    for minted, left_out in (((5_000,), 4_000), ((9_000,), 0)):
        report = audit([mixed], (), (), [mint(ALICE, one) for one in minted], coins=coins)
        assert (report.equal, report.totals.held, report.totals.uncredited) == (True, sum(minted), left_out)
        assert report.open == 0
    both = [mixed, deposit(2, ALICE, 1_000)]
    coins |= {OutPoint(txid(2), 0): Sat(1_000)}
    report = audit(both, (), (), [mint(ALICE, 6_000)], coins=coins)
    assert (report.equal, report.totals.held, report.open) == (True, 6_000, 0)
    assert not audit(both, (), (), [mint(ALICE, 5_000), mint(ALICE, 4_000)], coins=coins).equal
    waiting = audit([mixed], coins=dict(list(coins.items())[:2]))
    assert (waiting.equal, waiting.open, waiting.totals.waiting) == (True, 1, 9_000)


@pytest.mark.parametrize("others", [(), ((OTHER, 1_990 - 1_000),)], ids=["alone", "beside another"])
def test_a_payment_to_a_later_federation_is_no_change(others: tuple[tuple[bytes, int], ...]) -> None:
    """Anybody can burn to the address before it is in force. Without change, its output is the last one."""
    later = b"\x51\x20" + b"\xfd" * 32
    terms = attrs.evolve(TERMS, own={b"first": 0, later: 100})
    burns = [*([burn(2_000, b"other")] if others else []), burn(7_000, b"later")]
    owed = sum(one.amount - 10 for one in burns)
    fee = 1_000 * len(burns)
    payees = tuple((to, Sat(one)) for to, one in others)
    paid = Paid(txid(3), 3, (Spent(Sat(owed), 200),), payees, Sat(5_990), 2_000, 1)
    assert paid.fee == fee
    rest = Sat(9_000 - owed)
    bitcoin = BitcoinFindings(
        9, (deposit(1, ALICE, owed), deposit(2, ALICE, rest)), (), (paid,),
        {OutPoint(txid(2), 0): rest, OutPoint(txid(3), len(others)): paid.change}, (),
    )  # fmt: skip
    burned = Sat(sum(one.amount for one in burns))
    minted = (BlockWithdrawals(Height(5), ((ALICE, 9_000 * 10),)),)
    alys = AlysRecords(Height(9), tuple(burns), minted, (), burned)
    members = (FederationRecord(b"first", (BOB,), Height(0)),)
    known = {**SCRIPTS, b"later": later}
    report, _ = reconcile_all(bitcoin, alys, terms, known, members)
    assert (report.problems, report.totals.missing, report.totals.owed) == ((), 0, 0)
    assert report.totals.held == rest
    in_force = attrs.evolve(terms, own={b"first": 0, later: 1})
    assert not reconcile_all(bitcoin, alys, in_force, known, members)[0].equal


def test_a_burn_to_a_federation_is_refused_from_its_height_on() -> None:
    """Before, nobody knew that the address would be that of a federation, and the request is paid."""
    deposits, minted = [deposit(1, ALICE, 9_000)], [mint(ALICE, 9_000)]
    held = BitcoinFindings(9, tuple(deposits), (), (), {OutPoint(txid(0), 0): Sat(9_000)}, ())
    burned = burn(7_000)
    alys = AlysFindings(Height(9), (burned,), tuple(minted), burned.amount, 0, ())
    for since, owed, due in ((burned.block + 1, 6_990, 0), (burned.block, 0, 7_000)):
        terms = attrs.evolve(TERMS, own={PAYEE: since})
        report = reconcile(held, alys, terms, SCRIPTS)
        assert (report.equal, report.totals.owed, report.totals.refunds_due) == (True, owed, due)


def test_a_request_bears_the_fees_of_consolidations() -> None:
    """The blocks say which request that is, and the two chains do not."""
    deposits, minted = [deposit(1, ALICE, 9_000)], [mint(ALICE, 9_000)]
    joined = consolidation(3, 9_000, 8_600)
    waiting = audit(deposits, [joined], [burn(7_000)], minted)
    assert (waiting.equal, waiting.totals.owed, waiting.totals.reserve) == (True, 6_990, -390)
    paid = payment(4, 8_600, 1_610, (PAYEE, 6_990 - 400 - 200))
    fee = paid.fee
    assert fee == 600
    paid = attrs.evolve(paid, change=Sat(2_010))
    report = audit(deposits, [joined, paid], [burn(7_000)], minted)
    assert (report.equal, report.totals.owed, report.totals.reserve) == (True, 0, 10)
    two = payment(4, 8_600, 20, (PAYEE, 6_990 - 400 - 200), (OTHER, 1_990 - 200))
    report = audit(deposits, [joined, two], [burn(7_000), burn(2_000, b"other")], minted)
    assert (report.equal, report.totals.owed, report.totals.reserve) == (True, 0, 20)
    assert not audit(deposits, [two], [burn(7_000), burn(2_000, b"other")], minted).equal
    robbed = payment(4, 8_600, 2_010, (PAYEE, 6_990 - 401 - 200))
    report = audit(deposits, [joined, attrs.evolve(robbed, change=Sat(2_011))], [burn(7_000)], minted)
    assert "bear more than its fee and the fees of consolidations" in report.problems[0]


def coins(number: int, held: int) -> dict[OutPoint, Sat]:
    """So many coins of the federation, which hold this sum."""
    return {OutPoint(txid(0), place): Sat(1 if place else held - number + 1) for place in range(number)}


CHARGED = payment(4, 8_600, 8_600 - 6_990 + 400, (PAYEE, 6_990 - 400 - 200))
"""The payee bears 400 sat more than the fee."""

TWO_CHARGED = payment(4, 8_600, 8_600 - 6_990 - 1_990 + 400, (PAYEE, 6_990 - 400 - 200), (OTHER, 1_990 - 200))


@pytest.mark.parametrize(
    ("paid", "burns"),
    [(CHARGED, [burn(7_000)]), (TWO_CHARGED, [burn(7_000), burn(2_000, b"other")])],
    ids=["alone", "beside another"],
)
@pytest.mark.parametrize(
    ("number", "height", "explained"),
    [(20, 9, True), (19, 9, False), (20, 4 + 2_016, True), (20, 4 + 2_017, False)],
    ids=["in flight", "too few coins", "stuck", "gone"],
)
def test_a_request_may_be_paid_before_the_consolidation_whose_fee_it_bears(
    paid: Paid, burns: list[Burned], number: int, height: int, explained: bool
) -> None:
    """A deposit can pay the request while the consolidation, of at least 20 coins, waits in Bitcoin's mempool."""
    deposits, minted = [deposit(1, ALICE, 9_000)], [mint(ALICE, 9_000)]
    held = 9_000 - paid.spent + paid.change
    report = audit(deposits, [paid], burns, minted, coins=coins(number, held), height=height)
    assert (report.equal, report.totals.missing, report.totals.owed) == (explained, 0, 0)
    if explained:
        assert report.open == 1
    else:
        (problem,) = report.problems
        assert "bear more than its fee and the fees of consolidations" in problem
    joined = spending(5, [20] * 20, 0)
    report = audit(deposits, [paid, joined], burns, minted, coins=coins(number, held - 400), height=height)
    assert (report.equal, report.open) == (True, 0)


@pytest.mark.parametrize(
    ("rate", "federations", "explained"), [(40_000, 1, True), (200, 1, False), (200, 20, True)]
)
def test_a_consolidation_in_flight_explains_no_more_than_the_largest_fees(
    rate: int, federations: int, explained: bool
) -> None:
    """A payee was robbed of any amount, and it counted as the fee of a transaction that nobody sees.

    Each former federation can have one more of them in flight.
    """
    terms = attrs.evolve(TERMS, max_fee_rate=rate)
    paid = attrs.evolve(
        payment(4, 108_600, 108_600 - 106_990 + 5_400, (PAYEE, 106_990 - 5_400 - 200)), weight=6_000
    )
    held = 109_000 - paid.spent + paid.change
    bitcoin = BitcoinFindings(9, (deposit(1, ALICE, 109_000),), (), (paid,), coins(20, held), (), 0, federations)
    burned = burn(107_000)
    alys = AlysFindings(Height(9), (burned,), (mint(ALICE, 109_000),), burned.amount, 0, ())
    report = reconcile(bitcoin, alys, terms, SCRIPTS)
    assert report.equal is explained
    if not explained:
        assert "bear more than its fee and the fees of consolidations" in report.problems[0]


@pytest.mark.parametrize(("left", "explained"), [(990, True), (989, False)])
def test_a_request_that_bears_a_consolidation_is_still_owed_the_least(left: int, explained: bool) -> None:
    paid = payment(4, 8_600, 8_600 - left, (PAYEE, left - 200))
    report = audit(
        [deposit(1, ALICE, 9_000)], [paid], [burn(7_000)], [mint(ALICE, 9_000)], coins=coins(20, 9_000 - left)
    )
    assert report.equal is explained


def test_the_payee_of_a_consolidation_may_also_raise_a_rest_to_the_smallest_change() -> None:
    """It bears 400 sat of the consolidation, 200 sat of its payment, and 320 sat for the change."""
    report = audit(
        [deposit(1, ALICE, 8_000)],
        [consolidation(3, 8_000, 7_600), payment(4, 7_600, 330, (PAYEE, 7_990 - 400 - 320 - 200))],
        [burn(8_000)],
        [mint(ALICE, 8_000)],
    )
    assert (report.equal, report.open, report.totals.reserve) == (True, 0, 330)


def test_a_later_request_to_the_same_address_may_be_paid_first() -> None:
    """Payments confirm in any order."""
    report = audit(
        deposits=[deposit(1, ALICE, 9_000)],
        burns=[burn(6_000), burn(2_000)],
        withdrawals=[mint(ALICE, 9_000)],
        payments=[payment(2, 3_000, 1_010, (PAYEE, 1_990 - 100)), payment(3, 6_000, 10, (PAYEE, 5_990 - 100))],
    )
    assert (report.equal, report.open) == (True, 0)


@pytest.mark.parametrize(("change", "equal"), [(330, True), (331, False)])
def test_the_payees_may_raise_a_rest_to_the_smallest_change(change: int, equal: bool) -> None:
    """The rest is 20 sat. The payees bear the fee and what is missing to the change, which the reserve gets."""
    report = audit(
        deposits=[deposit(1, ALICE, 9_000)],
        withdrawals=[mint(ALICE, 9_000)],
        burns=[burn(5_000), burn(4_000)],
        payments=[payment(2, 9_000, change, (PAYEE, 4_990 - 250), (PAYEE, 3_990 - 250))],
    )
    assert report.equal is equal
    assert not equal or report.totals.reserve == 20 + 310


def test_a_mint_without_deposit_and_a_second_mint_are_found() -> None:
    assert not audit(withdrawals=[mint(ALICE, 1)]).equal
    report = audit(deposits=[deposit(1, ALICE, 700)], withdrawals=[mint(ALICE, 700), mint(ALICE, 700)])
    assert "that its deposits and refunds do not explain" in report.problems[0]


def test_a_mint_to_another_recipient_is_found() -> None:
    report = audit(deposits=[deposit(1, ALICE, 700)], withdrawals=[mint(BOB, 700)])
    assert not report.equal


def test_a_payment_that_nobody_requested_is_found() -> None:
    report = audit(
        deposits=[deposit(1, ALICE, 9_000)],
        withdrawals=[mint(ALICE, 9_000)],
        payments=[payment(2, 9_000, 5_000, (PAYEE, 3_900))],
    )
    assert "that no request explains" in report.problems[0]
    assert report.totals.missing == 4_000


def test_a_second_payment_of_a_request_is_found() -> None:
    report = audit(
        deposits=[deposit(1, ALICE, 9_000)],
        withdrawals=[mint(ALICE, 9_000)],
        burns=[burn(2_000)],
        payments=[payment(2, 9_000, 7_010, (PAYEE, 1_890)), payment(3, 7_010, 5_020, (PAYEE, 1_890))],
    )
    assert len(report.problems) == 1
    assert not report.equal


def test_a_payment_of_too_much_is_found() -> None:
    report = audit(
        deposits=[deposit(1, ALICE, 9_000)],
        withdrawals=[mint(ALICE, 9_000)],
        burns=[burn(2_000)],
        payments=[payment(2, 9_000, 7_000, (PAYEE, 1_991))],
    )
    assert not report.equal


def test_a_request_that_is_paid_and_refunded_is_found() -> None:
    report = audit(
        deposits=[deposit(1, BOB, 9_000)],
        burns=[burn(2_000)],
        withdrawals=[mint(BOB, 9_000), mint(ALICE, 1_990)],
        payments=[payment(2, 9_000, 7_010, (PAYEE, 1_890))],
    )
    assert not report.equal


def test_a_stolen_coin_is_missing() -> None:
    report = audit(deposits=[deposit(1, ALICE, 700)], withdrawals=[mint(ALICE, 700)], coins={})
    assert report.totals.missing == 700
    assert not report.equal


def test_a_coin_that_nothing_explains_is_too_much() -> None:
    report = audit(coins={OutPoint(txid(0), 0): Sat(700)})
    assert report.totals.missing == -700
    assert not report.equal


def test_a_reserve_below_zero_is_found() -> None:
    """The reserve pays a rest of 200 sat, and has 10 sat of a service fee."""
    report = audit(
        deposits=[deposit(1, ALICE, 2_190)],
        withdrawals=[mint(ALICE, 2_190)],
        burns=[burn(2_000)],
        payments=[payment(2, 2_190, 0, (PAYEE, 1_890))],
    )
    (problem,) = report.problems
    assert "payments took 190 sat more from the reserve than it had" in problem


def test_a_bridge_that_has_less_than_was_burned_is_found() -> None:
    report = audit(burns=[burn(2_000)], bridge_sat=Sat(1_999))
    assert "the bridge contract has 1999 sat, and 2000 sat were burned" in report.problems


def test_problems_of_the_chains_are_reported() -> None:
    assert audit(problems=("a transaction that no rule allows",)).problems.count(
        "a transaction that no rule allows"
    )


BTC = 10**8


@pytest.mark.parametrize(
    "payments",
    [
        [payment(3, BTC, 10, (PAYEE, 600))],
        [payment(3, BTC, 20, (PAYEE, 300), (OTHER, 300))],
        [consolidation(3, BTC, 500)],
    ],
    ids=["one payee", "two payees", "consolidation"],
)
def test_a_fee_that_no_member_approves_is_found(payments: list[Paid]) -> None:
    """A quorum that works with a miner could take all coins as fees, which a payee may bear."""
    count = max(1, len(payments[0].payees))
    burns = [burn(BTC // count, address) for address in (b"payee", b"other")[:count]]
    report = audit(
        deposits=[deposit(1, ALICE, BTC)], burns=burns, withdrawals=[mint(ALICE, BTC)], payments=payments
    )
    assert not report.equal
    assert any("members approve at most 252829 sat" in one for one in report.problems)


def test_the_reserve_has_no_part_that_no_block_has_taken() -> None:
    """A deposit to two federations, minted for the reserve before the later one was in force."""
    mixed = attrs.evolve(deposit(1, RESERVE, 9_000), less=(Sat(5_000),))
    coins = {OutPoint(mixed.txid, 0): Sat(5_000), OutPoint(mixed.txid, 1): Sat(4_000)}
    totals = audit([mixed], coins=coins).totals
    assert (totals.reserve, totals.held, totals.uncredited, totals.missing) == (5_000, 5_000, 4_000, 0)
    del coins[OutPoint(mixed.txid, 1)]
    coins[OutPoint(txid(2), 0)] = Sat(4_000)  # a payment has spent the later federation's output
    coins[OutPoint(mixed.txid, 0)] = Sat(3_000)
    assert audit([mixed], coins=coins).totals.reserve == 9_000
