"""Federations that the Bitcoin watch learns of later: which deposits to them count, on which branch."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.bitcoin_again import BATCH
from alysd.actors.bitcoin_follower import WAIT_SECONDS
from alysd.actors.bitcoin_scan import Watched
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.errors import HANDLING, NotNow, NotSeenOnBitcoin
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.integrations.possession import x_only_key
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    CheckPegIns,
    GetBitcoinStatus,
    GetConfirmations,
    GetDeposits,
    GetLost,
    GetMissing,
    GetSpends,
    WatchFederations,
)
from alysd.messages.log.base import LogEvent
from alysd.messages.log.bitcoin import BitcoinNotReadAgain, FederationWatched
from alysd.nurseries import Address, OneForOne, actor, open_system, supervisor
from alysd.peg.signing import Spending, spending_of
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.testing.chain import bitcoin_secret
from alysd.types.bitcoin_watch import Expected, Spend, SpendPage
from alysd.types.federation_update import Holders
from alysd.types.hashes import EvmAddress
from alysd.types.peg import DepositOutput, OutPoint, PegIn, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

FIRST, SECOND, THIRD = (spending_of((x_only_key(bitcoin_secret(member)),)) for member in range(3))
RECIPIENT = EvmAddress(b"\x11" * 20)
CONFIRMATIONS = 2
DAY = 86_400
pytestmark = pytest.mark.usefixtures("no_threads")
REFUSALS = tuple(error for error, how in HANDLING.items() if how.refusal)


def holders(*later: tuple[Spending, int]) -> tuple[Holders, ...]:
    return (Holders(FIRST.keys), *(Holders(one.keys, since) for one, since in later))


@attrs.define
class Rig:
    """A chain whose clock a test sets, its node, and the folder of the watch."""

    folder: Path
    now: float = 10 * DAY
    chain: FakeBitcoin = attrs.field(init=False)
    node: FakeBitcoinNode = attrs.field(init=False)
    logged: list[LogEvent] = attrs.field(factory=list[LogEvent])

    def __attrs_post_init__(self) -> None:
        self.chain = FakeBitcoin(clock=lambda: self.now)
        self.node = FakeBitcoinNode(self.chain)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[Address[BitcoinWatch]]:
        records = LmdbBitcoinRecords.open(self.folder / "bitcoin", "test")
        watch: Address[BitcoinWatch] = Address("bitcoin watch", capacity=64)
        watched = Watched.of((FIRST,), minimum=Sat(1_000), network="regtest")
        made = actor(
            watch, lambda: BitcoinWatchActor(self.node, records, watched, 0, CONFIRMATIONS, self.logged.append)
        )
        try:
            async with open_system(supervisor("BridgeSupervisor", OneForOne(), [made]), refusals=REFUSALS):
                yield watch
        finally:
            records.close()

    def deposit(self, *outputs: tuple[int, Spending]) -> Transaction:
        paid = [(amount, one.output_script) for amount, one in outputs]
        return self.chain.pay([*paid, (0, b"\x6a\x14" + RECIPIENT)])

    def pay_from(self, output: OutPoint, federation: Spending) -> Transaction:
        """A payment that spends an output of a federation, with change to it."""
        change = [TransactionOutput(Sat(900), federation.output_script)]
        made = make_transaction(2, [TransactionInput(output, b"", 0)], change, 0)
        paid = attrs.evolve(made, witness=((bytes(64), federation.leaf_script, federation.control_block),))
        self.chain.mempool[paid.txid] = paid
        return paid

    def mine(self, count: int = 1) -> None:
        """Mine blocks ten minutes apart."""
        for _ in range(count):
            self.now += 600
            self.chain.mine()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def settled(watch: Address[BitcoinWatch], rig: Rig) -> None:
    with trio.fail_after(120):
        while True:
            status = await watch.ask(GetBitcoinStatus())
            if status.problem is None and status.read == rig.chain.height:
                return
            await trio.sleep(0.01)


async def found(watch: Address[BitcoinWatch], *later: tuple[Spending, int]) -> list[PegIn]:
    """The deposits to a branch's federations, once the watch has read the blocks."""
    with trio.fail_after(600):
        while True:
            try:
                page = await watch.ask(GetDeposits(1, 0, 100, holders(*later)))
            except NotNow:
                await trio.sleep(0.1)
            else:
                return [one.peg_in for one in page.deposits]


