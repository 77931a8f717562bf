"""The fixed fields of a payload, and the fees that it mints."""

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.payload import (
    check_payload,
    check_withdrawals,
    expected_withdrawals,
    fee_shares,
    miner_share,
    payload_attributes,
    prev_randao,
    priority_fees,
)
from alysd.consensus.payload_violations import (
    EmptyTransaction,
    GasAboveLimit,
    PriceBelowBaseFee,
    WrongBlobGas,
    WrongBlockNumber,
    WrongExecutionParent,
    WrongFeeRecipient,
    WrongGasUsed,
    WrongRandao,
    WrongTimestamp,
    WrongWithdrawals,
)
from alysd.consensus.violations import Differs
from alysd.testing.blocks import (
    CHAIN_ID,
    FIRST_SLOT,
    MINER,
    context_of,
    genesis,
    make_block,
    make_payload,
    make_spec,
)
from alysd.testing.chain import EASY_BITS
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Withdrawal
from alysd.types.fees import FeeFields
from alysd.types.hashes import BURN_ADDRESS, ZERO_HASH, BlockHash, EvmAddress, sha256
from alysd.types.units import Gwei, Slot, Wei

amounts = st.integers(0, 10**30)
ADDRESSES = make_spec().federation_fee_addresses
HEADER = AuxPowHeader(ZERO_HASH, ZERO_HASH, EASY_BITS, CHAIN_ID, MINER, None)


def fees(most: int, priority: int, gas_limit: int = 10**9) -> FeeFields:
    return FeeFields(Wei(most), Wei(priority), gas_limit)


def paid(fields: list[FeeFields], gas: list[int], base_fee: int, total: int | None = None) -> Wei:
    """The priority fees of a payload that states `total` gas, by default the sum of `gas`."""
    payload = make_payload(gas_used=sum(gas) if total is None else total, base_fee_per_gas=Wei(base_fee))
    return priority_fees(payload, fields, gas)


def test_a_transaction_pays_its_priority_fee_as_far_as_its_limit_allows() -> None:
    legacy, generous, tight = fees(100, 100), fees(100, 3), fees(12, 5)
    assert paid([legacy], [21_000], 10) == 90 * 21_000
    assert paid([generous], [21_000], 10) == 3 * 21_000
    assert paid([tight], [21_000], 10) == 2 * 21_000
    assert paid([legacy, generous, tight], [1, 10, 100], 10) == 90 + 30 + 200
    assert paid([], [], 10) == 0


def test_another_number_of_receipts_than_transactions_is_no_sum() -> None:
    with pytest.raises(ValueError, match="zip"):
        paid([fees(1, 1)], [], 0)


def test_receipts_with_more_gas_than_the_payload_mint_nothing() -> None:
    """One receipt of 21 billion gas was 21 BTC of fees, in a payload that used 21,000."""
    with pytest.raises(WrongGasUsed, match="gas used: expected 21000, found 21000000000"):
        paid([fees(10**9, 10**9, 2**64)], [21 * 10**9], 0, total=21_000)


def test_a_transaction_uses_no_more_gas_than_its_sender_allows() -> None:
    """The author's execution client states the payload's gas: it may not name more than the senders signed."""
    with pytest.raises(GasAboveLimit) as caught:
        paid([fees(9, 9, 21_000), fees(9, 9, 21_000)], [21_000, 21_001], 0)
    assert (caught.value.place, caught.value.limit, caught.value.found) == (1, 21_000, 21_001)


def test_a_price_below_the_base_fee_is_no_negative_fee() -> None:
    """A negative fee would reduce the sum of the fees that miner and federation get."""
    with pytest.raises(PriceBelowBaseFee) as caught:
        paid([fees(100, 1), fees(9, 9)], [21_000, 21_000], 10)
    assert (caught.value.place, caught.value.base_fee, caught.value.found) == (1, 10, 9)


wei = st.integers(0, 10**12)
gas_amounts = st.integers(0, 40_000_000)
offers = st.lists(st.tuples(wei, wei, gas_amounts, gas_amounts, st.booleans()), max_size=6)


