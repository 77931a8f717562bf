"""The checks of a single transaction."""

from typing import Any

import attrs
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.specification import Bytes, transactions
from alysd.embedded.engine.transaction import (
    InvalidSender,
    SignedTransaction,
    TransactionRefused,
    UnsupportedType,
    read_transaction,
)
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.embedded.pool.checks import (
    MAX_INITCODE,
    PoolLimits,
    check_account,
    check_transaction,
    intrinsic_gas,
)
from alysd.embedded.pool.refusals import (
    ExceedsBlockGasLimit,
    InitCodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    NonceAtMaximum,
    NonceTooLow,
    TipAboveFee,
    TipTooLow,
    Unprotected,
)
from alysd.types.units import Wei

CHAIN_ID, GAS_LIMIT = 7, 30_000_000
LIMITS = PoolLimits(minimum_tip=5)
TO = "0x" + "11" * 20


def transaction(**fields: Any) -> SignedTransaction:
    """A transfer that the pool takes."""
    signing: dict[str, Any] = {"chainId": CHAIN_ID, "nonce": 0, "gas": 21_000, "to": TO, "value": 1}
    signing |= {"maxFeePerGas": 100, "maxPriorityFeePerGas": 10}
    raw = Account.from_key(b"\x01" * 32).sign_transaction(signing).raw_transaction
    return attrs.evolve(read_transaction(bytes(raw), CHAIN_ID), **fields)


def test_a_plain_transfer_is_taken() -> None:
    check_transaction(transaction(), CHAIN_ID, GAS_LIMIT, LIMITS)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"type": 3}, UnsupportedType),
        ({"type": 0, "chain_id": None}, Unprotected),
        ({"chain_id": 8}, InvalidSender),
        ({"to": None, "data": bytes(MAX_INITCODE + 1), "gas": 10**7}, InitCodeTooLarge),
        ({"gas": GAS_LIMIT + 1}, ExceedsBlockGasLimit),
        ({"max_fee": 9}, TipAboveFee),
        ({"nonce": 2**64 - 1}, NonceAtMaximum),
        ({"gas": 20_999}, IntrinsicGasTooLow),
        ({"max_priority_fee": 4}, TipTooLow),
    ],
)
def test_what_no_block_takes_is_refused_by_name(fields: dict[str, Any], refusal: type[TransactionRefused]) -> None:
    with pytest.raises(refusal):
        check_transaction(transaction(**fields), CHAIN_ID, GAS_LIMIT, LIMITS)


@pytest.mark.parametrize(
    "fields",
    [
        {"gas": GAS_LIMIT},
        {"max_fee": 10},
        {"nonce": 2**64 - 2},
        {"max_priority_fee": 5},
        {"to": None, "data": bytes(MAX_INITCODE), "gas": 10**7},
        {"data": bytes(MAX_INITCODE + 1), "gas": 10**7},
    ],
)
def test_bounds_themselves_are_taken(fields: dict[str, Any]) -> None:
    check_transaction(transaction(**fields), CHAIN_ID, GAS_LIMIT, LIMITS)


@given(st.binary(max_size=200), st.booleans(), st.lists(st.integers(0, 3), max_size=3))
def test_intrinsic_gas_is_the_specification_s(data: bytes, creates: bool, entries: list[int]) -> None:
    """One gas less and the engine would refuse what the pool took."""
    signing: dict[str, Any] = {
        "chainId": CHAIN_ID,
        "nonce": 0,
        "gas": 10**6,
        "to": "" if creates else TO,
        "value": 0,
        "data": data,
        "maxFeePerGas": 9,
        "maxPriorityFeePerGas": 9,
        "accessList": [{"address": TO, "storageKeys": ["0x" + "22" * 32] * keys} for keys in entries],
    }
    raw = bytes(Account.from_key(b"\x01" * 32).sign_transaction(signing).raw_transaction)
    specified = transactions.calculate_intrinsic_cost(transactions.decode_transaction(Bytes(raw)))
    assert intrinsic_gas(read_transaction(raw, CHAIN_ID)) == specified


def test_an_account_must_have_the_nonce_free_and_the_money() -> None:
    new = transaction(nonce=3)
    rich = attrs.evolve(EMPTY_STATE, nonce=3, balance=Wei(2 * new.cost))
    check_account(new, rich, new.cost)
    with pytest.raises(NonceTooLow):
        check_account(new, attrs.evolve(rich, nonce=4), 0)
    with pytest.raises(InsufficientFunds, match="queued cost"):
        check_account(new, rich, new.cost + 1)
    with pytest.raises(InsufficientFunds, match="overshot 1$"):
        check_account(new, attrs.evolve(rich, balance=Wei(new.cost - 1)), 0)
    check_account(transaction(nonce=9), rich, 0)
