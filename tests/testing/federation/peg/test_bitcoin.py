"""The checked Bitcoin lets nobody spend an output twice, nor one of the federation without its signatures."""

import attrs
import pytest
from btclib_secp256k1 import ssa

from alysd.errors import NotBroadcast
from alysd.peg.signing import assemble_witness, message_of, spending_of
from alysd.testing.bitcoin import FakeBitcoinNode
from alysd.testing.chain import bitcoin_secret
from alysd.testing.federation.peg.bitcoin import CheckedBitcoin, MemberBitcoin
from alysd.testing.virtual_time import seeded
from alysd.types.hashes import SchnorrSignature
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction
from tests.peg.payment_kit import member_keys

SPENDING = spending_of(member_keys(4))
PAYEE = b"\x00\x14" + b"\x01" * 20


@attrs.define
class World:
    seen: list[Transaction] = attrs.Factory(list[Transaction])
    bitcoin: CheckedBitcoin = attrs.field(init=False)
    deposit: Transaction = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.bitcoin = CheckedBitcoin(spending=SPENDING, seen=self.seen.append)
        self.deposit = self.bitcoin.pay([(100_000, SPENDING.output_script)])
        self.bitcoin.mine()

    def payment(self, fee: int = 1_000, signers: int = 3) -> Transaction:
        """A payment of the deposit."""
        spent = TransactionInput(OutPoint(self.deposit.txid, 0), b"", 0xFFFFFFFD)
        made = make_transaction(2, [spent], [TransactionOutput(Sat(100_000 - fee), PAYEE)], 0)
        message = message_of(made, self.deposit.outputs, 0, SPENDING.leaf_hash)
        signed = {at: SchnorrSignature(ssa.sign(message, bitcoin_secret(at))) for at in range(signers)}
        few = (b"",) * (4 - signers) + tuple(signed[at] for at in reversed(range(signers)))
        stack = assemble_witness(SPENDING, signed) if signers >= 3 else (*few, *_ends())
        return attrs.evolve(made, witness=(stack,))


def _ends() -> tuple[bytes, bytes]:
    return SPENDING.leaf_script, SPENDING.control_block


def test_a_payment_is_accepted_with_the_signatures_of_a_quorum_only() -> None:
    world = World()
    with pytest.raises(NotBroadcast, match="mandatory-script-verify"):
        world.bitcoin.accept(world.payment(signers=2))
    with pytest.raises(NotBroadcast, match="mandatory-script-verify"):
        world.bitcoin.accept(attrs.evolve(world.payment(), witness=()))
    assert world.seen == []
    payment = world.payment()
    world.bitcoin.accept(payment)
    world.bitcoin.accept(payment)
    assert world.seen == [payment]
    assert world.bitcoin.unspent()
    world.bitcoin.mine()
    assert world.bitcoin.has(payment.txid)
    assert not world.bitcoin.unspent()
    with pytest.raises(NotBroadcast, match="missingorspent"):
        world.bitcoin.accept(world.payment(fee=2_000))


def test_a_payment_of_more_than_it_spends_and_one_without_a_fee_are_refused() -> None:
    world = World()
    with pytest.raises(NotBroadcast, match="in-belowout"):
        world.bitcoin.accept(world.payment(fee=-1))
    with pytest.raises(NotBroadcast, match="min relay fee"):
        world.bitcoin.accept(world.payment(fee=1))


def test_only_a_higher_fee_replaces_a_payment() -> None:
    world = World()
    first, second = world.payment(fee=1_000), world.payment(fee=2_000)
    world.bitcoin.accept(first)
    world.bitcoin.accept(second)
    with pytest.raises(NotBroadcast, match="insufficient fee"):
        world.bitcoin.accept(first)
    assert list(world.bitcoin.mempool) == [second.txid]


def test_miners_leave_what_pays_too_little() -> None:
    world = World()
    world.bitcoin.accept(world.payment())
    world.bitcoin.mined_rate = 100_000
    world.bitcoin.mine(2)
    assert world.bitcoin.unspent()
    world.bitcoin.mined_rate = 1_000
    world.bitcoin.mine()
    assert not world.bitcoin.unspent()


def test_a_replaced_block_can_void_a_deposit_and_swap_the_versions_of_a_payment() -> None:
    ends: set[tuple[bool, bool]] = set()
    voided: set[bool] = set()
    for seed in range(30):
        world = World()
        first, second = world.payment(fee=1_000), world.payment(fee=2_000)
        world.bitcoin.mine(3)
        late = world.bitcoin.pay([(7, SPENDING.output_script)])
        for version in (first, second):
            world.bitcoin.accept(version)
        world.bitcoin.mine()
        world.bitcoin.replace(1, seeded(seed))
        ends.add((world.bitcoin.has(first.txid), world.bitcoin.has(second.txid)))
        voided.add(not world.bitcoin.has(late.txid))
        world.bitcoin.mine(2)
        assert world.bitcoin.has(late.txid) != (late.txid in world.bitcoin.void)
    assert ends == {(True, False), (False, True)}
    assert voided == {True, False}


async def test_a_node_that_is_cut_off_keeps_its_chain_and_reaches_nobody() -> None:
    world = World()
    node = MemberBitcoin(chain=world.bitcoin.snapshot(), extra=-500)
    world.bitcoin.mine()
    assert await node.block_hash(world.bitcoin.height) is None
    await node.broadcast(encode_transaction(world.payment()))
    assert (world.bitcoin.mempool, world.seen) == ({}, [])
    assert await node.fee_rate(6) is None
    node.chain.fee_rate = 5_000
    assert await node.fee_rate(6) == 4_500
    assert await FakeBitcoinNode(world.bitcoin).fee_rate(6) is None
