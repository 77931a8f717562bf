"""The text of each violation of the execution payload."""

import pickle

import pytest

from alysd.consensus.payload_violations import (
    EmptyTransaction,
    FeesAboveSupply,
    GasAboveLimit,
    InvalidPayload,
    PriceBelowBaseFee,
    WrongGasUsed,
    WrongRandao,
)
from alysd.errors import InvalidBlock
from alysd.types.units import Wei

MESSAGES: list[tuple[InvalidBlock, str]] = [
    (WrongRandao(b"\x01", b"\x02"), "prev_randao: expected 01, found 02"),
    (WrongGasUsed(21_000, 42_000), "gas used: expected 21000, found 42000"),
    (GasAboveLimit(3, 21_000, 42_000), "transaction 3 uses 42000 gas, but its gas limit is 21000"),
    (PriceBelowBaseFee(3, Wei(8), Wei(7)), "transaction 3 offers 7 wei per gas, but the base fee is 8"),
    (
        FeesAboveSupply(Wei(10**26)),
        f"the unpaid fees are 1{'0' * 26} wei, more than the 21{'0' * 24} wei that can exist",
    ),
    (EmptyTransaction(3), "transaction 3 is empty"),
    (InvalidPayload("nonce too low"), "the execution client finds the payload invalid: nonce too low"),
]


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_each_error_says_what_was_expected_and_found(error: InvalidBlock, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda value: type(value).__name__)
def test_errors_survive_the_way_to_another_process(error: InvalidBlock) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  our own bytes
