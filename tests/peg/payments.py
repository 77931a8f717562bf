"""Payments of the federation of a `PegWorld`: proposals as an author makes them, and their witnesses."""

import attrs
from btclib_secp256k1 import ssa

from alysd.consensus.peg_ledger import spendings_at
from alysd.messages.chain import ListEntries
from alysd.peg.authoring import Wish, make_proposal
from alysd.peg.coins import Coin
from alysd.peg.ledger import Draft, number_key
from alysd.peg.payments import spent_outputs
from alysd.peg.signing import Spending, assemble_witness, message_of
from alysd.testing.chain import bitcoin_secret
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, SchnorrSignature
from alysd.types.peg import Payment, PegOutProposal, PegOutRequest, Transaction, coin_of
from alysd.types.tables import Table
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.chain_world import PegWorld


def spendings(world: PegWorld) -> tuple[Spending, ...]:
    return spendings_at(world.genesis, world.hand.context)


async def coins(world: PegWorld, at: ChainState) -> list[Coin]:
    """The outputs that no payment spends, as a bridge would list them."""
    page = await world.node.to.chain.ask(ListEntries(Table.COINS, b"", 1_000, at.hash))
    assert page.next is None
    found = [coin_of(key) for key, _ in page.entries]
    return [Coin(outpoint, amount, 0, spendings(world)[0].weight) for amount, outpoint in found]


async def new_proposal(world: PegWorld, at: ChainState, rate: int) -> PegOutProposal | None:
    """A proposal for the requests after the block `at`, as an author makes it; None if nothing can be paid."""
    numbers = range(at.peg.first_request, at.peg.next_request)
    keys = [(Table.REQUESTS, number_key(number)) for number in numbers]
    found = await world.entries(at, *keys)
    entries = {(PegOutRequest, key): value for (_, key), value in zip(keys, found, strict=True)}
    draft = Draft(at.peg, entries)  # pyright: ignore[reportArgumentType]  they are requests
    wish = Wish(rate, world.spec.peg_out_max_fee_rate, "largest-first")
    return make_proposal(draft, await coins(world, at), wish, spendings(world), make_transaction)


async def payment_of(world: PegWorld, at: ChainState, name: BitcoinHash) -> Payment:
    (payment,) = await world.entries(at, (Table.PAYMENTS, name))
    assert isinstance(payment, Payment)
    return payment


def signed(world: PegWorld, payment: Payment, transaction: Transaction) -> Transaction:
    """The transaction with the witness of the federation's only member."""
    (spending,) = spendings(world)
    spent = spent_outputs(payment, [spending])
    witness: list[tuple[bytes, ...]] = []
    for place in range(len(transaction.inputs)):
        message = message_of(transaction, spent, place, spending.leaf_hash)
        witness.append(assemble_witness(spending, {0: SchnorrSignature(ssa.sign(message, bitcoin_secret(0)))}))
    return attrs.evolve(transaction, witness=tuple(witness))
