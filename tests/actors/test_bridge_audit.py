"""The comparison of the whole ledger with Bitcoin, on nodes that did not see the reorganisation."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.actors.bridge_audit import LEAST_REST, SECOND_LOOK
from alysd.errors import NotNow, NotSeenOnBitcoin
from alysd.messages.bridge import CheckNotHalted, GetPegHealth, PegHealth
from alysd.messages.log.bitcoin import FederationWatched
from alysd.messages.log.peg import PegHalted, PegResumed
from alysd.peg.estimates import STUCK_BLOCKS
from alysd.types.bitcoin_watch import Expected
from alysd.types.hashes import BitcoinHash, sha256
from alysd.types.peg import Minted, PegContents, PegIn, Transaction
from alysd.types.tables import Entry, EntryKey, Table
from alysd.types.units import Height, Sat
from tests.actors.bridge_change_kit import NEXT, change, made
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig, bridge_rig, burn, with_confirmed_payment

pytestmark = pytest.mark.usefixtures("no_threads")

LONG = LEAST_REST + SECOND_LOOK + 5
"""Seconds within which a small ledger was compared again, twice where something was missing."""


def halts(rig: BridgeRig) -> list[PegHalted | PegResumed]:
    return [event for event in rig.logged if isinstance(event, PegHalted | PegResumed)]


def mint(rig: BridgeRig, name: str, sat: int = 70_000) -> Expected:
    """Let the ledger have a mint of a deposit that the node's Bitcoin does not have."""
    txid = BitcoinHash(sha256(name.encode()))
    rig.ledger.entries[Table.MINTED, txid] = Minted(Height(1), Sat(sat))
    return Expected(txid, Sat(sat))


