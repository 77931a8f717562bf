from collections.abc import Callable

import attrs
import pytest

from alysd.consensus.payload import check_payload, check_withdrawals, payload_attributes, prev_randao
from alysd.consensus.violations import (
    BlockDiffers,
    WrongBlobGas,
    WrongBlockNumber,
    WrongExecutionParent,
    WrongFeeRecipient,
    WrongRandao,
    WrongTimestamp,
    WrongWithdrawals,
)
from alysd.testing.blocks import FIRST_SLOT, MINER, context_of, genesis, make_block, make_spec
from alysd.types.block import Withdrawal
from alysd.types.hashes import BURN_ADDRESS, BlockHash, sha256
from alysd.types.units import Gwei, Slot

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
def test_each_fixed_field_has_its_own_error(field: str, value: object, error: type[BlockDiffers]) -> None:
    evolve: Callable[..., object] = attrs.evolve
    payload = evolve(BLOCK.payload, **{field: value})
    with pytest.raises(error) as caught:
        check_payload(attrs.evolve(BLOCK, payload=payload), PARENT, CONTEXT)
    assert caught.value.found == value
    assert caught.value.expected == getattr(BLOCK.payload, field)


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
