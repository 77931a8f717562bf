"""Blocks with peg contents through a whole node: validity, execution, import, storage, restart."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.payload_violations import WrongWithdrawals
from alysd.consensus.ranges import check_range
from alysd.errors import InvalidBlock
from alysd.integrations.bls import verify_each
from alysd.messages.block_import import ImportRange
from alysd.peg.violations import AlreadyMinted
from alysd.testing.peg import USER, peg_in
from alysd.types.block import SignedBlock, Withdrawal
from alysd.types.peg import FederationOutput, Minted, PegContents
from alysd.types.tables import Table
from alysd.types.units import Gwei, Height, Sat
from tests.peg.chain_world import NOTHING, USERS, WEI_PER_SAT, burn, peg_world


async def test_a_deposit_is_minted_once_and_survives_a_restart(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    deposit = peg_in("deposit", 150_000, 100_000)
    async with peg_world(tmp_path) as world:
        signed = await world.make(world.genesis, PegContents(peg_ins=(deposit,)))
        state = await world.take(signed)
        assert signed.block.payload.withdrawals == (Withdrawal(0, 0, USER, Gwei(2_500_000)),)
        assert (state.peg.held, state.peg.minted, state.peg.outputs) == (250_000, 250_000, 2)
        assert await world.balance(USER, state) == 250_000 * WEI_PER_SAT
        for broken in (peg_in("deposit", 150_000, 100_000), peg_in("deposit", 100_000)):
            with pytest.raises(AlreadyMinted):
                await world.block(PegContents(peg_ins=(broken,)))
    async with peg_world(tmp_path) as world:
        assert await world.head() == state
        found = await world.entries(
            state,
            (Table.MINTED, deposit.txid),
            (Table.OUTPUTS, deposit.txid + bytes(4)),
            (Table.OUTPUTS, deposit.txid + (1).to_bytes(4, "big")),
        )
        assert found == (
            Minted(state.height, Sat(250_000)),
            FederationOutput(Sat(150_000), 0, None),
            FederationOutput(Sat(100_000), 0, None),
        )
        with pytest.raises(AlreadyMinted):
            await world.block(PegContents(peg_ins=(deposit,)))
        assert (await world.block()).peg == state.peg


async def test_a_reorganisation_undoes_a_mint_exactly(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """The deposit can be minted on the other branch, once, and the first branch's entry is not seen there."""
    deposit = PegContents(peg_ins=(peg_in("deposit", 150_000),))
    async with peg_world(tmp_path) as world:
        first = await world.take(await world.make(world.genesis, deposit))
        other = await world.take(await world.make(world.genesis, skip=1))
        assert await world.head() == other
        assert other.peg == world.genesis.peg
        again = await world.block(deposit)
        assert again.peg == first.peg
        assert await world.balance(USER, again) == 150_000 * WEI_PER_SAT
        with pytest.raises(AlreadyMinted):
            await world.block(deposit)
        with pytest.raises(AlreadyMinted):
            await world.take(await world.make(first, deposit))


async def test_a_range_of_a_sync_is_imported_like_single_blocks(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of a batch must not be judged by a ledger without the changes of those before it."""
    monkeypatch.setattr(trio.from_thread, "check_cancelled", lambda: None)  # there are no threads
    deposits = [PegContents(peg_ins=(peg_in(name, 150_000),)) for name in ("first", "second")]
    blocks: list[SignedBlock] = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    async with peg_world(tmp_path / "one") as world:
        parent = world.genesis
        small = [burn(USERS[0], nonce, 50_000) for nonce in range(2)]
        for contents, transactions in ((deposits[0], small), (NOTHING, ()), (deposits[1], ()), (NOTHING, ())):
            blocks.append(await world.make(parent, contents, transactions))
            parent = await world.take(blocks[-1])
        double = await world.make(parent, deposits[0])
        refunded = parent.peg.refunded
        assert refunded == 100_000
    async with peg_world(tmp_path / "other") as world:
        context = world.hand.context
        good = check_range(reversed(blocks), Height(1), context.first_federation, context, verify_each)
        first = 0
        while first < len(blocks):
            first += (await world.node.to.block_import.ask(ImportRange(good, first))).count
        assert await world.head() == parent
        all_blocks = [*blocks, double]
        bad = check_range(reversed(all_blocks), Height(1), context.first_federation, context, verify_each)
        with pytest.raises(AlreadyMinted):
            await world.node.to.block_import.ask(ImportRange(bad, 4))
        assert await world.head() == parent


async def test_an_author_mints_nothing_but_what_was_deposited(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """V1 minted whatever withdrawals the payload had."""
    deposit = PegContents(peg_ins=(peg_in("deposit", 150_000),))
    exact = (USER, Gwei(1_500_000))
    async with peg_world(tmp_path) as world:
        for contents, mints in (
            (PegContents(), [exact]),
            (deposit, []),
            (deposit, [exact, exact]),
            (deposit, [(USER, Gwei(1_500_001))]),
            (deposit, [(USER, Gwei(1_499_999))]),
            (deposit, [(world.hand.context.first_federation.fee_addresses[0], Gwei(1_500_000))]),
        ):
            with pytest.raises(WrongWithdrawals):
                await world.take(await world.make(world.genesis, contents, mints=mints))
        for broken in (peg_in("d", 99_999), peg_in("d"), peg_in("d", 100_000, 99_999)):
            with pytest.raises(InvalidBlock, match="the peg-in of"):
                await world.block(PegContents(peg_ins=(broken,)))
        assert (await world.head()) == world.genesis
