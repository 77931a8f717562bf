"""Federations that the Bitcoin watch learns of later: which deposits to them count, on which branch."""

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import bitcoin_watch
from alysd.actors.bitcoin_again import BATCH, TOLD_WITHIN, WatchedFederations
from alysd.actors.bitcoin_follower import BATCH_BLOCKS, WAIT_SECONDS
from alysd.actors.bitcoin_scan import Watched
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.errors import HANDLING, NotNow, NotSeenOnBitcoin
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.integrations.possession import x_only_key
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    CheckPegIns,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetConfirmations,
    GetDeposits,
    GetLost,
    GetMissing,
    GetSpends,
    WatchFederations,
)
from alysd.messages.log.base import LogEvent
from alysd.messages.log.bitcoin import BitcoinNotReadAgain, FederationWatched, FormerAddressPaid
from alysd.nurseries import Address, OneForOne, actor, open_system, supervisor
from alysd.peg.signing import Spending, spending_of
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode, median_time_past
from alysd.testing.chain import bitcoin_secret
from alysd.types.bitcoin_watch import Expected, SeenDeposit, SeenUncredited, Spend, SpendPage
from alysd.types.federation_update import Holders
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import DepositOutput, OutPoint, PegIn, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

FIRST, SECOND, THIRD = (spending_of((x_only_key(bitcoin_secret(member)),)) for member in range(3))
RECIPIENT = EvmAddress(b"\x11" * 20)
CONFIRMATIONS = 2
DAY = 86_400
FORMER_DAYS = 1
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
    records: LmdbBitcoinRecords = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chain = FakeBitcoin(clock=lambda: self.now)
        self.node = FakeBitcoinNode(self.chain)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[Address[BitcoinWatch]]:
        records = self.records = LmdbBitcoinRecords.open(self.folder / "bitcoin", "test")
        watch: Address[BitcoinWatch] = Address("bitcoin watch", capacity=64)
        watched = Watched.of((FIRST,), minimum=Sat(1_000), network="regtest", former_days=FORMER_DAYS)
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


async def found(watch: Address[BitcoinWatch], rig: Rig, *later: tuple[Spending, int]) -> list[PegIn]:
    """The deposits to a branch's federations, once the watch has read the blocks."""
    await watch.ask(WatchFederations(holders(*later)))
    with trio.fail_after(600):
        while True:
            with contextlib.suppress(NotNow):
                page = await watch.ask(GetDeposits(1, 0, 100, holders(*later)))
                read = {(one.keys, one.since) for one in rig.records.watched() if one.next is None}
                if all((one.keys, since) in read for one, since in later):
                    assert not page.unknown
                    return [one.peg_in for one in page.deposits]
            await trio.sleep(0.1)


