"""Spends of outputs that no ledger will ever hold are forgotten: a former quorum can make any number of them."""

from pathlib import Path
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from alysd.actors.bridge_audit import LEAST_REST
from alysd.actors.bridge_reads import BridgeReads
from alysd.messages.bitcoin_watch import BitcoinWatch, GetMissing
from alysd.messages.bridge import GetPegHealth, PegHealth
from alysd.nurseries import Ask
from alysd.testing.bitcoin import FakeBitcoin
from alysd.types.bitcoin_watch import Stolen
from alysd.types.federation_update import BEFORE_UPDATE, FORMER_ADDRESS_DAYS
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegContents, Transaction
from alysd.types.units import Sat
from tests.actors.bridge_change_kit import change
from tests.actors.bridge_kit import CONFIRMATIONS, USER, BridgeRig, bridge_rig
from tests.actors.bridge_theft_kit import mine_theft, theft, with_deposit

pytestmark = pytest.mark.usefixtures("no_threads")

Reply = TypeVar("Reply")
DATA = b"\x6a\x14" + USER
LONG_AFTER = BEFORE_UPDATE + FORMER_ADDRESS_DAYS * 86_400.0
"""The time of the Bitcoin blocks: the end of the credit of the first federation after `change`."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> set[BitcoinHash]:
    """The transactions about which the bridge has asked whether Bitcoin still has them: it keeps their spends."""
    found: set[BitcoinHash] = set()
    ask = BridgeReads.watch_ask

    async def noting(reads: BridgeReads, message: Ask[BitcoinWatch, Reply]) -> Reply:
        asked: object = message
        if isinstance(asked, GetMissing):
            found.update(one.txid for one in asked.expected)
        return await ask(reads, message)

    monkeypatch.setattr(BridgeReads, "watch_ask", noting)
    return found


async def next_look(rig: BridgeRig) -> None:
    await trio.sleep(LEAST_REST + 1)
    rig.ledger.advance(PegContents())
    await rig.settled()


async def only_the_theft_is_kept(
    rig: BridgeRig, victim: Transaction, spends: list[Transaction], kept: set[BitcoinHash]
) -> None:
    """The bridge keeps no spend of these, which are no thefts, but a theft after them."""
    await mine_theft(rig)
    await next_look(rig)
    assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None)
    stolen = theft(rig, victim)
    await mine_theft(rig)
    kept.clear()
    await next_look(rig)
    found = Stolen(stolen.txid, Sat(1_000_000))
    assert await rig.bridge.ask(GetPegHealth()) == PegHealth((), None, (found,))
    assert kept & {stolen.txid, *(one.txid for one in spends)} == {stolen.txid}


async def test_spends_of_deposits_after_the_end_of_their_credit(
    tmp_path: Path, autojump_clock: MockClock, kept: set[BitcoinHash]
) -> None:
    async with bridge_rig(tmp_path, chain=FakeBitcoin(clock=lambda: LONG_AFTER)) as rig:
        victim = await with_deposit(rig)
        change(rig)
        late = [rig.deposit(400_000 + place) for place in range(3)]
        await rig.mine(CONFIRMATIONS + 1)
        assert (await rig.contents()).peg_ins == ()
        await only_the_theft_is_kept(rig, victim, [theft(rig, one) for one in late], kept)


async def test_spends_of_the_change_of_such_spends(
    tmp_path: Path, autojump_clock: MockClock, kept: set[BitcoinHash]
) -> None:
    async with bridge_rig(tmp_path, chain=FakeBitcoin(clock=lambda: LONG_AFTER)) as rig:
        victim = await with_deposit(rig)
        change(rig)
        made = [rig.deposit(400_000)]
        for place in range(4):
            await rig.mine()
            made.append(theft(rig, made[-1], outputs=[(399_000 - place, rig.spendings[0].output_script)]))
        await only_the_theft_is_kept(rig, victim, made, kept)


async def test_spends_of_a_deposit_that_spends_an_output_of_the_federation(
    tmp_path: Path, autojump_clock: MockClock, kept: set[BitcoinHash]
) -> None:
    """It may spend an output that was never credited."""
    async with bridge_rig(tmp_path) as rig:
        victim = await with_deposit(rig)
        ours = rig.spendings[0].output_script
        made = [rig.chain.pay([(400_000, ours)])]
        for place in range(4):
            await rig.mine()
            made.append(theft(rig, made[-1], outputs=[(399_000 - place, ours), (0, DATA)]))
        await only_the_theft_is_kept(rig, victim, made, kept)
