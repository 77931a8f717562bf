"""Transactions with a base fee and a priority fee are signed byte for byte as eth-account signs them."""

from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.wire.bridge_call import request_call
from alysd.wire.evm_address import checksum_address
from alysd.wire.fee_market_transaction import FeeMarketTransaction, transaction_hash
from alysd.wire.keccak import keccak256
from alysd.wire.transactions import fee_fields

words = st.integers(min_value=0, max_value=2**64 - 2)
secrets = st.integers(min_value=1, max_value=2**255).map(lambda number: number.to_bytes(32, "big"))
transactions = st.builds(
    FeeMarketTransaction,
    chain_id=st.integers(min_value=1, max_value=2**63 - 1),
    nonce=words,
    max_priority_fee=words.map(Wei),
    max_fee=words.map(Wei),
    gas_limit=words,
    to=st.binary(min_size=20, max_size=20).map(EvmAddress),
    value=st.integers(min_value=0, max_value=2**256 - 1).map(Wei),
    data=st.binary(max_size=200),
)


@given(transactions, secrets)
def test_it_is_signed_as_the_library_signs_it(transaction: FeeMarketTransaction, secret: bytes) -> None:
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "maxPriorityFeePerGas": transaction.max_priority_fee,
        "maxFeePerGas": transaction.max_fee,
        "gas": transaction.gas_limit,
        "to": checksum_address(transaction.to),
        "value": transaction.value,
        "data": transaction.data,
    }
    expected = Account.sign_transaction(fields, secret)
    signed = transaction.signed(secret)
    assert signed == bytes(expected.raw_transaction)
    assert transaction_hash(signed) == bytes(expected.hash)
    assert fee_fields(signed).gas_limit == transaction.gas_limit


def test_the_cost_has_the_whole_gas_at_the_highest_fee() -> None:
    transaction = FeeMarketTransaction(1, 0, Wei(1), Wei(7), 100, EvmAddress(bytes(20)), Wei(5), b"")
    assert transaction.cost == 705


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, b"\x01" * 31])
def test_a_number_out_of_range_is_no_key(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|scalar|bytes|range"):
        FeeMarketTransaction(1, 0, Wei(1), Wei(7), 100, EvmAddress(bytes(20)), Wei(5), b"").signed(secret)


@given(st.binary(min_size=1, max_size=90))
def test_the_call_of_the_bridge_is_encoded_as_the_library_encodes_it(address: bytes) -> None:
    selector = keccak256(b"requestPegOut(bytes)")[:4]
    assert request_call(address) == selector + abi_encode(["bytes"], [address])
