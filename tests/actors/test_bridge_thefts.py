"""A transaction outside of the protocol that spends the federation's bitcoin halts the peg."""

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import bitcoin_watch, bridge_thefts
from alysd.actors.bridge_audit import LEAST_REST, SECOND_LOOK
from alysd.actors.bridge_thefts import RECENT
from alysd.errors import NotNow, NotSeenOnBitcoin
from alysd.messages.bridge import CheckNotHalted, GetPegHealth, PegHealth
from alysd.messages.log.bitcoin import FederationWatched
from alysd.messages.log.peg import PegHalted, PegResumed
from alysd.testing.virtual_time import VirtualClock
from alysd.types.bitcoin_watch import Stolen
from alysd.types.hashes import displayed
from alysd.types.peg import PegContents
from alysd.types.units import Sat
from tests.actors.bridge_change_kit import change
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig, Ledger, bridge_rig, burn, with_confirmed_payment
from tests.actors.bridge_theft_kit import mine_theft, theft, with_deposit

pytestmark = pytest.mark.usefixtures("no_threads")


def halts(rig: BridgeRig) -> list[PegHalted | PegResumed]:
    return [event for event in rig.logged if isinstance(event, PegHalted | PegResumed)]


@pytest.mark.parametrize(
    ("outputs", "annex"),
    [((), b""), ((), b"\x50 an annex"), (((900_000, b"our own"), (0, b"\x6a\x14" + b"\x31" * 20)), b"")],
    ids=["to a stranger", "with an annex", "as a deposit"],
)
async def test_a_theft_halts_the_peg(
    tmp_path: Path, autojump_clock: MockClock, outputs: tuple[tuple[int, bytes], ...], annex: bytes
) -> None:
    """The ledger holds bitcoin that the federation has no more: every further deposit would pay for it."""
    async with bridge_rig(tmp_path) as rig:
        victim = await with_deposit(rig)
        rig.deposit(300_000)
        await rig.mine(CONFIRMATIONS + 1)
        waiting = await rig.contents()
        ours = rig.spendings[0].output_script
        paid = [(sat, ours if script == b"our own" else script) for sat, script in outputs]
        stolen = theft(rig, victim, outputs=paid, annex=annex)
        rig.chain.mine()
        await trio.sleep(5)
        with pytest.raises(NotNow, match="waits for a newer block"):
            await rig.judge(waiting)
        await trio.sleep(1)
        rig.ledger.advance(PegContents())
        assert await rig.contents() == PegContents()
        reason = "the peg is halted: the Bitcoin transaction .* which no block has proposed, has spent 1000000 sat"
        with pytest.raises(NotSeenOnBitcoin, match=reason):
            await rig.judge(waiting)
        with pytest.raises(NotSeenOnBitcoin, match=reason):
            await rig.bridge.ask(CheckNotHalted())
        found = Stolen(stolen.txid, Sat(1_000_000))
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None, (found,))
        assert halts(rig) == [PegHalted(0, Sat(0), 0, stolen.txid, 1, Sat(1_000_000))]
        # Only a reorganisation that removes the theft ends the halt.
        await rig.mine(10)
        with pytest.raises(NotSeenOnBitcoin):
            await rig.bridge.ask(CheckNotHalted())
        rig.chain.reorganise(11, keep=False)
        await rig.settled()
        await rig.bridge.ask(CheckNotHalted())
        assert len((await rig.contents()).peg_ins) == 1
        assert halts(rig)[1:] == [PegResumed()]


