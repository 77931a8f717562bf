"""Deposits: which transactions are one, whom they name, and why others are not credited."""

import pytest

from alysd.peg.deposits import NotCredited, read_deposit, recipient_of, recipient_script
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import (
    MAX_DEPOSIT_OUTPUTS,
    RESERVE,
    DepositOutput,
    OutPoint,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

OURS, FORMER, OTHER = b"\x51\x20" + b"\x01" * 32, b"\x51\x20" + b"\x02" * 32, b"\x51\x20" + b"\x03" * 32
FEDERATIONS = {FORMER: 0, OURS: 1}
USER = EvmAddress(bytes(range(1, 21)))
NAMED = (0, recipient_script(USER))


def transaction(*outputs: tuple[int, bytes], spent: bytes = b"\x07" * 32) -> Transaction:
    spends = TransactionInput(OutPoint(BitcoinHash(spent), 0), b"", 0)
    made = [TransactionOutput(Sat(amount), script) for amount, script in outputs]
    return make_transaction(2, [spends], made, 0)


def test_a_deposit_has_its_outputs_to_all_federations() -> None:
    made = transaction((5_000, OTHER), (1_000, OURS), NAMED, (2_000, FORMER), (999, OURS), (0, OURS))
    found = read_deposit(made, FEDERATIONS, Sat(1_000))
    assert found is not None
    assert (found.txid, found.recipient, found.amount) == (made.txid, USER, 3_000)
    assert found.outputs == (DepositOutput(1, 1, Sat(1_000)), DepositOutput(3, 0, Sat(2_000)))


@pytest.mark.parametrize("outputs", [((5_000, OTHER), NAMED), ((0, OURS), NAMED)], ids=["others", "nothing"])
def test_what_does_not_pay_a_federation_is_no_deposit(outputs: tuple[tuple[int, bytes], ...]) -> None:
    assert read_deposit(transaction(*outputs), FEDERATIONS, Sat(1_000)) is None


MANY = ((1_000, OURS),) * MAX_DEPOSIT_OUTPUTS


@pytest.mark.parametrize(
    ("outputs", "amount", "reason"),
    [
        (((1_000, OURS),), 1_000, "found 0"),
        (((1_000, OURS), NAMED, (0, b"\x6a\x07reserve")), 1_000, "found 2"),
        (((999, OURS), (998, OURS), NAMED), 1_997, "no output has the minimum of 1000 sat"),
        ((*MANY, (1_000, OURS), NAMED), 65_000, "it has 65 outputs to the federation, more than 64"),
    ],
)
def test_the_reason_why_a_payment_is_not_credited(
    outputs: tuple[tuple[int, bytes], ...], amount: int, reason: str
) -> None:
    made = transaction(*outputs)
    with pytest.raises(NotCredited, match=reason) as refused:
        read_deposit(made, FEDERATIONS, Sat(1_000))
    assert (refused.value.txid, refused.value.amount) == (made.txid, amount)
    assert f"the payment of {amount} sat to the federation is not a deposit" in str(refused.value)


def test_the_most_outputs_are_credited_and_small_ones_do_not_count() -> None:
    found = read_deposit(transaction(*MANY, (999, OURS), NAMED), FEDERATIONS, Sat(1_000))
    assert found is not None
    assert len(found.outputs) == MAX_DEPOSIT_OUTPUTS


def test_many_outputs_to_several_federations_are_counted_for_each_branch() -> None:
    """A branch that has only one of the federations counts the outputs to it alone."""
    found = read_deposit(transaction(*MANY, (1_000, FORMER), NAMED), FEDERATIONS, Sat(1_000))
    assert found is not None
    assert len(found.outputs) == MAX_DEPOSIT_OUTPUTS + 1
    most = 2 * MAX_DEPOSIT_OUTPUTS
    both = [((1_000, OURS), (1_000, FORMER))[place % 2] for place in range(2 * most)]
    found = read_deposit(transaction(*both, NAMED), FEDERATIONS, Sat(1_000))
    assert found is not None
    kept = [sum(output.federation == number for output in found.outputs) for number in (0, 1)]
    assert kept == [MAX_DEPOSIT_OUTPUTS + 1] * 2
    assert [output.index for output in found.outputs] == [*range(2 * (MAX_DEPOSIT_OUTPUTS + 1))]


def test_a_coinbase_is_never_credited() -> None:
    with pytest.raises(NotCredited, match="it is a coinbase"):
        read_deposit(transaction((1_000, OURS), NAMED, spent=bytes(32)), FEDERATIONS, Sat(1_000))


HEX = USER.hex().encode()


@pytest.mark.parametrize(
    ("script", "recipient"),
    [
        (b"\x6a\x14" + USER, USER),
        (b"\x6a\x28" + HEX, USER),
        (b"\x6a\x28" + HEX.upper(), USER),
        (b"\x6a\x2a0x" + HEX, USER),
        (b"\x6a\x2a0X" + HEX, USER),
        (b"\x6a\x4c\x14" + USER, USER),
        (b"\x6a\x07reserve", RESERVE),
        (b"\x6a\x14" + bytes(20), None),
        (b"\x6a\x28" + b"0" * 40, None),
        (b"\x6a\x28" + b"g" + HEX[1:], None),
        (b"\x6a\x2a1x" + HEX, None),
        (b"\x6a\x13" + USER[:19], None),
        (b"\x6a\x15" + USER + b"\x01", None),
        (b"\x6a\x14" + USER + b"\x01", None),
        (b"\x6a\x15" + USER, None),
        (b"\x6a\x07RESERVE", None),
        (b"\x6a\x4d\x14\x00" + USER, None),
        (b"\x6a\x4c", None),
        (b"\x6a", None),
        (b"", None),
        (b"\x51\x14" + USER, None),
    ],
)
def test_the_recipient_that_a_script_names(script: bytes, recipient: EvmAddress | None) -> None:
    assert recipient_of(script) == recipient
