"""The Bitcoin watch on a fake Bitcoin: what it finds, what a reorganisation undoes, and what it says of faults."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.bitcoin_follower import WAIT_SECONDS
from alysd.actors.bitcoin_scan import Watched
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.errors import HANDLING, NotBroadcast, NotNow, NotSeenOnBitcoin
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    Broadcast,
    CheckPegIns,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetConfirmations,
    GetDeposits,
    GetFeeRate,
    GetLost,
    GetMissing,
    GetUncredited,
    NoteLost,
)
from alysd.messages.log.base import LogEvent
from alysd.messages.log.bitcoin import BitcoinFollowed, BitcoinNotUsable, BitcoinReorganised
from alysd.nurseries import Address, OneForOne, actor, open_system, supervisor
from alysd.peg.signing import spending_of
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode, median_time_past
from alysd.types.bitcoin import BitcoinChainInfo
from alysd.types.bitcoin_watch import Deposits, Expected, SeenDeposit
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import OutPoint, PegIn, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

FEDERATION = spending_of((bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),))
WATCHED = Watched.of((FEDERATION,), minimum=Sat(1_000), network="regtest")
CONFIRMATIONS = 3
RECIPIENT = EvmAddress(b"\x11" * 20)
pytestmark = pytest.mark.usefixtures("no_threads")

REFUSALS = tuple(error for error, how in HANDLING.items() if how.refusal)


@attrs.define
class Rig:
    """A chain, a node, and a watch that can be stopped and started again on the same database."""

    folder: Path
    chain: FakeBitcoin = attrs.field(factory=FakeBitcoin)
    node: FakeBitcoinNode = attrs.field(
        default=attrs.Factory(lambda rig: FakeBitcoinNode(rig.chain), takes_self=True)
    )
    start: int = 0
    logged: list[LogEvent] = attrs.field(factory=list[LogEvent])

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[Address[BitcoinWatch]]:
        records = LmdbBitcoinRecords.open(self.folder / "bitcoin", "test")
        watch: Address[BitcoinWatch] = Address("bitcoin watch", capacity=64)
        made = actor(
            watch,
            lambda: BitcoinWatchActor(self.node, records, WATCHED, self.start, CONFIRMATIONS, self.logged.append),
        )
        try:
            async with open_system(supervisor("BridgeSupervisor", OneForOne(), [made]), refusals=REFUSALS):
                yield watch
        finally:
            records.close()

    def deposit(self, amount: int = 5_000, recipient: bytes = RECIPIENT) -> Transaction:
        return self.chain.pay([(amount, FEDERATION.output_script), (0, b"\x6a\x14" + recipient)])

    def spend(self, change: int = 0, victim: Transaction | None = None) -> Transaction:
        """A payment by the federation, as Bitcoin sees it, from the deposit `victim`, by default a new one."""
        spent = TransactionInput(OutPoint((victim or self.deposit()).txid, 0), b"", 0)
        paid = ((900, b"\x51"), (change, FEDERATION.output_script))
        made = make_transaction(2, [spent], [TransactionOutput(Sat(sat), script) for sat, script in paid], 0)
        signed = attrs.evolve(made, witness=((bytes(64), FEDERATION.leaf_script, FEDERATION.control_block),))
        self.chain.mempool[signed.txid] = signed
        return signed


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def settled(watch: Address[BitcoinWatch], rig: Rig) -> None:
    """Wait until the watch has read the node's chain."""
    with trio.fail_after(120):
        while True:
            status = await watch.ask(GetBitcoinStatus())
            if status.problem is None and status.read == status.tip == rig.chain.height:
                return
            await trio.sleep(0.01)


async def deposits(watch: Address[BitcoinWatch], confirmations: int = 1, after: int = 0) -> tuple[PegIn, ...]:
    found = await watch.ask(GetDeposits(confirmations, after, 100))
    return tuple(one.peg_in for one in found.deposits)


