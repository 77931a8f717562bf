"""The mempool's transactions that the Bitcoin watch shows, and their bounds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import bitcoin_mempool
from alysd.actors.bitcoin_mempool import LEAST_REST, MAX_ASKS, MAX_READ, POLL_SECONDS, read_unconfirmed
from alysd.actors.bitcoin_scan import Watched
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.errors import HANDLING, NotNow
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.messages.bitcoin_watch import (
    MAX_ITEMS,
    BitcoinWatch,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetUnconfirmed,
    ReadMempool,
)
from alysd.messages.log.base import LogEvent
from alysd.nurseries import Address, OneForOne, actor, open_system, supervisor
from alysd.peg.signing import spending_of
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.types.bitcoin_watch import Unconfirmed, UnconfirmedDeposit
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import Transaction
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import encode_transaction

FEDERATION = spending_of((bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),))
WATCHED = Watched.of((FEDERATION,), minimum=Sat(1_000), network="regtest")
RECIPIENT = EvmAddress(b"\x11" * 20)
REFUSALS = tuple(error for error, how in HANDLING.items() if how.refusal)
pytestmark = pytest.mark.usefixtures("no_threads")


@attrs.define
class Rig:
    """A watch on a fake Bitcoin node."""

    chain: FakeBitcoin
    node: FakeBitcoinNode
    watch: Address[BitcoinWatch]
    logged: list[LogEvent]

    def deposit(self, amount: int = 5_000) -> Transaction:
        """A deposit that waits for a block."""
        return self.chain.pay([(amount, FEDERATION.output_script), (0, b"\x6a\x14" + RECIPIENT)])

    def spend(self) -> Transaction:
        """A payment by the federation that waits for a block."""
        made = self.chain.pay([(900, b"\x51")], wait=False)
        signed = attrs.evolve(made, witness=((bytes(64), FEDERATION.leaf_script, FEDERATION.control_block),))
        self.chain.mempool[signed.txid] = signed
        return signed

    async def polled(self, times: int = 1) -> Unconfirmed:
        """The view after further polls."""
        await trio.sleep(times * (POLL_SECONDS + 1))
        return await self.watch.ask(GetUnconfirmed())


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    chain = FakeBitcoin()
    found = Rig(chain, FakeBitcoinNode(chain), Address("bitcoin watch", capacity=64), [])
    records = LmdbBitcoinRecords.open(folder / "bitcoin", "test")
    made = actor(found.watch, lambda: BitcoinWatchActor(found.node, records, WATCHED, 0, 3, found.logged.append))
    try:
        async with open_system(supervisor("BridgeSupervisor", OneForOne(), [made]), refusals=REFUSALS):
            yield found
    finally:
        records.close()


async def test_what_concerns_the_peg_is_seen_before_a_block_has_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with rig(tmp_path) as world:
        good, small, payment = world.deposit(), world.deposit(1), world.spend()
        world.chain.pay([(7_000, b"\x51")])  # of no concern
        seen = await world.polled()
        assert set(seen.deposits) == {
            UnconfirmedDeposit(good.txid, Sat(5_000), RECIPIENT, None, (0,)),
            UnconfirmedDeposit(small.txid, Sat(1), None, "no output has the minimum of 1000 sat"),
        }
        assert (seen.payments, seen.unread, seen.problem) == ((payment.txid,), 0, None)


async def test_what_a_block_has_or_the_mempool_drops_is_not_shown(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with rig(tmp_path) as world:
        confirmed, evicted = world.deposit(), world.deposit(6_000)
        assert len((await world.polled()).deposits) == 2
        del world.chain.mempool[evicted.txid]
        world.chain.mine()
        with trio.fail_after(POLL_SECONDS / 2):  # before the next poll: the database already has it
            while await world.watch.ask(FindOnBitcoin(confirmed.txid)) is None:  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert [one.txid for one in (await world.watch.ask(GetUnconfirmed())).deposits] == [evicted.txid]
        assert await world.polled() == Unconfirmed((), (), 0, None)


async def test_who_asks_gets_the_mempool_of_now(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The poll comes early for an ask, but polls never take more than their part of the time."""
    async with rig(tmp_path) as world:
        await world.polled()
        for amount in (5_000, 6_000, 7_000):
            paid, began = world.deposit(amount), trio.current_time()
            await world.watch.ask(ReadMempool())
            assert trio.current_time() - began <= LEAST_REST
            assert paid.txid in [one.txid for one in (await world.watch.ask(GetUnconfirmed())).deposits]
        began = trio.current_time()
        for _ in range(3):
            await world.watch.ask(ReadMempool())
        assert trio.current_time() - began >= 2 * LEAST_REST