async def test_a_deposit_from_before_the_watch_knew_the_federation_is_found(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """A node that was down while the federation changed would not agree with the others about it."""
    before, since = rig.deposit((5_000, SECOND)), int(rig.now) + 1
    rig.mine(2 * BATCH + 3)
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert await found(watch, rig) == []
        stated = PegIn(before.txid, rig.chain.blocks[1].hash, RECIPIENT, (DepositOutput(0, 1, Sat(5_000)),))
        with pytest.raises(NotNow, match="federation 1 have not been read again yet"):
            await watch.ask(CheckPegIns((stated,), 1, holders((SECOND, since))))
        (peg_in,) = await found(watch, rig, (SECOND, since))
        assert peg_in == stated
        assert (peg_in.txid, peg_in.outputs) == (before.txid, (DepositOutput(0, 1, Sat(5_000)),))
        await watch.ask(CheckPegIns((peg_in,), 1, holders((SECOND, since))))
        with pytest.raises(NotSeenOnBitcoin, match="pays no federation of the chain so far"):
            await watch.ask(CheckPegIns((peg_in,), 1, holders()))
        assert [one for one in rig.logged if isinstance(one, FederationWatched)] == [FederationWatched(1, 1)]
        rig.deposit((6_000, SECOND))
        rig.mine()
        await settled(watch, rig)
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [5_000, 6_000]
        assert await found(watch, rig) == []


def medians(rig: Rig) -> list[int]:
    """The median time past of each block, from the genesis block on."""
    return [median_time_past(rig.chain.blocks[: height + 1]) for height in range(rig.chain.height + 1)]


async def test_deposits_count_from_the_median_time_of_the_update_on(rig: Rig, autojump_clock: MockClock) -> None:
    """Single times of blocks can go back by an hour; the median of eleven never does."""
    for _ in range(15):
        rig.mine()
    since = int(rig.now)
    for place in range(15):
        rig.deposit((1_000 + place, SECOND), (2_000 + place, FIRST))
        rig.now += (-3_000, 3_000)[place % 2]
        rig.mine()
    counted = [median >= since for median in medians(rig)[16:]]
    assert counted == sorted(counted)
    assert len(set(counted)) == 2
    times = [int.from_bytes(block.data[68:72], "little") for block in rig.chain.blocks[16:]]
    assert counted != [time >= since for time in times]
    async with rig.watching() as watch:
        await settled(watch, rig)
        seen = await found(watch, rig, (SECOND, since))
        assert [len(one.outputs) == 2 for one in seen] == counted


async def test_nothing_counts_before_a_block_of_that_time(rig: Rig, autojump_clock: MockClock) -> None:
    """No block is read again, and nothing waits: later blocks are searched when they come."""
    since = int(rig.now) + 700
    rig.deposit((4_000, SECOND), (1_500, FIRST))
    rig.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        calls = rig.node.calls
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [1_500]
        assert rig.node.calls < calls + 10
        rig.mine(11)
        rig.deposit((5_000, SECOND))
        rig.mine()
        await settled(watch, rig)
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [1_500, 5_000]


async def test_all_nodes_draw_one_line(rig: Rig, tmp_path: Path, autojump_clock: MockClock) -> None:
    """One node reads again when a single block has the time, another one when later blocks have earlier times."""
    other = attrs.evolve(rig, folder=tmp_path / "other")
    other.chain, other.node = rig.chain, rig.node
    rig.mine(3)
    since = int(rig.now) + 500
    rig.deposit((5_000, SECOND))
    rig.mine()
    async with rig.watching() as early:
        await settled(early, rig)
        await found(early, rig, (SECOND, since))
        rig.now -= 900
        rig.mine()
        rig.now += 900
        rig.deposit((6_000, SECOND))
        rig.mine(12)
        rig.deposit((7_000, SECOND))
        rig.mine()
        await settled(early, rig)
        one = await found(early, rig, (SECOND, since))
    async with other.watching() as late:
        await settled(late, rig)
        assert await found(late, other, (SECOND, since)) == one
    assert [each.amount for each in one] == [7_000]


def spend_into(rig: Rig, spent: OutPoint, owner: Spending, paid: Spending) -> Transaction:
    """A deposit that spends an output of a federation."""
    outputs = [
        TransactionOutput(Sat(8_000), paid.output_script),
        TransactionOutput(Sat(0), b"\x6a\x14" + RECIPIENT),
    ]
    made = make_transaction(2, [TransactionInput(spent, b"", 0)], outputs, 0)
    made = attrs.evolve(made, witness=((bytes(64), owner.leaf_script, owner.control_block),))
    rig.chain.mempool[made.txid] = made
    return made


async def test_a_void_change_makes_no_difference(rig: Rig, tmp_path: Path, autojump_clock: MockClock) -> None:
    """One node saw the change pending, the other one has started after it was void."""
    other, since = attrs.evolve(rig, folder=tmp_path / "other"), int(rig.now)
    other.chain, other.node = rig.chain, rig.node
    deposit = rig.deposit((9_000, SECOND))
    rig.mine()
    again = spend_into(rig, OutPoint(deposit.txid, 0), SECOND, FIRST)
    rig.mine(3)
    async with rig.watching() as knew:
        await settled(knew, rig)
        assert [one.txid for one in await found(knew, rig, (SECOND, since))] == [deposit.txid]
        (refused,) = await found(knew, rig)
        with pytest.raises(NotSeenOnBitcoin, match="is not credited: it spends an output of federation 1"):
            await knew.ask(CheckPegIns((refused,), 1, holders((SECOND, since))))
        one = await found(knew, rig)
        assert await knew.ask(GetSpends(0)) == SpendPage(
            (Spend(again.txid, (OutPoint(deposit.txid, 0),)),), last=3, more=False
        )
    async with other.watching() as joined:
        await settled(joined, other)
        assert await found(joined, other) == one
    assert [each.txid for each in one] == [again.txid]


async def test_a_node_that_joins_later_judges_the_same(
    rig: Rig, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """New members test their address, and return the bitcoin as a deposit, days before the change."""
    other = attrs.evolve(rig, folder=tmp_path / "other")
    other.chain, other.node = rig.chain, rig.node
    deposit = rig.deposit((9_000, SECOND))
    rig.mine()
    again = spend_into(rig, OutPoint(deposit.txid, 0), SECOND, FIRST)
    rig.mine(300)
    since = int(rig.now) - DAY
    async with rig.watching() as old:
        await settled(old, rig)
        one = await found(old, rig, (SECOND, since))
    async with other.watching() as joined:
        await joined.ask(WatchFederations(holders((SECOND, since))))  # its chain is there before it reads Bitcoin
        await settled(joined, other)
        assert await found(joined, other, (SECOND, since)) == one
    assert [each.txid for each in one] == [again.txid]


async def test_what_a_known_deposit_may_pay_besides_is_unknown_until_read_again(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """Other deposits go on; minting the known part would lose the rest for good."""
    since = int(rig.now) + 1
    both = rig.deposit((5_000, FIRST), (6_000, SECOND))
    rig.mine(6)
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.node.pruned = 4
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await trio.sleep(3 * WAIT_SECONDS)
        rig.deposit((7_000, FIRST))
        rig.mine()
        await settled(watch, rig)
        page = await watch.ask(GetDeposits(1, 0, 100, holders((SECOND, since))))
        assert [one.peg_in.amount for one in page.deposits] == [5_000, 7_000]
        assert page.unknown == (page.deposits[0].number,)
        await watch.ask(CheckPegIns((page.deposits[1].peg_in,), 1, holders((SECOND, since))))
        for stated in (page.deposits[0].peg_in, attrs.evolve(page.deposits[0].peg_in, txid=rig.chain.tip)):
            with pytest.raises(NotNow, match="not been read again yet"):
                await watch.ask(CheckPegIns((stated,), 1, holders((SECOND, since))))
        rig.node.pruned = 0
        seen = await found(watch, rig, (SECOND, since))
        assert {one.amount for one in seen if one.txid == both.txid} == {11_000}


async def test_the_credit_of_a_former_address_ends(rig: Rig, autojump_clock: MockClock) -> None:
    """Former members could take a deposit back after they have burned what was minted for it."""
    since = int(rig.now)
    end = since + 2 * DAY
    later = (SECOND, since)
    rig.mine(12)
    async with rig.watching() as watch:
        await watch.ask(WatchFederations(holders(later)))
        rig.mine(int((end - rig.now) // 600) - 20)
        await settled(watch, rig)
        made: list[tuple[BitcoinHash, bool]] = []
        for _ in range(40):
            paid = rig.deposit((5_000, FIRST), (6_000, FIRST))
            rig.mine()
            made.append((paid.txid, medians(rig)[-1] < end))
        assert [early for _, early in made] == sorted((early for _, early in made), reverse=True)
        assert len({early for _, early in made}) == 2
        mixed = rig.deposit((5_000, FIRST), (6_000, SECOND))
        rig.mine()
        await settled(watch, rig)
        seen = await found(watch, rig, later)
        assert [one.txid for one in seen] == [*(txid for txid, early in made if early), mixed.txid]
        assert [one.amount for one in seen][-2:] == [11_000, 6_000]
        late = [txid for txid, early in made if not early]
        logged = [one for one in rig.logged if isinstance(one, FormerAddressPaid)]
        assert [(one.txid, one.federation, one.amount) for one in logged] == [
            *((txid, 0, 11_000) for txid in late),
            (mixed.txid, 0, 5_000),
        ]
        assert logged[0].reason == (
            "deposits to the address of federation 0 are credited only until 1970-01-13 00:00 UTC"
        )
        stated = PegIn(late[-1], rig.chain.blocks[-2].hash, RECIPIENT, seen[0].outputs)
        with pytest.raises(NotSeenOnBitcoin, match="is not credited: deposits to the address of federation 0 are"):
            await watch.ask(CheckPegIns((stated,), 1, holders(later)))
        shown = await watch.ask(FindOnBitcoin(late[0]))
        assert isinstance(shown, SeenUncredited)
        assert shown.payment.reason == logged[0].reason
        shown = await watch.ask(FindOnBitcoin(mixed.txid))
        assert isinstance(shown, SeenDeposit)
        assert shown.peg_in.amount == 6_000
        assert [one.txid for one in await found(watch, rig)][-2:] == [late[-1], mixed.txid], "no change: no end"
    rig.deposit((7_000, FIRST))
    rig.logged.clear()
    rig.mine()
    async with rig.watching() as watch:  # blocks that it reads before the bridge has told it again
        await settled(watch, rig)
    assert [one.amount for one in rig.logged if isinstance(one, FormerAddressPaid)] == [7_000]


async def test_a_pending_change_ends_no_credit(rig: Rig, autojump_clock: MockClock) -> None:
    pending = Holders(SECOND.keys, int(rig.now))
    rig.mine(3 * 144)
    rig.deposit((5_000, FIRST))
    rig.mine()
    async with rig.watching() as watch:
        await watch.ask(WatchFederations(holders(), (pending,)))
        await settled(watch, rig)
        assert [one.amount for one in await found(watch, rig)] == [5_000]
        assert not any(isinstance(one, FormerAddressPaid) for one in rig.logged)


async def test_a_restart_goes_on_reading(rig: Rig, autojump_clock: MockClock) -> None:
    since = int(rig.now) + 1
    rig.deposit((5_000, SECOND))
    rig.mine(6 * BATCH)
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.node.delay = 0.1
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await trio.sleep(WAIT_SECONDS + BATCH * 0.1 * 2)
        (left,) = rig.records.watched()
    rig.node.delay = 0
    async with rig.watching() as watch:
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [5_000]
    assert left.next is not None
    assert BATCH < left.next < rig.chain.height


async def test_two_branches_have_their_own_federations(rig: Rig, autojump_clock: MockClock) -> None:
    """An update that is void on one branch leaves no trace there, also if another one follows it."""
    since = int(rig.now)
    rig.deposit((5_000, SECOND))
    rig.deposit((6_000, THIRD))
    rig.deposit((7_000, SECOND), (8_000, THIRD), (9_000, FIRST))
    rig.mine()
    async with rig.watching() as watch:
        amounts = [one.amount for one in await found(watch, rig, (SECOND, since))]
        assert amounts == [5_000, 16_000]
        amounts = [one.amount for one in await found(watch, rig, (THIRD, since))]
        assert sorted(amounts) == [6_000, 17_000]
        both = await found(watch, rig, (THIRD, since), (SECOND, since))
        assert sorted(one.amount for one in both) == [5_000, 6_000, 24_000]
        numbers = {output.amount: output.federation for one in both for output in one.outputs}
        assert numbers == {5_000: 2, 6_000: 1, 7_000: 2, 8_000: 1, 9_000: 0}
        assert [one.amount for one in await found(watch, rig)] == [9_000]


async def test_what_any_branch_can_have_minted_is_not_missing(rig: Rig, autojump_clock: MockClock) -> None:
    """Otherwise a deposit to two federations, minted before the second was one, would halt the peg."""
    since = int(rig.now)
    both = rig.deposit((5_000, FIRST), (6_000, SECOND))
    rig.mine(CONFIRMATIONS + 1)
    async with rig.watching() as watch:
        await found(watch, rig, (SECOND, since))
        right = tuple(Expected(both.txid, Sat(amount)) for amount in (5_000, 6_000, 11_000))
        wrong = tuple(Expected(both.txid, Sat(amount)) for amount in (1, 0, 10_999))
        assert await watch.ask(GetMissing((*right, *wrong), CONFIRMATIONS)) == wrong


async def test_what_may_be_in_a_block_that_was_not_read_again_is_not_missing(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """A node that has joined after the change would halt its peg until it has read the blocks."""
    since = int(rig.now)
    both = rig.deposit((5_000, FIRST), (6_000, SECOND))
    paid = rig.pay_from(OutPoint(both.txid, 1), SECOND)
    rig.mine(CONFIRMATIONS + 1)
    new = rig.deposit((7_000, FIRST))
    rig.mine()
    expected = Expected(both.txid, Sat(11_000)), Expected(paid.txid, None), Expected(new.txid, Sat(7_000))
    both_holders = holders((SECOND, since))
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert await watch.ask(GetMissing(expected, CONFIRMATIONS)) == expected
        rig.node.pruned = rig.chain.height
        for _ in range(2):
            assert await watch.ask(GetMissing(expected, CONFIRMATIONS, both_holders)) == expected[2:]
            assert await watch.ask(GetMissing(expected, CONFIRMATIONS, holders())) == expected
            await trio.sleep(3 * WAIT_SECONDS)
        rig.node.pruned = 0
        await found(watch, rig, (SECOND, since))
        gone = Expected(rig.chain.tip, Sat(7_000))
        missing = await watch.ask(GetMissing((*expected, gone), CONFIRMATIONS, both_holders))
        assert missing == (expected[2], gone)


async def test_a_deposit_that_spends_bitcoin_of_the_ledger_is_known_too(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """Its block is too new, whatever blocks have not been read again."""
    since = int(rig.now)
    paid = rig.deposit((9_000, FIRST))
    rig.mine(CONFIRMATIONS + 1)
    again = spend_into(rig, OutPoint(paid.txid, 0), FIRST, FIRST)
    rig.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.node.pruned = rig.chain.height
        expected = (Expected(again.txid, None),)
        assert await watch.ask(GetMissing(expected, CONFIRMATIONS, holders((SECOND, since)))) == expected
        assert await watch.ask(GetMissing(expected, 1, holders((SECOND, since)))) == ()


@attrs.define
class SlowNode(FakeBitcoinNode):
    """Gives a block in 0.3 s, and remembers which ones it was asked for."""

    read: list[BitcoinHash] = attrs.field(factory=list[BitcoinHash])

    async def block(self, block: BitcoinHash) -> bytes:
        self.read.append(block)
        await trio.sleep(0.3)
        return await super().block(block)


async def test_an_empty_database_reads_each_block_once(rig: Rig, autojump_clock: MockClock) -> None:
    """The bridge tells of the federations a moment after the start."""
    since = int(rig.now)
    rig.deposit((5_000, SECOND))
    rig.mine(2 * BATCH_BLOCKS)
    rig.node = node = SlowNode(rig.chain)
    async with rig.watching() as watch:
        await trio.sleep(TOLD_WITHIN / 2)
        assert not node.read
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await settled(watch, rig)
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [5_000]
    assert len(node.read) == rig.chain.height + 1


async def test_a_federation_of_later_blocks_is_taken_between_batches(rig: Rig, autojump_clock: MockClock) -> None:
    """A watch that is told nothing reads in the end, and need not read again for a change of later blocks."""
    rig.mine(3 * BATCH_BLOCKS)
    since = int(rig.now)
    rig.mine(20)
    rig.deposit((5_000, SECOND))
    rig.mine(5)
    rig.node = node = SlowNode(rig.chain)
    async with rig.watching() as watch:
        await trio.sleep(TOLD_WITHIN + 10)
        assert node.read
        await watch.ask(WatchFederations(holders((SECOND, since))))
        await settled(watch, rig)
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [5_000]
    assert len(node.read) == rig.chain.height + 1


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
        assert {one.amount for one in await found(watch, rig, (SECOND, since))} == {5_000, 6_000}
        rig.chain.reorganise(2, keep=False)
        await settled(watch, rig)
        assert await found(watch, rig, (SECOND, since)) == []
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
        await found(watch, rig, (SECOND, since))
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
        await found(watch, rig, (SECOND, since))
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
        assert [one.amount for one in await found(watch, rig)] == [5_000]
        stated = PegIn(rig.chain.tip, rig.chain.tip, RECIPIENT, (DepositOutput(0, 1, Sat(5_000)),))
        with pytest.raises(NotNow, match="not been read again yet: .*pruned data"):
            await watch.ask(CheckPegIns((stated,), 1, holders((SECOND, since))))
        assert len([one for one in rig.logged if isinstance(one, BitcoinNotReadAgain)]) == 1
        rig.node.pruned = 0
        assert [one.amount for one in await found(watch, rig, (SECOND, since))] == [5_000]


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
        assert [one.amount for one in await found(watch, rig, (SECOND, since), (THIRD, since + 1))] == [
            5_000,
            6_000,
        ]


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
        assert [one.txid for one in await found(watch, rig, (SECOND, since))] == [kept.txid]


async def test_a_question_while_a_federation_is_added_does_not_add_it_again(
    rig: Rig, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its blocks were read twice."""
    made = _captured(monkeypatch)
    first_from = LmdbBitcoinRecords.first_from

    def asked_meanwhile(records: LmdbBitcoinRecords, since: int) -> int | None:
        made[0].numbers(holders((SECOND, 0)))
        return first_from(records, since)

    monkeypatch.setattr(LmdbBitcoinRecords, "first_from", asked_meanwhile)
    rig.mine(3)
    async with rig.watching() as watch:
        await settled(watch, rig)
        await found(watch, rig, (SECOND, 0))
        rig.mine(3)
        await settled(watch, rig)
        assert [one.keys for one in made[0].known] == [SECOND.keys]


@pytest.mark.parametrize("method", ["deposits", "find"])
async def test_a_finding_from_before_the_end_of_the_second_reading_is_not_complete(
    rig: Rig, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    made, later = _captured(monkeypatch), holders((SECOND, int(rig.now) - DAY))
    rig.mine(11)  # so that the median time is later
    rig.deposit((5_000, FIRST), (4_000, SECOND))
    rig.mine(CONFIRMATIONS)
    read = getattr(LmdbBitcoinRecords, method)

    def ended_meanwhile(records: LmdbBitcoinRecords, *question: object) -> object:
        answer = read(records, *question)
        made[0].known = [attrs.evolve(one, next=None) for one in made[0].known]
        return answer

    async with rig.watching() as watch:
        await settled(watch, rig)
        whole = (await watch.ask(GetDeposits(CONFIRMATIONS, 0, 9))).deposits
        rig.node.pruned = rig.chain.height
        await watch.ask(WatchFederations(later))
        rig.mine()
        await settled(watch, rig)
        await trio.sleep(WAIT_SECONDS)
        assert [one.next for one in made[0].known] != [None]
        monkeypatch.setattr(LmdbBitcoinRecords, method, ended_meanwhile)
        if method == "deposits":
            assert (await watch.ask(GetDeposits(CONFIRMATIONS, 0, 9, later))).unknown == (whole[0].number,)
        else:
            with pytest.raises(NotNow, match="have not been read again yet"):
                await watch.ask(CheckPegIns((whole[0].peg_in,), CONFIRMATIONS, later))


def _captured(monkeypatch: pytest.MonkeyPatch) -> list[WatchedFederations]:
    """The federations that the watch makes."""
    made: list[WatchedFederations] = []

    def make(*fields: Any) -> WatchedFederations:
        made.append(WatchedFederations(*fields))
        return made[-1]

    monkeypatch.setattr(bitcoin_watch, "WatchedFederations", make)
    return made