async def test_a_deposit_is_found_and_counted(rig: Rig, autojump_clock: MockClock) -> None:
    async with rig.watching() as watch:
        await settled(watch, rig)
        paid = rig.deposit()
        rig.chain.mine()
        await settled(watch, rig)
        found = await watch.ask(GetDeposits(1, 0, 10))
        (seen,) = found.deposits
        assert found == Deposits((seen,), 1)
        assert seen == SeenDeposit(1, 1, seen.peg_in, median_time_past(rig.chain.blocks))
        assert (seen.peg_in.txid, seen.peg_in.bitcoin_block) == (paid.txid, rig.chain.tip)
        assert (seen.peg_in.recipient, seen.peg_in.amount) == (RECIPIENT, 5_000)
        assert await deposits(watch, confirmations=2) == ()
        rig.chain.mine()
        await settled(watch, rig)
        assert await deposits(watch, confirmations=2) == (seen.peg_in,)
        assert await watch.ask(FindOnBitcoin(paid.txid)) == seen
        assert await watch.ask(FindOnBitcoin(BitcoinHash(bytes(32)))) is None


async def test_deposits_come_in_pages_and_in_order(rig: Rig, autojump_clock: MockClock) -> None:
    made = [rig.deposit(2_000 + number).txid for number in range(7)]
    rig.chain.mine()
    made += [rig.deposit(3_000 + number).txid for number in range(3)]
    rig.chain.mine(2)
    async with rig.watching() as watch:
        await settled(watch, rig)
        found: list[BitcoinHash] = []
        after = 0
        while page := (await watch.ask(GetDeposits(1, after, 4))).deposits:
            found += [one.peg_in.txid for one in page]
            after = page[-1].number
        assert found == made


async def test_what_is_before_the_first_height_is_not_read(rig: Rig, autojump_clock: MockClock) -> None:
    rig.deposit()
    rig.chain.mine()
    rig.start = 2
    async with rig.watching() as watch:
        with trio.fail_after(10):
            while (await watch.ask(GetBitcoinStatus())).problem is not None:  # noqa: ASYNC110  it has no event
                await trio.sleep(0.01)
        assert await deposits(watch) == ()
        kept = rig.deposit()
        rig.chain.mine()
        await settled(watch, rig)
        assert [one.txid for one in await deposits(watch)] == [kept.txid]