async def test_a_new_node_learns_that_the_peg_is_halted(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its index of Bitcoin is read from the new branch: no reorganisation has told it of the deposit."""
    async with bridge_rig(tmp_path) as rig:
        gone = rig.deposit(1_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step([burn(300_000)])
        await rig.mine()
        proposal = await rig.contents()
        assert proposal.proposal is not None
        ledger = rig.ledger
    async with bridge_rig(tmp_path / "new", ledger, settled=False) as rig:
        rig.chain.mine(20)
        await trio.sleep(10)
        with pytest.raises(NotNow, match="may be behind"):
            await rig.contents()
        with pytest.raises(NotNow, match="may be behind"):
            await rig.judge(proposal)
        with pytest.raises(NotNow, match="may be behind"):
            await rig.bridge.ask(CheckNotHalted())
        await rig.settled()
        lost = Expected(gone.txid, Sat(1_000_000))
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((lost,), None)
        assert await rig.contents() == PegContents()
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted: the minted deposit"):
            await rig.judge(proposal)
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted: the minted deposit"):
            await rig.bridge.ask(CheckNotHalted())
        # It ends by itself, but only with all confirmations.
        rig.chain.mempool[gone.txid] = gone
        await rig.mine(CONFIRMATIONS - 1)
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted"):
            await rig.bridge.ask(CheckNotHalted())
        await rig.mine()
        await rig.bridge.ask(CheckNotHalted())
        assert halts(rig) == [PegHalted(1, Sat(1_000_000), 0, gone.txid), PegResumed()]


async def test_the_halt_survives_a_restart(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        lost = mint(rig, "gone")
        await trio.sleep(LONG)
        assert (await rig.bridge.ask(GetPegHealth())).lost == (lost,)
        ledger, chain = rig.ledger, rig.chain
    async with bridge_rig(tmp_path, ledger, chain, settled=False) as rig:
        await trio.sleep(SECOND_LOOK / 2)
        with pytest.raises(NotNow):  # it waits for the second look, but does not act meanwhile
            await rig.bridge.ask(CheckNotHalted())
        await rig.settled()
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted"):
            await rig.bridge.ask(CheckNotHalted())


async def test_a_mint_that_appears_later_is_compared_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A quorum with other Bitcoin nodes may mint what this node's Bitcoin does not have."""
    async with bridge_rig(tmp_path) as rig:
        await rig.bridge.ask(CheckNotHalted())
        many = {mint(rig, f"gone {number}") for number in range(1_100)}
        await trio.sleep(LONG)
        found = (await rig.bridge.ask(GetPegHealth())).lost
        assert len(found) == 1_024
        assert set(found) < many
        (halted,) = halts(rig)
        assert halted == PegHalted(1_024, Sat(1_024 * 70_000), 0, found[0].txid)


async def test_a_bitcoin_node_that_was_behind_halts_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """After a restart it lacks the newest blocks for some seconds, and does not know that."""
    async with bridge_rig(tmp_path) as rig:
        rig.deposit(1_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step()
        ledger, chain = rig.ledger, rig.chain
    async with bridge_rig(tmp_path / "new", ledger, chain, behind=CONFIRMATIONS + 1, settled=False) as rig:
        await trio.sleep(5)
        with pytest.raises(NotNow):
            await rig.bridge.ask(CheckNotHalted())
        rig.node.behind = 0
        rig.chain.mine()
        await rig.settled()
        await rig.bridge.ask(CheckNotHalted())
        assert halts(rig) == []


async def test_a_deposit_in_an_abandoned_block_of_the_chain_halts_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        lost = mint(rig, "gone")
        await trio.sleep(LONG)
        assert (await rig.bridge.ask(GetPegHealth())).lost == (lost,)
        del rig.ledger.entries[Table.MINTED, lost.txid]
        await trio.sleep(LEAST_REST + 1)
        assert (await rig.bridge.ask(GetPegHealth())).lost == ()


async def test_a_confirmed_payment_that_is_gone_halts_the_peg(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The ledger says that the payees have their bitcoin, and they do not."""
    async with bridge_rig(tmp_path) as rig:
        paid = await with_confirmed_payment(rig)
        await rig.bridge.ask(CheckNotHalted())
        rig.chain.reorganise(CONFIRMATIONS + 1, keep=False)
        await rig.settled()
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted: the confirmed payment"):
            await rig.bridge.ask(CheckNotHalted())
        assert halts(rig) == [PegHalted(0, Sat(0), 1, paid.txid)]
        rig.chain.mempool[paid.txid] = paid
        await rig.mine(CONFIRMATIONS)
        await rig.bridge.ask(CheckNotHalted())


async def test_a_confirmed_payment_without_change_that_is_gone_halts_the_peg(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """No output of the federation shows that it is gone."""
    async with bridge_rig(tmp_path) as rig:
        paid = await with_confirmed_payment(rig, deposit=300_000)
        assert len(paid.outputs) == 1
        assert rig.ledger.head.peg.outputs == 0
        await rig.bridge.ask(CheckNotHalted())
        rig.chain.reorganise(CONFIRMATIONS + 1, keep=False)
        await rig.settled()
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted: the confirmed payment"):
            await rig.bridge.ask(CheckNotHalted())
        assert halts(rig) == [PegHalted(0, Sat(0), 1, paid.txid)]
        ledger, chain = rig.ledger, rig.chain
    async with bridge_rig(tmp_path / "new", ledger, chain) as rig:
        assert (await rig.bridge.ask(GetPegHealth())).lost == (Expected(paid.txid, None),)
        rig.chain.mempool[paid.txid] = paid
        await rig.mine(CONFIRMATIONS)
        await rig.bridge.ask(CheckNotHalted())


@pytest.mark.parametrize(("deposit", "halted"), [(300_000, False), (1_000_000, True)], ids=["no change", "change"])
async def test_another_version_of_a_payment_without_change_does_as_well(
    tmp_path: Path, autojump_clock: MockClock, deposit: int, halted: bool
) -> None:
    """The payees have their bitcoin. With change, the ledger knows an output that does not exist."""
    async with bridge_rig(tmp_path) as rig:
        rig.deposit(deposit)
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step([burn(300_000)])
        versions: list[Transaction] = []
        for _ in range(2):
            proposal = (await rig.step()).proposal
            assert proposal is not None
            versions.append(rig.sign_only(proposal.transaction))
            rig.signed[:] = versions[-1:]
            await rig.step()
            await rig.contents()  # the wait begins when the node knows the witnesses
            await rig.mine(STUCK_BLOCKS + 1)
        first, newer = versions
        rig.chain.mempool[first.txid] = first
        await rig.mine(CONFIRMATIONS + 1)
        assert [one.txid for one in (await rig.step()).confirmed] == [first.txid]
        rig.chain.reorganise(CONFIRMATIONS + 1, keep=False)
        rig.chain.mempool[newer.txid] = newer
        await rig.mine(CONFIRMATIONS - 1)
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted: the confirmed payment"):
            await rig.bridge.ask(CheckNotHalted())
        await rig.mine()
        lost = (Expected(first.txid, None),) if halted else ()
        with suppress(NotSeenOnBitcoin):
            await rig.bridge.ask(CheckNotHalted())
        assert (await rig.bridge.ask(GetPegHealth())).lost == lost
        ledger, chain = rig.ledger, rig.chain
    async with bridge_rig(tmp_path / "new", ledger, chain) as rig:
        assert (await rig.bridge.ask(GetPegHealth())).lost == lost


async def test_a_new_node_compares_the_payments(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        paid = await with_confirmed_payment(rig)
        ledger, chain = rig.ledger, rig.chain
        chain.reorganise(CONFIRMATIONS + 1, keep=False)
    async with bridge_rig(tmp_path / "new", ledger, chain) as rig:
        await rig.settled()
        (lost,) = (await rig.bridge.ask(GetPegHealth())).lost
        assert lost == Expected(paid.txid, None)


async def test_a_payment_in_flight_may_be_reorganised(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Another version of it may confirm instead."""
    async with bridge_rig(tmp_path) as rig:
        rig.deposit(1_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step([burn(300_000)])
        proposal = (await rig.step()).proposal
        assert proposal is not None
        signed = rig.sign_only(proposal.transaction)
        rig.chain.mempool[signed.txid] = signed
        await rig.mine()
        rig.chain.reorganise(1, keep=False)
        await rig.settled()
        await rig.bridge.ask(CheckNotHalted())
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None)


class Counting(dict[EntryKey, Entry]):
    """Entries of a ledger that count how often they are listed."""

    listed = 0

    def __iter__(self) -> Iterator[EntryKey]:
        self.listed += 1
        return super().__iter__()


@pytest.mark.parametrize(
    ("pause", "most", "least"),
    [(0.0, 2 * LEAST_REST, LEAST_REST / 2), (4.0, 21 * 8.0 + LEAST_REST, 20 * 8.0)],
    ids=["short comparisons", "long comparisons"],
)
async def test_comparisons_take_little_of_the_time(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    pause: float,
    most: float,
    least: float,
) -> None:
    """A comparison of two tables is followed by a rest of at least 30 s, and of 20 times as long as it took."""
    monkeypatch.setattr("alysd.actors.bridge_audit.PAUSE", pause)
    async with bridge_rig(tmp_path) as rig:
        entries = rig.ledger.entries = Counting(rig.ledger.entries)
        await trio.sleep(10 * most)
        assert 10 - 1 <= entries.listed / 2 <= 10 * most / least


async def minted_for_next(rig: BridgeRig, outputs: list[tuple[int, bytes]]) -> PegContents:
    """The mints of a deposit from before the change, as nodes make them that have read the block again."""
    rig.chain.pay([*outputs, (600_000, NEXT.output_script), (0, b"\x6a\x14" + bytes(19) + b"\1")])
    await rig.mine(CONFIRMATIONS + 1)
    change(rig)
    found = (await made(rig)).peg_ins
    assert [one.amount for one in found] == [600_000 + sum(amount for amount, _ in outputs)]
    return PegContents(peg_ins=found)


@pytest.mark.parametrize("beside", [0, 500_000], ids=["new address alone", "both addresses"])
async def test_a_mint_in_a_block_that_was_not_read_again_does_not_halt_the_peg(
    beside: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The node's Bitcoin has pruned the block. Others have read it, and mint the deposit."""
    async with bridge_rig(tmp_path) as rig:
        first = rig.spendings[0].output_script
        mints = await minted_for_next(rig, [(beside, first)] if beside else [])
        chain = rig.chain
    async with bridge_rig(tmp_path / "other", chain=chain) as rig:
        taken = rig.deposit(700_000)
        await rig.mine(CONFIRMATIONS + 1)
        rig.ledger.advance(PegContents(peg_ins=tuple(await peg_ins_of(rig, taken))))
        rig.node.pruned = chain.height - CONFIRMATIONS
        change(rig)
        rig.ledger.advance(mints)
        gone = mint(rig, "gone")
        await trio.sleep(3 * LONG)
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None)
        await rig.bridge.ask(CheckNotHalted())
        # What this node has seen, and a reorganisation has removed, is lost all the same.
        rig.chain.reorganise(CONFIRMATIONS + 1, keep=False)
        await trio.sleep(LONG)
        seen = Expected(taken.txid, Sat(700_000))
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((seen,), None)
        rig.node.pruned = 0
        await trio.sleep(3 * LONG)
        health = await rig.bridge.ask(GetPegHealth())
        assert set(health.lost) == {seen, gone}
        assert health.doubt is None


async def peg_ins_of(rig: BridgeRig, deposit: Transaction) -> list[PegIn]:
    """The mint of one deposit."""
    return [one for one in (await rig.contents()).peg_ins if one.txid == deposit.txid]


async def test_an_empty_database_does_not_halt_the_peg_of_a_changed_federation(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """All members may delete their databases at once, for a new version."""
    async with bridge_rig(tmp_path) as rig:
        mints = await minted_for_next(rig, [])
        chain = rig.chain
    async with bridge_rig(tmp_path / "other", chain=chain, settled=False) as rig:
        change(rig)
        rig.ledger.advance(mints)
        await rig.settled()
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None)
        assert [one for one in rig.logged if isinstance(one, FederationWatched)] == [FederationWatched(1, 0)]
        gone = mint(rig, "gone")
        await trio.sleep(2 * LONG)
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((gone,), None)