async def test_a_node_that_makes_no_blocks_reports_a_theft(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        victim = await with_deposit(rig)
        stolen = theft(rig, victim)
        await mine_theft(rig)
        await trio.sleep(LEAST_REST)
        assert halts(rig) == [PegHalted(0, Sat(0), 0, stolen.txid, 1, Sat(1_000_000))]


async def test_a_new_node_and_one_that_restarts_learn_of_a_theft(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        theft(rig, await with_deposit(rig))
        await mine_theft(rig)
        ledger, chain = rig.ledger, rig.chain
    for folder in (tmp_path, tmp_path / "new"):
        async with bridge_rig(folder, ledger, chain, settled=False) as rig:
            await trio.sleep(10)
            with pytest.raises(NotNow):
                await rig.bridge.ask(CheckNotHalted())
            assert halts(rig) == []
            rig.ledger.advance(PegContents())
            with pytest.raises(NotSeenOnBitcoin, match="the peg is halted"):
                await rig.bridge.ask(CheckNotHalted())


async def test_the_output_of_a_payment_in_flight_is_stolen(tmp_path: Path, autojump_clock: MockClock) -> None:
    """So is the change of a payment that a block has confirmed."""
    async with bridge_rig(tmp_path) as rig:
        paid = await with_confirmed_payment(rig)
        change = next(n for n, one in enumerate(paid.outputs) if one.script == rig.spendings[0].output_script)
        await rig.step([burn(200_000)])
        assert (await rig.step()).proposal is not None
        stolen = theft(rig, paid, change)
        await mine_theft(rig)
        amount = paid.outputs[change].amount
        assert (await rig.bridge.ask(GetPegHealth())).stolen == (Stolen(stolen.txid, amount),)


async def test_a_deposit_that_is_spent_before_it_is_credited_halts_the_peg(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The member that credits it may have an older Bitcoin block than this node."""
    async with bridge_rig(tmp_path) as rig:
        victim = rig.deposit(1_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        credited = await rig.contents()
        theft(rig, victim)
        await mine_theft(rig)
        await rig.bridge.ask(CheckNotHalted())
        assert (await rig.bridge.ask(GetPegHealth())).stolen == ()
        rig.ledger.advance(credited)
        with pytest.raises(NotSeenOnBitcoin, match="has spent 1000000 sat"):
            await rig.bridge.ask(CheckNotHalted())


async def test_the_operators_return_a_payment_that_is_not_credited(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """They use the keys of a quorum for it, as docs/peg.md says; the ledger holds nothing of it."""
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig)
        wrong = rig.chain.pay([(200_000, rig.spendings[0].output_script)])
        await rig.mine(CONFIRMATIONS + 1)
        theft(rig, wrong)
        await mine_theft(rig)
        await rig.bridge.ask(CheckNotHalted())
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None)
        assert halts(rig) == []


@pytest.mark.parametrize("most", [1, 256], ids=["more than it keeps", "few"])
async def test_a_node_that_is_behind_sees_no_thefts(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """It does not have the blocks that propose the payments, while Bitcoin has confirmed them long ago."""
    monkeypatch.setattr(bridge_thefts, "MAX_UNKNOWN", most)
    monkeypatch.setattr(bitcoin_watch, "MAX_SPENT", 1)
    async with bridge_rig(tmp_path) as rig:
        stages = [copy(rig.ledger)]
        for _ in range(3):
            rig.deposit(400_000)
            await rig.mine(CONFIRMATIONS + 1)
            await rig.step([burn(300_000)])
            stages.append(copy(rig.ledger))
            proposal = (await rig.step()).proposal
            assert proposal is not None
            stages.append(copy(rig.ledger))
            signed = rig.sign_only(proposal.transaction)
            rig.chain.mempool[signed.txid] = signed
            await rig.mine(CONFIRMATIONS + 1)
            assert (await rig.step()).confirmed
            stages.append(copy(rig.ledger))
        chain = rig.chain
    behind = copy(stages[0])
    async with bridge_rig(tmp_path / "new", behind, chain, settled=False) as rig:
        for stage in stages[1:]:
            await trio.sleep(LEAST_REST + 5)
            behind.head, behind.entries, behind.states = stage.head, stage.entries, behind.states | stage.states
        await rig.settled()
        await rig.bridge.ask(CheckNotHalted())
        assert halts(rig) == []


async def test_a_payment_whose_proposal_was_abandoned_is_a_theft(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The spend was forgotten because of a block that was not final, and missed when the block was gone."""
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig)
        await rig.step([burn(300_000)])
        final = rig.ledger.final = copy(rig.ledger)
        proposal = (await rig.step()).proposal
        assert proposal is not None
        stolen = rig.sign_only(proposal.transaction)
        rig.chain.mempool[stolen.txid] = stolen
        await rig.mine()
        await trio.sleep(LEAST_REST + 1)
        await rig.bridge.ask(CheckNotHalted())
        rig.ledger.head, rig.ledger.entries = final.head, dict(final.entries)
        await trio.sleep(1)
        rig.ledger.advance(PegContents())
        with pytest.raises(NotSeenOnBitcoin, match=f"{displayed(stolen.txid)}, which no block has proposed"):
            await rig.bridge.ask(CheckNotHalted())


async def test_a_node_whose_clock_was_slow_while_it_is_behind_sees_no_theft(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has found the payment before the slot of an old block, by its clock of that time."""
    async with bridge_rig(tmp_path) as rig:
        stages = [copy(rig.ledger)]
        await with_deposit(rig)
        await rig.step([burn(300_000)])
        old = rig.ledger.head.timestamp
        stages.append(copy(rig.ledger))
        await trio.sleep(2 * RECENT)
        proposal = (await rig.step()).proposal
        assert proposal is not None
        stages.append(copy(rig.ledger))
        signed = rig.sign_only(proposal.transaction)
        rig.chain.mempool[signed.txid] = signed
        await rig.mine(CONFIRMATIONS + 1)
        chain = rig.chain
    right = VirtualClock.time
    slow = right(VirtualClock()) - old + 30

    def late(clock: VirtualClock) -> float:
        return right(clock) - slow

    monkeypatch.setattr(VirtualClock, "time", late)
    behind = copy(stages[0])
    async with bridge_rig(tmp_path / "new", behind, chain, settled=False) as rig:
        await trio.sleep(5)
        monkeypatch.setattr(VirtualClock, "time", right)
        for stage in stages[1:]:
            behind.head, behind.entries, behind.states = stage.head, stage.entries, behind.states | stage.states
            await trio.sleep(LEAST_REST + 5)
        await rig.settled()
        await rig.bridge.ask(CheckNotHalted())
        assert halts(rig) == []


async def test_a_theft_is_none_the_less_when_no_more_blocks_come(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        theft(rig, await with_deposit(rig))
        await mine_theft(rig)
        await trio.sleep(10 * RECENT)
        assert (await rig.bridge.ask(GetPegHealth())).stolen
        assert [type(event) for event in halts(rig)] == [PegHalted]


async def test_a_look_that_fails_for_long_is_a_doubt(tmp_path: Path, autojump_clock: MockClock) -> None:
    """`getpeg` named no problem while the watch did not answer, and nothing was credited."""
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig)
        rig.node.down = "connection refused"
        await trio.sleep(LEAST_REST)
        assert (await rig.bridge.ask(GetPegHealth())).doubt is None
        await trio.sleep(SECOND_LOOK + LEAST_REST)
        doubt = (await rig.bridge.ask(GetPegHealth())).doubt
        assert doubt is not None
        assert "could not compare the ledger with Bitcoin for more than 60 s" in doubt
        assert "connection refused" in doubt
        rig.node.down = None
        await rig.settled()


def copy(ledger: Ledger) -> Ledger:
    """The ledger as it is now."""
    return attrs.evolve(ledger, states=dict(ledger.states), entries=dict(ledger.entries))


async def test_a_theft_is_found_and_forgotten_while_blocks_are_not_read_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A node with a pruned Bitcoin may never read them again for the new federation."""
    async with bridge_rig(tmp_path) as rig:
        victim = await with_deposit(rig)
        rig.node.pruned = rig.chain.height
        change(rig)
        await trio.sleep(60)
        stolen = theft(rig, victim)
        await mine_theft(rig)
        found = Stolen(stolen.txid, Sat(1_000_000))
        assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None, (found,))
        rig.chain.reorganise(1, keep=False)
        await rig.settled()
        await rig.bridge.ask(CheckNotHalted())
        assert not any(isinstance(one, FederationWatched) for one in rig.logged)
