"""Transactions with the sender's address in place of a signature."""

from contextlib import suppress

import pytest

from alysd.embedded.engine.transaction import InvalidSender, read_transaction
from alysd.embedded.engine.unsigned_transaction import UnsignedTransaction
from alysd.embedded.on_demand.impersonation import impersonated, read_any
from alysd.types.hashes import EvmAddress

VICTIMS = [EvmAddress(bytes([number]) * 20) for number in range(1, 9)]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("victim", VICTIMS)
def test_only_the_mode_believes_the_address(kind: int, victim: EvmAddress) -> None:
    """Outside of it, everybody could send transactions of every account."""
    raw = impersonated(UnsignedTransaction(kind, 7, 0, 10**9, 10**9, 21_000, victim, 1, b""), victim)
    found = read_any(raw, 7)
    assert (found.sender, found.impersonated) == (victim, True)
    with suppress(InvalidSender):  # half of all numbers are no point of the curve
        other = read_transaction(raw, 7)
        assert other.sender != victim
        assert not other.impersonated


def test_a_signature_is_read_as_one() -> None:
    unsigned = UnsignedTransaction(2, 7, 0, 10**9, 1, 21_000, VICTIMS[0], 1, b"")
    raw = unsigned.signed(b"\x01" * 32)
    assert read_any(raw, 7) == read_transaction(raw, 7)
    assert not read_any(raw, 7).impersonated
