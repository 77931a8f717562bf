"""The peg in a whole node over a fake Bitcoin: deposits are minted once, and Bitcoin's failures stop no block."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.messages.chain import GetEntries
from alysd.messages.log.base import LogEvent
from alysd.messages.log.peg import PegHalted, PegResumed
from alysd.peg.federation import output_script
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.testing.chain import peg_chain_spec
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.peg import Minted, PegTotals, Transaction
from alysd.types.tables import Table
from alysd.types.units import Gwei

pytestmark = pytest.mark.usefixtures("no_threads")

SPEC = peg_chain_spec(peg_in_confirmations=3)
SCRIPT = output_script(SPEC.federation_bitcoin_keys)
USER = EvmAddress(b"\x21" * 20)


def deposit(chain: FakeBitcoin, sat: int = 200_000, to: bytes = USER) -> Transaction:
    return chain.pay([(sat, SCRIPT), (0, b"\x6a\x14" + to)])


def minted(node: SimulatedNode) -> list[tuple[EvmAddress, Gwei]]:
    """All withdrawals of the node's own blocks, oldest first."""
    return [(one.address, one.amount) for made in node.produced for one in made.signed.block.payload.withdrawals]


async def totals(node: SimulatedNode) -> PegTotals:
    return (await node.forkchoice()).head.peg


def spec(**changes: int) -> ChainSpec:
    return peg_chain_spec(peg_in_confirmations=3, **changes)


async def test_a_deposit_is_minted_one_confirmation_later_than_it_must_be(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A member whose Bitcoin node is a block behind agrees."""
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        paid = deposit(chain)
        chain.mine(3)
        await node.slots(5)
        assert minted(node) == []
        chain.mine()
        await node.slots(3)
        assert minted(node) == [(USER, Gwei(2_000_000))]
        (entry,) = await node.to.chain.ask(
            GetEntries(((Table.MINTED, paid.txid),), (await node.forkchoice()).head.hash)
        )
        assert isinstance(entry, Minted)
        await node.slots(10)
        assert len(minted(node)) == 1
        assert (await totals(node)).minted == 200_000
        assert (node.missed, node.crashed()) == ([], set())


async def test_forty_deposits_in_one_bitcoin_block_wait_for_room(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A block has 16 withdrawals. Deposits to one recipient need only one of them."""
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        for number in range(40):
            deposit(chain, 100_000 + number, number.to_bytes(20, "big") if number else USER)
        for _ in range(30):
            deposit(chain, 100_000)
        chain.mine(4)
        await node.slots(8)
        made = minted(node)
        assert sum(amount for _, amount in made) == sum(
            10 * amount for amount in [*range(100_000, 100_040), *[100_000] * 30]
        )
        assert max(len(one.signed.block.payload.withdrawals) for one in node.produced) == 16
        assert (await totals(node)).held == sum(range(100_000, 100_040)) + 3_000_000


async def test_a_deposit_to_the_reserve_mints_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        chain.pay([(500_000, SCRIPT), (0, b"\x6a\x07reserve")])
        chain.mine(4)
        await node.slots(3)
        assert minted(node) == []
        found = await totals(node)
        assert (found.held, found.reserve, found.minted) == (500_000, 500_000, 0)


async def test_a_reorganised_deposit_is_minted_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Below the confirmations it moves to another Bitcoin block; above them it stays minted."""
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        deposit(chain)
        chain.mine(2)
        await node.slots(2)
        chain.reorganise(2)
        await node.slots(2)
        chain.mine()
        await node.slots(3)
        assert len(minted(node)) == 1
        chain.reorganise(4)
        await node.slots(5)
        assert len(minted(node)) == 1
        assert (await totals(node)).minted == 200_000


async def test_the_peg_halts_while_a_minted_deposit_is_gone(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A reorganisation 10 deep after the mint: nothing more is minted, and blocks go on."""
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        gone = deposit(chain)
        chain.mine(10)
        await node.slots(3)
        assert len(minted(node)) == 1
        chain.reorganise(10, keep=False)
        deposit(chain, 300_000)
        chain.mine(5)
        await node.slots(10)
        assert len(minted(node)) == 1
        assert node.missed == []
        (halted,) = [event for event in logged if isinstance(event, PegHalted)]
        assert (halted.deposits, halted.amount, halted.txid) == (1, 200_000, gone.txid)
        chain.mempool[gone.txid] = gone
        chain.mine(5)
        await node.slots(5)
        assert [amount for _, amount in minted(node)] == [2_000_000, 3_000_000]
        assert len([event for event in logged if isinstance(event, PegResumed)]) == 1


async def test_a_deposit_to_the_reserve_does_not_end_a_halt(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The ledger still has the output that is gone: a payment could choose it, and would never be confirmed."""
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        gone = deposit(chain)
        chain.mine(10)
        await node.slots(3)
        chain.reorganise(10, keep=False)
        chain.pay([(500_000, SCRIPT), (0, b"\x6a\x07reserve")])
        chain.mine(10)
        await node.slots(20)  # longer than the rest between two comparisons of the ledger with Bitcoin
        assert (await totals(node)).reserve == 0
        assert node.missed == []
        assert not any(isinstance(event, PegResumed) for event in logged)
        chain.mempool[gone.txid] = gone  # the only way out: the transaction is confirmed again
        chain.mine(5)
        await node.slots(5)
        assert (await totals(node)).reserve == 500_000


async def test_a_dead_bitcoin_node_stops_deposits_but_no_block(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Ten minutes without it; then the deposits of these minutes are minted."""
    chain = FakeBitcoin()
    bitcoin = FakeBitcoinNode(chain)
    async with open_simulated_node(tmp_path, spec(max_blocks_without_auxpow=1000), bitcoin=bitcoin) as node:
        deposit(chain)
        chain.mine(4)
        bitcoin.down = "connection refused"
        await node.slots(300)
        assert minted(node) == []
        assert node.missed == []
        bitcoin.down = None
        await node.slots(5)
        assert len(minted(node)) == 1
        assert node.crashed() == set()


async def test_a_slow_bitcoin_node_delays_no_block(tmp_path: Path, autojump_clock: MockClock) -> None:
    chain = FakeBitcoin()
    bitcoin = FakeBitcoinNode(chain, delay=9.0)
    async with open_simulated_node(tmp_path, SPEC, bitcoin=bitcoin) as node:
        deposit(chain)
        chain.mine(4)
        await node.slots(90)  # it reads a block with three calls of 9 s
        assert len(minted(node)) == 1
        assert node.missed == []


async def test_all_bitcoin_can_come_in_one_deposit(tmp_path: Path, autojump_clock: MockClock) -> None:
    chain = FakeBitcoin()
    async with open_simulated_node(tmp_path, SPEC, bitcoin=FakeBitcoinNode(chain)) as node:
        deposit(chain, 21_000_000 * 10**8)
        chain.mine(4)
        await node.slots(3)
        assert minted(node) == [(USER, Gwei(21_000_000 * 10**9))]


async def test_deposits_of_final_blocks_are_not_looked_at_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """After a restart too, each is minted once."""
    chain, found = FakeBitcoin(), PegTotals()
    for _ in range(2):
        async with open_simulated_node(tmp_path, SPEC, mining=MINING, bitcoin=FakeBitcoinNode(chain)) as node:
            for number in range(10):
                deposit(chain, 100_000, number.to_bytes(20, "big") if number else USER)
            chain.mine(4)
            await node.slots(40)
            assert node.missed == []
            found = await totals(node)
    assert found.minted == 2_000_000