async def test_payments_that_cannot_be_credited_are_kept_with_the_reason(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.chain.pay([(5_000, FEDERATION.output_script)])
    rig.deposit(amount=999)
    rig.chain.mine(coinbase=[(5_000, FEDERATION.output_script), (0, b"\x6a\x14" + RECIPIENT)])
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert await deposits(watch) == ()
        found = await watch.ask(GetUncredited(0, 10))
        assert [one.payment.reason for one in found] == [
            "it is a coinbase, whose outputs cannot be spent for 100 blocks",
            "it must name one recipient in an OP_RETURN output, found 0",
            "no output has the minimum of 1000 sat",
        ]
        assert [one.payment.amount for one in await watch.ask(GetUncredited(found[0].number, 1))] == [5_000]
        refused = found[2].payment
        with pytest.raises(NotSeenOnBitcoin, match="is not credited: no output has the minimum of 1000 sat"):
            await watch.ask(CheckPegIns((PegIn(refused.txid, refused.bitcoin_block, RECIPIENT, ()),), 1))


async def test_a_payment_by_the_federation_is_no_deposit(rig: Rig, autojump_clock: MockClock) -> None:
    """Its change pays the federation too, and would be listed as a payment that cannot be credited."""
    async with rig.watching() as watch:
        signed = rig.spend(change=7_000)
        rig.chain.mine()
        rig.chain.mine(2)
        await settled(watch, rig)
        (found, none) = await watch.ask(GetConfirmations((signed.txid, BitcoinHash(bytes(32)))))
        assert none is None
        assert found is not None
        assert (found.bitcoin_block, found.height, found.confirmations) == (rig.chain.blocks[1].hash, 1, 3)
        assert found.transaction == signed
        assert await watch.ask(GetUncredited(0, 10)) == ()
        assert [one.txid for one in await deposits(watch)] == [signed.inputs[0].spends.txid]


async def test_a_reorganisation_moves_a_deposit(rig: Rig, autojump_clock: MockClock) -> None:
    async with rig.watching() as watch:
        rig.deposit()
        rig.chain.mine(3)
        await settled(watch, rig)
        (before,) = (await watch.ask(GetDeposits(1, 0, 10))).deposits
        rig.chain.reorganise(3)
        await settled(watch, rig)
        (after,) = (await watch.ask(GetDeposits(1, before.number, 10))).deposits
        assert after.number > before.number
        assert after.peg_in == attrs.evolve(before.peg_in, bitcoin_block=rig.chain.blocks[1].hash)
        assert await watch.ask(GetLost(CONFIRMATIONS)) == ()
        assert BitcoinReorganised(3, 0) in rig.logged
        with pytest.raises(NotSeenOnBitcoin, match="has bitcoin_block"):
            await watch.ask(CheckPegIns((before.peg_in,), 1))


async def test_a_deposit_that_a_reorganisation_removes_is_lost_until_it_is_back(
    rig: Rig, autojump_clock: MockClock
) -> None:
    async with rig.watching() as watch:
        paid = rig.deposit()
        rig.chain.mine(10)
        await settled(watch, rig)
        (before,) = await deposits(watch)
        rig.chain.reorganise(10, keep=False)
        await settled(watch, rig)
        assert await deposits(watch) == ()
        lost = Expected(paid.txid, Sat(5_000))
        assert await watch.ask(GetLost(CONFIRMATIONS)) == (lost,)
        assert await watch.ask(GetLost(CONFIRMATIONS, lost.key)) == ()
        with pytest.raises(NotSeenOnBitcoin, match="is not in Bitcoin's best chain"):
            await watch.ask(CheckPegIns((before,), 1))
        rig.chain.mempool[paid.txid] = paid
        rig.chain.mine(CONFIRMATIONS - 1)
        await settled(watch, rig)
        assert await watch.ask(GetLost(CONFIRMATIONS)) == (lost,)
        rig.chain.mine()
        await settled(watch, rig)
        assert await watch.ask(GetLost(CONFIRMATIONS)) == ()
        assert [one.txid for one in await deposits(watch)] == [paid.txid]


async def test_what_is_not_deep_enough_is_missing(rig: Rig, autojump_clock: MockClock) -> None:
    """Exactly what the ledger relies on must be there: the kind, the amount and the confirmations."""
    async with rig.watching() as watch:
        paid, spent = rig.deposit(), rig.spend(change=400)
        rig.chain.mine(CONFIRMATIONS)
        shallow = rig.deposit()
        rig.chain.mine()
        await settled(watch, rig)
        right = (Expected(paid.txid, Sat(5_000)), Expected(spent.txid, None))
        wrong = (
            Expected(paid.txid, Sat(5_001)),
            Expected(paid.txid, None),
            Expected(spent.txid, Sat(400)),
            Expected(shallow.txid, Sat(5_000)),
            Expected(BitcoinHash(bytes(32)), Sat(5_000)),
        )
        assert await watch.ask(GetMissing((*right, *wrong), CONFIRMATIONS)) == wrong
        assert await watch.ask(GetMissing(wrong, 1)) == (*wrong[:3], wrong[4])


async def test_what_is_noted_as_lost_is_lost_until_it_is_found(rig: Rig, autojump_clock: MockClock) -> None:
    gone, paid = Expected(BitcoinHash(bytes(32)), Sat(1)), rig.deposit()
    shallow = Expected(paid.txid, Sat(5_000))
    async with rig.watching() as watch:
        rig.chain.mine()
        await settled(watch, rig)
        await watch.ask(NoteLost((gone, shallow)))
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert set(await watch.ask(GetLost(CONFIRMATIONS))) == {gone, shallow}
        rig.chain.mine(CONFIRMATIONS - 1)
        await settled(watch, rig)
        assert await watch.ask(GetLost(CONFIRMATIONS)) == (gone,)
        assert await watch.ask(GetLost(CONFIRMATIONS + 5)) == (gone,)  # the other is forgotten


async def test_a_payment_that_a_reorganisation_removes_is_lost(rig: Rig, autojump_clock: MockClock) -> None:
    async with rig.watching() as watch:
        victim = rig.deposit()
        rig.chain.mine()
        spent = rig.spend(change=400, victim=victim)
        rig.chain.mine(5)
        await settled(watch, rig)
        rig.chain.reorganise(5, keep=False)
        await settled(watch, rig)
        assert await watch.ask(GetLost(CONFIRMATIONS)) == (Expected(spent.txid, None),)


async def test_a_restart_goes_on_where_it_was(rig: Rig, autojump_clock: MockClock) -> None:
    """Also over a reorganisation and a deposit that came while the node was down."""
    first = rig.deposit()
    rig.chain.mine(20)
    async with rig.watching() as watch:
        await settled(watch, rig)
    rig.chain.reorganise(2)
    second = rig.deposit()
    rig.chain.mine()
    before = rig.node.calls
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert [one.txid for one in await deposits(watch)] == [first.txid, second.txid]
    # Four new blocks, not all 23: each takes two calls.
    assert rig.node.calls - before < 25


async def test_the_exact_difference_of_a_peg_in_is_named(rig: Rig, autojump_clock: MockClock) -> None:
    async with rig.watching() as watch:
        rig.deposit()
        rig.chain.mine(3)
        await settled(watch, rig)
        (right,) = await deposits(watch)
        await watch.ask(CheckPegIns((right, right), 3))
        for wrong, message in (
            (attrs.evolve(right, recipient=EvmAddress(bytes(20))), "has recipient"),
            (attrs.evolve(right, outputs=(attrs.evolve(right.outputs[0], amount=Sat(1)),)), "has outputs"),
            (attrs.evolve(right, bitcoin_block=rig.chain.tip), "has bitcoin_block"),
            (attrs.evolve(right, txid=BitcoinHash(bytes(32))), "is not in Bitcoin's best chain"),
        ):
            with pytest.raises(NotSeenOnBitcoin, match=message):
                await watch.ask(CheckPegIns((right, wrong), 1))
        with pytest.raises(NotSeenOnBitcoin, match="in Bitcoin block 1 lacks 2 confirmations"):
            await watch.ask(CheckPegIns((right,), 5))


ASKS = (
    GetDeposits(1, 0, 1), CheckPegIns((), 1), GetConfirmations(()), GetMissing((), 1), NoteLost(()),
    GetLost(1), GetFeeRate(),
)  # fmt: skip


@pytest.mark.parametrize("question", ASKS, ids=lambda question: type(question).__name__)
async def test_nothing_is_said_of_bitcoin_while_it_does_not_answer(
    question: GetFeeRate, rig: Rig, autojump_clock: MockClock
) -> None:
    """A reorganisation that the watch does not see may have undone what it knows."""
    async with rig.watching() as watch:
        await settled(watch, rig)
        await watch.ask(question)
        rig.node.down = "connection refused"
        await trio.sleep(WAIT_SECONDS + 1)
        with pytest.raises(NotNow, match="connection refused"):
            await watch.ask(question)
        assert "connection refused" in str((await watch.ask(GetBitcoinStatus())).problem)
        await trio.sleep(600)
        rig.node.down = None
        await trio.sleep(2)
        await watch.ask(question)
        followed = [one for one in rig.logged if isinstance(one, BitcoinFollowed)]
        assert len(followed) == 2
        assert len([one for one in rig.logged if isinstance(one, BitcoinNotUsable)]) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"garbage": b"\x01" + FEDERATION.output_script}, "bytes"),
        ({"pruned": 100}, "pruned data"),
        ({"downloading": True}, "still downloading the chain: it is at block 5"),
        ({"behind": 3}, "chain ends at block 2, below block 3"),
    ],
)
async def test_faults_of_the_node_are_named_and_pass(
    fault: dict[str, object], message: str, rig: Rig, autojump_clock: MockClock
) -> None:
    rig.deposit()
    rig.chain.mine(3)
    async with rig.watching() as watch:
        await settled(watch, rig)
        rig.chain.mine(2)
        for name, value in fault.items():
            setattr(rig.node, name, value)
        await trio.sleep(WAIT_SECONDS + 1)
        status = await watch.ask(GetBitcoinStatus())
        assert message in str(status.problem)
        assert status.read == 3
        for name in fault:
            setattr(rig.node, name, getattr(FakeBitcoinNode(rig.chain), name))
        rig.chain.mine()
        await settled(watch, rig)
        assert len(await deposits(watch)) == 1


