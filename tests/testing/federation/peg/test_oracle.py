"""The oracle of the peg notices what must not happen."""

import attrs

from alysd.testing.federation.peg.engine import BridgeCall
from alysd.testing.federation.peg.oracle import PegOracle, UserBurn, UserDeposit, unequal
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import OutPoint, PegTotals, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat, SatSum
from alysd.wire.bitcoin_transaction import make_transaction

FEDERATION, THIEF, PAYEE = b"\x51\x20" + bytes(32), b"\x00\x14" + b"\x66" * 20, b"\x00\x14" + b"\x01" * 20
USER = EvmAddress(b"\x40" * 20)


def coin(number: int) -> BitcoinHash:
    return BitcoinHash(bytes([number]) * 32)


def payment(number: int, script: bytes, sat: int) -> Transaction:
    spent = TransactionInput(OutPoint(coin(number), 0), b"", 0)
    outputs = [TransactionOutput(Sat(sat), script), TransactionOutput(Sat(5), FEDERATION)]
    return make_transaction(2, [spent], outputs, 0)


@attrs.define
class World:
    found: list[str] = attrs.Factory(list[str])
    oracle: PegOracle = attrs.field(init=False)
    burn: UserBurn = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.oracle = PegOracle([FEDERATION], 500, {}, self.found.append)
        self.burn = UserBurn(BridgeCall(USER, 0, b"address", 100_000), PAYEE, height=7)
        self.oracle.burns[USER, 0] = self.burn


def test_versions_of_one_payment_are_one_payment() -> None:
    world = World()
    world.oracle.check_payment(payment(1, PAYEE, 99_000))
    world.oracle.check_payment(payment(1, PAYEE, 98_000))
    assert world.found == []
    assert world.oracle.payments_of([payment(1, PAYEE, 98_000)]) == {PAYEE: 1}


def test_two_payments_of_one_burn_are_noticed_before_they_confirm() -> None:
    world = World()
    world.oracle.check_payment(payment(1, PAYEE, 99_000))
    world.oracle.check_payment(payment(2, PAYEE, 99_000))
    assert ["both can confirm" in text for text in world.found] == [True]
    world.oracle.check_chain([payment(1, PAYEE, 99_000), payment(2, PAYEE, 99_000)])
    assert "2 times" in world.found[-1]


def test_payments_without_a_committed_burn_of_too_much_and_after_a_refund_are_noticed() -> None:
    world = World()
    world.oracle.check_payment(payment(1, THIEF, 1))
    assert "for no committed burn" in world.found.pop()
    world.oracle.check_payment(payment(2, PAYEE, 99_501))
    assert "pays 99501 sat for the burn of 100000 sat" in world.found.pop()
    world.burn.end = "refunded"
    world.oracle.check_payment(payment(2, PAYEE, 99_000))
    assert "which is refunded" in world.found.pop()
    world.burn.height = None
    world.oracle.check_payment(payment(2, PAYEE, 99_000))
    assert "for no committed burn" in world.found.pop()


def test_what_has_no_end_is_unsettled() -> None:
    world = World()
    world.oracle.deposits[coin(9)] = UserDeposit(USER, {0: 200_000})
    unspent = {OutPoint(coin(9), 0): TransactionOutput(Sat(200_000), FEDERATION)}
    left = world.oracle.unsettled([], {coin(9)}, unspent, PegTotals(owed=Sat(99_500)))
    assert [text.split()[-2:] for text in left[:2]] == [["not", "minted"], ["0", "ends"]]
    assert "in flight" in left[2]
    assert left[3] == "the ledger holds 0 sat, the federation has 200000 sat on Bitcoin"
    world.oracle.minted[coin(9)] = 8
    paid = [payment(1, PAYEE, 99_000)]
    assert world.oracle.unsettled(paid, {coin(9)}, unspent, PegTotals(held=Sat(200_000))) == []
    world.burn.end = "refunded"
    assert "has 2 ends" in world.oracle.unsettled(paid, set(), {}, PegTotals())[0]


def test_the_equality_is_computed_anew() -> None:
    assert not unequal(PegTotals(held=Sat(5), minted=SatSum(5)))
    assert unequal(PegTotals(held=Sat(5), minted=SatSum(4)))
    assert unequal(PegTotals(held=Sat(-1), minted=SatSum(-1)))
