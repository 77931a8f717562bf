"""The amounts that a branch can have minted for a deposit to several federations."""

from alysd.types.bitcoin_watch import MOST_COMBINED, may_be_minted
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import DepositOutput, PegIn
from alysd.types.units import Sat


def deposit(*amounts: int) -> PegIn:
    outputs = (DepositOutput(number, number, Sat(amount)) for number, amount in enumerate(amounts))
    return PegIn(BitcoinHash(bytes(32)), BitcoinHash(bytes(32)), EvmAddress(b"\1" * 20), tuple(outputs))


def test_a_branch_mints_what_pays_its_federations() -> None:
    allowed = {1, 20, 21, 300, 301, 320, 321}
    found = {amount for amount in range(400) if may_be_minted(deposit(1, 20, 300), Sat(amount))}
    assert found == allowed


def test_the_combinations_of_many_federations_are_not_counted_out() -> None:
    """They would be too many to compute for a deposit of an attacker."""
    many = deposit(*[10] * (MOST_COMBINED + 1))
    assert may_be_minted(many, Sat(11))
    assert not may_be_minted(many, Sat(91))
    assert not may_be_minted(many, Sat(0))