async def test_a_shorter_best_chain_is_followed(rig: Rig, autojump_clock: MockClock) -> None:
    """The best chain is that with the most work, not with the most blocks."""
    async with rig.watching() as watch:
        rig.chain.mine(5)
        await settled(watch, rig)
        rig.chain.reorganise(4, longer=-2)
        await settled(watch, rig)
        assert (await watch.ask(GetBitcoinStatus())).read == 3


@attrs.define
class FailingOverNode(FakeBitcoinNode):
    """Two nodes as one: the first answers `chain_info` and then fails, and the second one is `behind`."""

    async def chain_info(self) -> BitcoinChainInfo:
        """That of the first node."""
        info = await super().chain_info()
        return attrs.evolve(info, height=self.chain.height, tip=self.chain.tip)


async def test_a_node_that_is_behind_after_a_fail_over_removes_no_block(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """The watch removed all blocks that the second node did not have yet: minted deposits counted as lost."""
    rig.node = FailingOverNode(rig.chain)
    async with rig.watching() as watch:
        rig.deposit()
        rig.chain.mine(4)
        await settled(watch, rig)
        rig.node.behind = 5
        rig.chain.mine()
        with trio.fail_after(120):
            while not any(isinstance(one, BitcoinNotUsable) for one in rig.logged):  # noqa: ASYNC110
                await trio.sleep(0.01)
        with pytest.raises(NotNow, match="has no block 4, although it has said that its newest block is 5"):
            await deposits(watch)
        rig.node.behind = 0
        await settled(watch, rig)
        assert len(await deposits(watch)) == 1
        assert not any(isinstance(one, BitcoinReorganised) for one in rig.logged)


async def test_blocks_that_are_taken_back_are_awaited(rig: Rig, autojump_clock: MockClock) -> None:
    """`invalidateblock`: until there is another branch, the node may simply be behind."""
    async with rig.watching() as watch:
        rig.deposit()
        rig.chain.mine(4)
        await settled(watch, rig)
        rig.chain.drop(4)
        await trio.sleep(WAIT_SECONDS + 1)
        with pytest.raises(NotNow, match="chain ends at block 0"):
            await deposits(watch)
        rig.chain.mine(5)
        await settled(watch, rig)
        assert len(await deposits(watch)) == 1


async def test_transactions_are_sent_and_refused(rig: Rig, autojump_clock: MockClock) -> None:
    async with rig.watching() as watch:
        signed = rig.spend()
        await watch.ask(Broadcast(signed))
        assert rig.node.sent == [signed]
        rig.node.refuse = "min relay fee not met"
        with pytest.raises(NotBroadcast, match="min relay fee not met"):
            await watch.ask(Broadcast(signed))
        rig.node.down = "connection refused"
        with pytest.raises(NotNow, match="connection refused"):
            await watch.ask(Broadcast(signed))


async def test_the_fee_estimate_is_the_nodes(rig: Rig, autojump_clock: MockClock) -> None:
    async with rig.watching() as watch:
        await settled(watch, rig)
        assert await watch.ask(GetFeeRate()) is None
        rig.chain.fee_rate = 12_345
        rig.chain.mine()
        await settled(watch, rig)
        assert await watch.ask(GetFeeRate()) == 12_345


async def test_a_whole_bitcoin_is_not_too_much(rig: Rig, autojump_clock: MockClock) -> None:
    """All bitcoin that can exist, in one deposit."""
    rig.deposit(21_000_000 * 10**8)
    rig.chain.mine()
    async with rig.watching() as watch:
        await settled(watch, rig)
        (found,) = await deposits(watch)
        assert found.amount == 21_000_000 * 10**8
