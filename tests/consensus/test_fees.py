import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.fees import expected_withdrawals, fee_shares, miner_share, priority_fees
from alysd.testing.blocks import CHAIN_ID, EASY_BITS, MINER, context_of, genesis, make_spec
from alysd.types.auxpow import AuxPowHeader
from alysd.types.fees import FeeFields
from alysd.types.hashes import ZERO_HASH, EvmAddress
from alysd.types.units import Wei

amounts = st.integers(0, 10**30)
ADDRESSES = make_spec().federation_fee_addresses
HEADER = AuxPowHeader(ZERO_HASH, ZERO_HASH, EASY_BITS, CHAIN_ID, MINER, None)


def fees(most: int, priority: int) -> FeeFields:
    return FeeFields(Wei(most), Wei(priority))


def test_a_transaction_pays_its_priority_fee_as_far_as_its_limit_allows() -> None:
    legacy, generous, tight = fees(100, 100), fees(100, 3), fees(12, 5)
    assert priority_fees([legacy], [21_000], Wei(10)) == 90 * 21_000
    assert priority_fees([generous], [21_000], Wei(10)) == 3 * 21_000
    assert priority_fees([tight], [21_000], Wei(10)) == 2 * 21_000
    assert priority_fees([legacy, generous, tight], [1, 10, 100], Wei(10)) == 90 + 30 + 200
    assert priority_fees([], [], Wei(10)) == 0


def test_another_number_of_receipts_than_transactions_is_no_sum() -> None:
    with pytest.raises(ValueError, match="zip"):
        priority_fees([fees(1, 1)], [], Wei(0))


def test_eighty_percent_to_the_miner_and_the_rest_in_equal_parts() -> None:
    shares = fee_shares(Wei(1000 * 10**9), MINER, ADDRESSES)
    assert shares == ((MINER, 800), *((EvmAddress(bytes([tag]) * 20), 66) for tag in (0x21, 0x22, 0x23)))


@given(amounts, st.integers(0, 15))
def test_never_more_is_minted_than_was_burned_and_hardly_less(total: int, members: int) -> None:
    """Minting more than the fees would create bitcoin that nobody locked."""
    addresses = tuple(EvmAddress(bytes([member]) * 20) for member in range(members))
    minted = sum(amount * 10**9 for _, amount in fee_shares(Wei(total), MINER, addresses))
    assert minted <= total
    federation = 1 if members else 0
    lost = total * (80 + 20 * federation) // 100 - minted
    assert lost <= (1 + members) * 10**9


@given(amounts)
def test_the_share_that_a_miner_is_promised_is_what_he_gets(total: int) -> None:
    shares = fee_shares(Wei(total), MINER, ADDRESSES)
    assert (MINER, miner_share(Wei(total))) == (shares[0] if shares else (MINER, 0))


def test_shares_below_a_gwei_are_left_out() -> None:
    assert fee_shares(Wei(0), MINER, ADDRESSES) == ()
    assert fee_shares(Wei(2 * 10**9), MINER, ADDRESSES) == ((MINER, 1),)


def test_a_block_without_proof_mints_nothing() -> None:
    parent = attrs.evolve(genesis(make_spec()), unpaid_fees=Wei(10**18))
    assert expected_withdrawals(parent, None, context_of(make_spec())) == ()


def test_a_block_with_proof_mints_the_unpaid_fees_with_indices_that_count_on() -> None:
    parent = attrs.evolve(genesis(make_spec()), unpaid_fees=Wei(10**18), next_withdrawal=41)
    withdrawals = expected_withdrawals(parent, HEADER, context_of(make_spec()))
    assert [(one.index, one.validator_index, one.amount) for one in withdrawals] == [
        (41, 0, 800_000_000),
        (42, 0, 66_666_666),
        (43, 0, 66_666_666),
        (44, 0, 66_666_666),
    ]
    assert withdrawals[0].address == MINER