@given(offers, wei, st.one_of(st.none(), st.integers(0, 10**10)))
def test_minted_fees_never_exceed_what_the_senders_could_have_paid(
    transactions: list[tuple[int, int, int, int, bool]], base_fee: int, stated: int | None
) -> None:
    """Each wei of a fee is covered by what a sender signed, also when receipts and payload state anything else."""
    fields = [fees(most, priority, limit) for most, priority, limit, _, _ in transactions]
    # Mostly within the limit, so that many of the sums are accepted.
    gas = [used if lies else min(used, limit) for _, _, limit, used, lies in transactions]
    try:
        total = paid(fields, gas, base_fee, stated)
    except (WrongGasUsed, GasAboveLimit, PriceBelowBaseFee):
        return
    affordable = sum(one.gas_limit * (one.max_fee_per_gas - base_fee) for one in fields)
    assert 0 <= total <= affordable
    minted = sum(amount * 10**9 for _, amount in fee_shares(total, MINER, ADDRESSES))
    assert minted <= affordable


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


SPEC = make_spec()
CONTEXT = context_of(SPEC)
PARENT = genesis(SPEC)
BLOCK = make_block(PARENT, FIRST_SLOT, SPEC)


def test_randao_is_the_hash_of_parent_and_slot() -> None:
    parent = BlockHash(b"\x07" * 32)
    assert prev_randao(parent, Slot(258)) == sha256(parent + bytes([2, 1, 0, 0, 0, 0, 0, 0]))


def test_the_author_is_given_what_the_others_check() -> None:
    attributes = payload_attributes(PARENT, FIRST_SLOT, None, CONTEXT)
    assert attributes.parent == PARENT.payload_hash
    assert attributes.parent_beacon_block_root == PARENT.hash
    assert attributes.timestamp == 2 * FIRST_SLOT
    assert attributes.fee_recipient == BURN_ADDRESS
    assert attributes.withdrawals == ()
    check_payload(BLOCK, PARENT, CONTEXT)
    check_withdrawals(BLOCK, PARENT, CONTEXT)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("parent_hash", b"\x01" * 32, WrongExecutionParent),
        ("block_number", 2, WrongBlockNumber),
        ("timestamp", 2 * FIRST_SLOT + 1, WrongTimestamp),
        ("prev_randao", bytes(32), WrongRandao),
        ("fee_recipient", MINER, WrongFeeRecipient),
        ("blob_gas_used", 131_072, WrongBlobGas),
    ],
)
def test_each_fixed_field_has_its_own_error(field: str, value: object, error: type[Differs]) -> None:
    evolve: Callable[..., object] = attrs.evolve
    payload = evolve(BLOCK.payload, **{field: value})
    with pytest.raises(error) as caught:
        check_payload(attrs.evolve(BLOCK, payload=payload), PARENT, CONTEXT)
    assert caught.value.found == value
    assert caught.value.expected == getattr(BLOCK.payload, field)


def test_an_empty_transaction_is_refused_before_any_client_is_asked() -> None:
    """An empty transaction does not change the payload's hash, so a client that knows the hash finds it valid."""
    payload = attrs.evolve(BLOCK.payload, transactions=(b"\x01", b""))
    with pytest.raises(EmptyTransaction, match="transaction 1 is empty"):
        check_payload(attrs.evolve(BLOCK, payload=payload), PARENT, CONTEXT)


@pytest.mark.parametrize(
    "withdrawals",
    [(Withdrawal(0, 0, MINER, Gwei(1)),), (Withdrawal(0, 0, MINER, Gwei(0)),)],
)
def test_one_withdrawal_too_many_is_refused(withdrawals: tuple[Withdrawal, ...]) -> None:
    """An extra withdrawal mints money."""
    payload = attrs.evolve(BLOCK.payload, withdrawals=withdrawals)
    with pytest.raises(WrongWithdrawals) as caught:
        check_withdrawals(attrs.evolve(BLOCK, payload=payload), PARENT, CONTEXT)
    assert caught.value.expected == ()
    assert caught.value.found == withdrawals
