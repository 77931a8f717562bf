"""A precompiled contract fails in geth's words."""

import pytest

from alysd.embedded.engine.precompiled.fault_words import contract_fault

P = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
ONE = (1).to_bytes(32, "big")
TWO = (2).to_bytes(32, "big")
GENERATOR = ONE + TWO
TOO_LARGE = P.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("number", "data", "words"),
    [
        (6, ONE + ONE, "point is not on curve"),
        (6, GENERATOR + TOO_LARGE, "invalid fp.Element encoding"),
        (7, ONE, "point is not on curve"),
        (8, bytes(191), "bad elliptic curve pairing size"),
        (8, bytes(192) + ONE + ONE + bytes(128), "point is not on curve"),
        (8, GENERATOR + bytes(96) + TOO_LARGE, "invalid fp.Element encoding"),
        (8, GENERATOR + bytes(96) + ONE, "point is not on curve"),
        (8, bytes(192), "point is not in correct subgroup"),
        (9, bytes(212), "invalid input length"),
        (9, bytes(212) + b"\2", "invalid final flag"),
        (10, bytes(191), "invalid input length"),
        (10, bytes(192), "mismatched versioned hash"),
        (5, b"", "out of gas"),
    ],
)
def test_the_words_are_those_of_geth(number: int, data: bytes, words: str) -> None:
    assert contract_fault(number, data, 10**6, affordable=True) == words
    assert contract_fault(number, data, 10**6, affordable=False) == "out of gas"


def test_a_proof_that_cannot_be_paid_is_not_looked_at() -> None:
    assert contract_fault(10, bytes(191), 49_999, affordable=True) == "out of gas"
