"""The addresses that a payment can go to."""

import pytest

from alysd.peg.addresses import NotPayable, dust_limit, payout_script
from alysd.peg.requests import refusal_of
from alysd.types.units import Sat
from tests.peg.ledger_kit import PAYABLE, RULES

P2TR = PAYABLE[1]


def test_every_kind_is_paid_and_has_its_dust_limit() -> None:
    """The limits are those of Bitcoin Core's relay policy."""
    limits = {address: dust_limit(payout_script(address, "regtest", ())) for address in PAYABLE}
    assert limits == dict(zip(PAYABLE, (546, 330, 540), strict=True))
    assert dust_limit(b"\x00\x14" + bytes(20)) == 294
    assert dust_limit(b"\x00\x20" + bytes(32)) == 330
    assert dust_limit(b"\x52\x20" + bytes(32)) is None


def test_capital_letters_are_the_same_address() -> None:
    assert payout_script(P2TR.upper(), "regtest", ()) == payout_script(P2TR, "regtest", ())


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (b"", "1 to 90 letters and digits"),
        (b"a" * 91, "1 to 90 letters and digits"),
        (b"bcrt1 q", "1 to 90 letters and digits"),
        ("bcrt1é".encode(), "1 to 90 letters and digits"),
        (P2TR[:-1] + b"8", "is not a Bitcoin address"),
        (b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "not one of the network regtest"),
        (b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "not one of the network regtest"),
        (b"bcrt1pfeesnyr2tx", "unknown kind of output"),
    ],
)
def test_other_texts_are_refused_with_the_reason(address: bytes, reason: str) -> None:
    with pytest.raises(NotPayable, match=reason):
        payout_script(address, "regtest", ())


def test_the_federation_is_not_paid_by_itself() -> None:
    own = payout_script(P2TR, "regtest", ())
    with pytest.raises(NotPayable, match="the federation's own"):
        payout_script(P2TR, "regtest", (own,))


def test_why_a_burn_is_refused() -> None:
    assert refusal_of(Sat(RULES.peg_out_minimum), P2TR, RULES, ()) is None
    small = refusal_of(Sat(RULES.peg_out_minimum - 1), P2TR, RULES, ())
    assert str(small).endswith("4999 sat were burned, less than the minimum of 5000 sat")
    assert "not a Bitcoin address" in str(refusal_of(Sat(RULES.peg_out_minimum), b"nowhere", RULES, ()))
