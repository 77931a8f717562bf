"""Payments through a whole node: proposed, signed, confirmed, attacked, and undone by a reorganisation."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.consensus.peg_ledger import entry_keys, stored_key
from alysd.errors import InvalidBlock
from alysd.messages.chain import ListEntries
from alysd.peg.authoring import make_replacement
from alysd.peg.ledger import check_totals
from alysd.peg.violations import (
    AlreadySigned,
    BadProposal,
    BadWitness,
    NotSigned,
    ReservedOutput,
    UnknownOutput,
    UnknownPayment,
    WrongChange,
    WrongPayees,
    WrongReserveFee,
)
from alysd.testing.peg import BITCOIN_BLOCK, peg_in
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import (
    ConfirmedPegOut,
    OutPoint,
    PegContents,
    PegOutProposal,
    TransactionOutput,
)
from alysd.types.tables import Table
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.chain_world import USERS, PegWorld, burn, peg_world
from tests.peg.payments import coins, new_proposal, payment_of, signed, spendings

RICH, OTHER, _ = USERS
RESERVE_AND_DEPOSITS = PegContents(peg_ins=(peg_in("first", 400_000, 300_000), peg_in("second", 2_000_000)))


async def proposal(world: PegWorld, at: ChainState) -> PegOutProposal:
    """A proposal for the requests after the block `at`."""
    made = await new_proposal(world, at, 5_000)
    assert made is not None
    return made


async def proposed(world: PegWorld) -> tuple[ChainState, PegOutProposal]:
    """A chain with deposits, two requests, and a payment in flight that pays them."""
    await world.block(RESERVE_AND_DEPOSITS)
    burned = await world.block(transactions=[burn(RICH, 0, 500_000), burn(OTHER, 0, 300_000)])
    wanted = await proposal(world, burned)
    return await world.block(PegContents(proposal=wanted)), wanted


async def test_a_burn_is_paid_exactly_once(tmp_path: Path, autojump_clock: MockClock, no_threads: None) -> None:
    async with peg_world(tmp_path) as world:
        state, wanted = await proposed(world)
        transaction = wanted.transaction
        name = transaction.txid
        assert (state.peg.payments, state.peg.first_request, state.peg.owed) == (1, 2, 799_800)
        payment = await payment_of(world, state, name)
        assert [payee.owed for payee in payment.payees] == [499_900, 299_900]
        confirmed = PegContents(confirmed=(ConfirmedPegOut(name, BITCOIN_BLOCK),))
        complete = signed(world, payment, transaction)
        finalized = PegContents(finalized=(complete,))
        for stack in ((*complete.witness[0][:-2], b"\x51", complete.witness[0][-1]), complete.witness[0][1:]):
            forged = attrs.evolve(complete, witness=(stack, *complete.witness[1:]))
            with pytest.raises(BadWitness):
                await world.block(PegContents(finalized=(forged,)))
        with pytest.raises(BadWitness, match="no witness"):
            await world.block(PegContents(finalized=(transaction,)))
        state = await world.block(finalized)
        assert (await payment_of(world, state, name)).versions[-1].signed == state.height
        with pytest.raises(AlreadySigned):
            await world.block(finalized)
        done = await world.block(confirmed)
        assert (done.peg.payments, done.peg.owed, done.peg.held) == (0, 0, 2_700_000 - 799_800)
        assert await coins(world, done) != []
        assert sum(coin.amount for coin in await coins(world, done)) == done.peg.held
        check_totals(done.peg)
        for again in (confirmed, finalized):
            with pytest.raises(UnknownPayment):
                await world.block(again)
        with pytest.raises((UnknownOutput, WrongPayees)):
            await world.block(PegContents(proposal=wanted))


async def test_a_reorganisation_undoes_a_payment_exactly(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """The requests stand in the queue again, the outputs are free, and no second payment can be made beside it."""
    async with peg_world(tmp_path) as world:
        state, wanted = await proposed(world)
        before = (await world.node.to.chain.ask(ListEntries(Table.PAYMENTS, b"", 10, state.hash))).entries
        assert len(before) == 1
        parent = await world.parent(state)
        other = await world.take(await world.make(parent, skip=1))
        assert await world.head() == other
        assert other.peg == parent.peg
        page = await world.node.to.chain.ask(ListEntries(Table.PAYMENTS, b"", 10, other.hash))
        assert page.entries == ()
        assert len(await coins(world, other)) == 3
        again = await world.block(PegContents(proposal=wanted))
        assert again.peg == state.peg
        with pytest.raises(ReservedOutput):
            await world.block(PegContents(proposal=wanted))


async def test_a_stuck_payment_is_replaced_and_either_version_confirms_once(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        state, wanted = await proposed(world)
        name = wanted.transaction.txid
        payment = await payment_of(world, state, name)
        newer = make_replacement(payment, 20_000, spendings(world), make_transaction)
        assert newer is not None
        with pytest.raises(NotSigned):
            await world.block(PegContents(proposal=newer))
        await world.block(PegContents(finalized=(signed(world, payment, wanted.transaction),)))
        state = await world.block(PegContents(proposal=newer))
        payment = await payment_of(world, state, name)
        assert len(payment.versions) == 2
        await world.block(PegContents(finalized=(signed(world, payment, newer.transaction),)))
        txids = [version.txid for version in payment.versions]
        both = PegContents(confirmed=tuple(ConfirmedPegOut(txid, BITCOIN_BLOCK) for txid in txids))
        with pytest.raises(UnknownPayment):
            await world.block(both)
        done = await world.block(PegContents(confirmed=both.confirmed[:1]))
        assert (done.peg.held, done.peg.owed) == (2_700_000 - 799_800, 0)
        with pytest.raises(UnknownPayment):
            await world.block(PegContents(confirmed=both.confirmed[1:]))


async def test_a_byzantine_author_can_pay_nobody_else(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        await world.block(RESERVE_AND_DEPOSITS)
        state = await world.block(transactions=[burn(RICH, 0, 500_000), burn(OTHER, 0, 300_000)])
        good = await proposal(world, state)
        paid, inputs = good.transaction.outputs, good.transaction.inputs
        thief = b"\x00\x14" + b"\x66" * 20

        def made(outputs: tuple[TransactionOutput, ...], reserve_fee: int = good.reserve_fee) -> PegOutProposal:
            return PegOutProposal(make_transaction(2, inputs, outputs, 0), Sat(reserve_fee), None)

        stolen = attrs.evolve(paid[0], script=thief)
        less = attrs.evolve(paid[-1], amount=Sat(paid[-1].amount - 1_000))
        attacks: list[tuple[type[InvalidBlock], PegOutProposal]] = [
            (WrongPayees, made((stolen, *paid[1:]))),  # another script
            (WrongPayees, made((paid[1], paid[0], paid[2]))),  # another order
            (WrongChange, made((*paid[:-1], less))),  # a higher fee at the payees' expense
            (WrongReserveFee, made((*paid[:-1], less), good.reserve_fee + 1_000)),  # or at the reserve's
            (BadProposal, made((paid[0], attrs.evolve(paid[1], amount=Sat(paid[1].amount - 1)), paid[2]))),
            (WrongChange, made((*paid[:-1], attrs.evolve(paid[-1], amount=Sat(paid[-1].amount + 10**6))))),
            (WrongPayees, made((*paid[:-1], attrs.evolve(paid[-1], script=thief)))),  # the change
            (BadProposal, attrs.evolve(good, transaction=make_transaction(2, inputs, paid, 1))),
        ]
        for error, attack in attacks:
            with pytest.raises(error):
                await world.block(PegContents(proposal=attack))
        unknown = attrs.evolve(inputs[0], spends=OutPoint(BitcoinHash(b"\x13" * 32), 0))
        foreign = PegOutProposal(make_transaction(2, [unknown], paid, 0), Sat(0), None)
        with pytest.raises(UnknownOutput):
            await world.block(PegContents(proposal=foreign))
        assert (await world.block(PegContents(proposal=good))).peg.payments == 1
        await world.block(transactions=[burn(RICH, 1, 200_000)])
        state = await world.head()
        reused = PegOutProposal(make_transaction(2, inputs, paid[:1], 0), Sat(0), None)
        with pytest.raises(ReservedOutput):
            await world.block(PegContents(proposal=reused))
        assert (await world.head()) == state


async def test_a_block_without_peg_contents_reads_no_entries(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """The import of such a block costs what it costs on a chain without a peg."""
    async with peg_world(tmp_path) as world:
        state, wanted = await proposed(world)
        context = world.hand.context
        assert entry_keys(PegContents(), None, state, context) == ()
        keys = entry_keys(PegContents(proposal=wanted), None, await world.parent(state), context)
        assert {stored_key(key)[0] for key in keys} == {Table.OUTPUTS, Table.REQUESTS}