async def test_asks_for_the_mempool_are_bounded(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with rig(tmp_path) as world:
        refused: list[NotNow] = []

        async def ask() -> None:
            try:
                await world.watch.ask(ReadMempool())
            except NotNow as error:
                refused.append(error)

        await world.polled()
        await world.watch.ask(ReadMempool())
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_ASKS + 5):
                nursery.start_soon(ask)
        assert len(refused) == 5
        assert "wait already" in str(refused[0])
        await world.watch.ask(ReadMempool())


async def test_an_ask_is_answered_while_the_bitcoin_node_is_down(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with rig(tmp_path) as world:
        await world.polled()
        world.node.down = "it is down"
        await world.watch.ask(ReadMempool())
        assert (await world.watch.ask(GetUnconfirmed())).problem is not None


async def test_a_reorganised_deposit_is_seen_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with rig(tmp_path) as world:
        paid = world.deposit()
        await world.polled()
        world.chain.mine()
        assert (await world.polled()).deposits == ()
        world.chain.reorganise(1, keep=False)
        world.chain.accept(paid)
        assert [one.txid for one in (await world.polled(2)).deposits] == [paid.txid]


async def test_a_large_mempool_is_read_in_steps_the_newest_first(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with rig(tmp_path) as world:
        for _ in range(3 * MAX_READ):
            world.chain.pay([(7_000, b"\x51")])
        assert (await world.polled()).unread == 2 * MAX_READ
        paid = world.deposit()
        seen = await world.polled()
        assert [one.txid for one in seen.deposits] == [paid.txid]
        assert (await world.polled(2)).unread == 0


async def test_a_mempool_above_the_bound_is_not_read(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitcoin_mempool, "MAX_MEMPOOL", 3)
    async with rig(tmp_path) as world:
        for _ in range(4):
            world.deposit()
        seen = await world.polled()
        assert (seen.deposits, seen.problem) == ((), "the mempool has more than 3 transactions")
        world.chain.mempool.popitem()
        seen = await world.polled()
        assert (len(seen.deposits), seen.problem) == (3, None)


async def test_a_node_without_a_mempool_is_as_usable_as_any(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with rig(tmp_path) as world:
        world.deposit()
        await world.polled()
        world.node.no_mempool = "getmempoolinfo: Forbidden (code -32601)"
        seen = await world.polled()
        assert len(seen.deposits) == 1
        assert seen.problem is not None
        assert "Forbidden" in seen.problem
        assert (await world.watch.ask(GetBitcoinStatus())).problem is None


async def test_the_mempool_is_not_asked_for_while_the_node_is_down(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with rig(tmp_path) as world:
        world.node.down = "connection refused"
        seen = await world.polled(2)
        assert seen.problem == (await world.watch.ask(GetBitcoinStatus())).problem is not None


async def test_slow_transactions_hold_up_no_poll_and_are_not_read_again(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as world:
        world.deposit()
        stuck = trio.Event()

        async def never(self: FakeBitcoinNode, txids: object) -> tuple[bytes | None, ...]:
            await stuck.wait()
            return ()

        with monkeypatch.context() as patch:
            patch.setattr(FakeBitcoinNode, "transactions", never)
            await world.polled(2)
        later = world.deposit(8_000)
        seen = await world.polled(10)
        assert [one.txid for one in seen.deposits] == [later.txid]


async def test_the_view_has_a_bound(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with rig(tmp_path) as world:
        for number in range(MAX_ITEMS + 5):
            world.deposit(2_000 + number)
        assert len((await world.polled(4)).deposits) == MAX_ITEMS


def test_what_is_not_the_transaction_is_left_out() -> None:
    chain = FakeBitcoin()
    paid = chain.pay([(5_000, FEDERATION.output_script), (0, b"\x6a\x14" + RECIPIENT)])
    data = encode_transaction(paid)
    other = BitcoinHash(b"\x01" * 32)
    found = read_unconfirmed([paid.txid, other, other, other], [data, data, data[:-1], None], WATCHED)
    assert found == (UnconfirmedDeposit(paid.txid, Sat(5_000), RECIPIENT, None, (0,)),)