async def test_a_deposit_from_before_the_watch_knew_the_federation_is_found(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """A node that was down while the federation changed would not agree with the others about it."""
    before, since = rig.deposit((5_000, SECOND)), int(rig.now) + 1
    rig.mine(2 * BATCH + 3)
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert await found(watch) == []
        with pytest.raises(NotNow, match="federation 1 have not been read again yet"):
            await watch.ask(GetDeposits(1, 0, 100, holders((SECOND, since))))
        (peg_in,) = await found(watch, (SECOND, since))
        assert (peg_in.txid, peg_in.outputs) == (before.txid, (DepositOutput(0, 1, Sat(5_000)),))
        await watch.ask(CheckPegIns((peg_in,), 1, holders((SECOND, since))))
        with pytest.raises(NotSeenOnBitcoin, match="pays no federation of the chain so far"):
            await watch.ask(CheckPegIns((peg_in,), 1, holders()))
        assert [one for one in rig.logged if isinstance(one, FederationWatched)] == [FederationWatched(1, 1)]
        rig.deposit((6_000, SECOND))
        rig.mine()
        await settled(watch, rig)
        assert [one.amount for one in await found(watch, (SECOND, since))] == [5_000, 6_000]
        assert await found(watch) == []


async def test_deposits_count_from_the_time_of_the_update_on(rig: Rig, autojump_clock: MockClock) -> None:
    """Every node draws the same line, above the newest block with an earlier time."""
    since = int(rig.now) + 4 * 600
    for place in range(8):
        rig.deposit((1_000 + place, SECOND), (2_000 + place, FIRST))
        if place == 5:
            rig.now -= 1_800  # miners' clocks differ: this block has an earlier time than the two before it
        rig.mine()
    times = [int.from_bytes(block.data[68:72], "little") for block in rig.chain.blocks]
    first = max(height for height, time in enumerate(times) if time < since) + 1
    assert times[first - 2] >= since > times[first - 1]
    async with rig.watching() as watch:
        seen = await found(watch, (SECOND, since))
        heights = {block.transactions[0].txid: height for height, block in enumerate(rig.chain.blocks) if height}
        assert len(seen) == 8
        for one in seen:
            assert len(one.outputs) == (2 if heights[one.txid] >= first else 1)


async def test_the_line_is_not_drawn_before_a_block_of_that_time(rig: Rig, autojump_clock: MockClock) -> None:
    """The next block may still have an earlier time."""
    since = int(rig.now) + 700
    rig.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await trio.sleep(5 * WAIT_SECONDS)
        with pytest.raises(NotNow):
            await watch.ask(GetDeposits(1, 0, 100, holders((SECOND, since))))
        rig.deposit((5_000, SECOND))
        rig.mine()
        assert [one.amount for one in await found(watch, (SECOND, since))] == [5_000]


async def test_two_branches_have_their_own_federations(rig: Rig, autojump_clock: MockClock) -> None:
    """An update that is void on one branch leaves no trace there, also if another one follows it."""
    since = int(rig.now)
    rig.deposit((5_000, SECOND))
    rig.deposit((6_000, THIRD))
    rig.deposit((7_000, SECOND), (8_000, THIRD), (9_000, FIRST))
    rig.mine()
    async with rig.watching() as watch:
        amounts = [one.amount for one in await found(watch, (SECOND, since))]
        assert amounts == [5_000, 16_000]
        amounts = [one.amount for one in await found(watch, (THIRD, since))]
        assert sorted(amounts) == [6_000, 17_000]
        both = await found(watch, (THIRD, since), (SECOND, since))
        assert sorted(one.amount for one in both) == [5_000, 6_000, 24_000]
        numbers = {output.amount: output.federation for one in both for output in one.outputs}
        assert numbers == {5_000: 2, 6_000: 1, 7_000: 2, 8_000: 1, 9_000: 0}
        assert [one.amount for one in await found(watch)] == [9_000]


async def test_what_any_branch_can_have_minted_is_not_missing(rig: Rig, autojump_clock: MockClock) -> None:
    """Otherwise a deposit to two federations, minted before the second was one, would halt the peg."""
    since = int(rig.now)
    both = rig.deposit((5_000, FIRST), (6_000, SECOND))
    rig.mine(CONFIRMATIONS + 1)
    async with rig.watching() as watch:
        await found(watch, (SECOND, since))
        right = tuple(Expected(both.txid, Sat(amount)) for amount in (5_000, 6_000, 11_000))
        wrong = tuple(Expected(both.txid, Sat(amount)) for amount in (1, 0, 10_999))
        assert await watch.ask(GetMissing((*right, *wrong), CONFIRMATIONS)) == wrong


async def test_what_was_found_again_goes_with_its_block(rig: Rig, autojump_clock: MockClock) -> None:
    """It has a higher number than what was found in newer blocks."""
    since = int(rig.now)
    rig.mine()
    old = rig.deposit((5_000, SECOND))
    rig.mine()
    rig.deposit((6_000, FIRST))
    rig.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert {one.amount for one in await found(watch, (SECOND, since))} == {5_000, 6_000}
        rig.chain.reorganise(2, keep=False)
        await settled(watch, rig)
        assert await found(watch, (SECOND, since)) == []
        lost = await watch.ask(GetLost(CONFIRMATIONS))
        assert {one.amount for one in lost} == {5_000, 6_000}
        rig.chain.accept(old)
        rig.mine(CONFIRMATIONS)
        await settled(watch, rig)
        assert [one.amount for one in await watch.ask(GetLost(CONFIRMATIONS))] == [6_000]


async def test_a_payment_by_a_later_federation_is_found(rig: Rig, autojump_clock: MockClock) -> None:
    """Also one that the watch reads before it has read the deposit again, and one of the change."""
    since = int(rig.now)
    deposit = rig.deposit((5_000, SECOND))
    rig.mine(2 * BATCH)
    paid = rig.pay_from(OutPoint(deposit.txid, 0), SECOND)
    rig.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert await watch.ask(GetConfirmations((paid.txid,))) == (None,)
        await watch.ask(WatchFederations(holders((SECOND, since))))
        change = rig.pay_from(OutPoint(paid.txid, 0), SECOND)
        rig.mine()
        await found(watch, (SECOND, since))
        await settled(watch, rig)
        assert None not in await watch.ask(GetConfirmations((paid.txid, change.txid)))
        # The change was an uncredited payment, number 1, until the deposit, number 2, had been read again.
        spends = [(paid.txid, OutPoint(deposit.txid, 0)), (change.txid, OutPoint(paid.txid, 0))]
        assert await watch.ask(GetSpends(0)) == SpendPage(
            tuple(Spend(txid, (output,)) for txid, output in spends), last=4, more=False
        )


async def test_a_restart_knows_the_federations(rig: Rig, autojump_clock: MockClock) -> None:
    """Blocks that it reads before the bridge has told it again are searched for all of them."""
    since = int(rig.now)
    rig.mine()
    async with rig.watching() as watch:
        await found(watch, (SECOND, since))
    rig.deposit((5_000, SECOND))
    rig.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        page = await watch.ask(GetDeposits(1, 0, 100, holders((SECOND, since))))
        assert [one.peg_in.amount for one in page.deposits] == [5_000]


async def test_blocks_that_cannot_be_read_again_stop_nothing_else(rig: Rig, autojump_clock: MockClock) -> None:
    """A pruned Bitcoin node: deposits to the first federation go on, and the reason is named."""
    since = int(rig.now)
    rig.mine(6)
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.node.pruned = 4
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await trio.sleep(3 * WAIT_SECONDS)
        rig.deposit((5_000, FIRST))
        rig.mine()
        await settled(watch, rig)
        assert [one.amount for one in await found(watch)] == [5_000]
        with pytest.raises(NotNow, match="not been read again yet: .*pruned data"):
            await watch.ask(GetDeposits(1, 0, 100, holders((SECOND, since))))
        assert len([one for one in rig.logged if isinstance(one, BitcoinNotReadAgain)]) == 1
        rig.node.pruned = 0
        assert [one.amount for one in await found(watch, (SECOND, since))] == [5_000]


async def test_further_federations_are_learned_while_blocks_are_read(rig: Rig, autojump_clock: MockClock) -> None:
    since = int(rig.now)
    rig.deposit((5_000, SECOND))
    rig.deposit((6_000, THIRD))
    rig.mine(3 * BATCH)
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.node.delay = 0.1
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await trio.sleep(WAIT_SECONDS + 3 * BATCH * 0.1)
        await watch.ask(WatchFederations(holders((SECOND, since), (THIRD, since + 1))))
        assert [one.amount for one in await found(watch, (SECOND, since), (THIRD, since + 1))] == [5_000, 6_000]


async def test_a_reorganisation_while_blocks_are_read_is_followed(rig: Rig, autojump_clock: MockClock) -> None:
    since = int(rig.now)
    kept = rig.deposit((5_000, SECOND))
    rig.mine(BATCH)
    rig.deposit((6_000, SECOND))
    rig.mine(BATCH)
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.node.delay = 0.1
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await trio.sleep(WAIT_SECONDS)
        rig.chain.reorganise(BATCH, keep=False, longer=1)
        assert [one.txid for one in await found(watch, (SECOND, since))] == [kept.txid]
