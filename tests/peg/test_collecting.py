"""The members' signatures of a payment: which are valid, and when a transaction is complete."""

from collections.abc import Sequence

import attrs
import pytest
from btclib_secp256k1 import ssa

from alysd.peg.collecting import OpenVersion, open_versions, places_of
from alysd.peg.signing import witness_fault
from alysd.testing.chain import bitcoin_secret
from alysd.types.hashes import SchnorrSignature
from alysd.types.peg import Payment, PegSignature
from alysd.types.units import Height
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.payment_kit import make_payment, member_keys, spendings_of

SPENDINGS = spendings_of(3)
KEYS = member_keys(4)
PAYMENT = make_payment(SPENDINGS)
OPEN = OpenVersion.of(PAYMENT, PAYMENT.versions[0], SPENDINGS, make_transaction)


def signature(member: int, messages: Sequence[bytes] = OPEN.messages) -> PegSignature:
    signed = tuple(SchnorrSignature(ssa.sign(message, bitcoin_secret(member))) for message in messages)
    return PegSignature(OPEN.txid, KEYS[member], signed)


def test_a_member_signs_the_inputs_of_its_federation() -> None:
    assert places_of(PAYMENT, KEYS[0], SPENDINGS) == (0, 1)
    assert places_of(PAYMENT, KEYS[3], SPENDINGS) == ()


@pytest.mark.parametrize(
    ("signed", "open_ones"), [(0, [0]), (1, [0, 1]), (2, [1, 2]), (3, [2])], ids=["new", "2nd", "3rd", "signed"]
)
def test_the_versions_that_may_still_need_signatures(signed: int, open_ones: list[int]) -> None:
    fees = (2_000, 4_000, 6_000)[: max(1, min(3, signed + 1))]
    payment: Payment = make_payment(SPENDINGS, fees=fees, signed=signed)
    if signed == 3:
        last = attrs.evolve(payment.versions[-1], signed=Height(7))
        payment = attrs.evolve(payment, versions=(*payment.versions[:-1], last))
    assert open_versions(payment) == tuple(payment.versions[place] for place in open_ones)


def test_valid_signatures_have_no_fault() -> None:
    assert OPEN.needed == 2
    assert [OPEN.fault(signature(member)) for member in range(3)] == [None] * 3


def test_the_fault_of_other_signatures_is_named() -> None:
    right = signature(0)
    assert OPEN.fault(signature(3)) == "the key belongs to no member"
    assert OPEN.fault(signature(0, OPEN.messages[:1])) == "2 signatures expected, found 1"
    assert OPEN.fault(attrs.evolve(right, key=KEYS[1])) == "the signature of input 0 is not valid"
    assert OPEN.fault(signature(0, OPEN.messages[:1] * 2)) == "the signature of input 1 is not valid"


def test_a_quorum_completes_the_transaction() -> None:
    first, second, third = (signature(member) for member in range(3))
    assert OPEN.complete({}) is None
    assert OPEN.complete({KEYS[0]: first}) is None
    assert OPEN.complete({KEYS[0]: first, KEYS[3]: signature(3)}) is None, "a stranger does not count"
    for given in ((first, third), (third, first), (first, second, third)):
        complete = OPEN.complete({one.key: one for one in given})
        assert complete is not None
        assert complete.txid == OPEN.txid
        faults = [
            witness_fault(SPENDINGS[0], message, stack)
            for message, stack in zip(OPEN.messages, complete.witness, strict=True)
        ]
        assert faults == [None, None]
