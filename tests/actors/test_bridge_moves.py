"""The bridge after a change of the federation, and while governance has halted the peg."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.errors import NotSeenOnBitcoin, PaymentDeclined
from alysd.messages.bridge import GetPegHealth
from alysd.messages.log.bitcoin import FederationWatched
from alysd.messages.log.governance_update import PegHaltedByGovernance, PegResumedByGovernance
from alysd.messages.log.peg import FormerOutputsWait
from alysd.peg.coins import Coin
from alysd.peg.moves import fee_of_move, make_move
from alysd.types.peg import PegContents, coin_of
from alysd.types.tables import Table
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.actors.bridge_change_kit import NEXT, TO_RESERVE, change, made, minted
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig, bridge_rig, burn

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_outputs_of_the_former_federation_move_to_the_newest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (300_000, b"\x14" + bytes(19) + b"\1"), (400_000, TO_RESERVE))
        assert (await rig.contents()).proposal is None
        change(rig)
        proposal = (await made(rig)).proposal
        assert proposal is not None
        assert [out.script for out in proposal.transaction.outputs] == [NEXT.output_script]
        assert len(proposal.transaction.inputs) == 2
        await rig.judge(PegContents(proposal=proposal))
        coins = rig.ledger.head.peg
        assert coins.reserve == 400_000
        rig.ledger.advance(PegContents(proposal=proposal))
        assert rig.ledger.head.peg.pledged == proposal.reserve_fee


async def test_an_author_that_moves_one_output_of_many_is_declined(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (300_000, b"\x14" + bytes(19) + b"\1"), (400_000, TO_RESERVE))
        change(rig)
        proposal = (await made(rig)).proposal
        assert proposal is not None
        spendings = rig.spendings
        coins = await rig_coins(rig)
        few = make_move(coins[:1], 2_000, Sat(400_000), spendings, make_transaction)
        with pytest.raises(PaymentDeclined, match="moves 1 outputs of a former federation, and leaves 1"):
            await rig.judge(PegContents(proposal=few))


async def rig_coins(rig: BridgeRig) -> list[Coin]:
    found = sorted(key for table, key in rig.ledger.entries if table is Table.COINS)
    return [
        Coin(outpoint, amount, 0, rig.spendings[0].weight) for amount, outpoint in (coin_of(key) for key in found)
    ]


async def test_an_empty_reserve_is_logged_with_what_it_lacks(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (300_000, b"\x14" + bytes(19) + b"\1"))
        change(rig)
        for _ in range(3):
            assert (await made(rig)).proposal is None
        coins = await rig_coins(rig)
        needed = fee_of_move(coins, rig.ledger.context.spec.peg_out_fallback_fee_rate, rig.spendings)
        waits = [one for one in rig.logged if isinstance(one, FormerOutputsWait)]
        assert waits == [FormerOutputsWait(1, Sat(300_000), Sat(2 * needed))]


async def test_a_halted_peg_has_confirmations_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (900_000, b"\x14" + bytes(19) + b"\1"))
        rig.ledger.advance(PegContents(), [burn(200_000)])
        proposal = (await rig.step()).proposal
        assert proposal is not None
        signed = rig.sign_only(proposal.transaction)
        rig.chain.accept(signed)
        rig.deposit(500_000)
        await rig.mine(CONFIRMATIONS + 1)
        rig.ledger.advance(PegContents(), [burn(150_000)])
        assert (await rig.contents()).peg_ins
        change(rig, changed=False, halted=True)
        contents = await rig.contents()
        await trio.sleep(5)
        health = await rig.bridge.ask(GetPegHealth())
        assert (health.halted, health.reason) == (True, "governance has halted it, until it resumes it")
        (confirmed,) = contents.confirmed
        assert (confirmed.txid, contents) == (signed.txid, PegContents(confirmed=(confirmed,)))
        await rig.judge(contents)
        rig.ledger.advance(contents)
        change(rig, changed=False)
        assert (await rig.contents()).peg_ins
        await trio.sleep(5)
        assert not (await rig.bridge.ask(GetPegHealth())).halted
        kinds = (PegHaltedByGovernance, PegResumedByGovernance)
        assert [type(one) for one in rig.logged if isinstance(one, kinds)] == list(kinds)


async def test_deposits_go_on_while_blocks_cannot_be_read_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Only those wait that may pay the new federation too. No block had peg contents meanwhile."""
    async with bridge_rig(tmp_path) as rig:
        first = rig.spendings[0]
        rig.chain.pay([(600_000, NEXT.output_script), (0, b"\x6a\x14" + bytes(19) + b"\1")])
        mixed = [(500_000, first.output_script), (400_000, NEXT.output_script)]
        rig.chain.pay([*mixed, (0, b"\x6a\x14" + bytes(19) + b"\2")])
        await rig.mine(CONFIRMATIONS + 1)
        rig.node.pruned = rig.chain.height
        change(rig)
        assert (await rig.contents()).peg_ins == ()
        await trio.sleep(60)
        rig.deposit(700_000)
        await rig.mine(CONFIRMATIONS + 1)
        assert [one.amount for one in (await rig.step()).peg_ins] == [700_000]
        assert (await rig.contents()).peg_ins == ()
        assert not any(isinstance(one, FederationWatched) for one in rig.logged)
        rig.node.pruned = 0
        found = (await made(rig)).peg_ins
        assert sorted(one.amount for one in found) == [600_000, 900_000]
        await rig.judge(PegContents(peg_ins=found))
        rig.ledger.advance(PegContents(peg_ins=found))
        assert (await rig.contents()).peg_ins == ()


async def test_deposits_to_both_federations_are_made_and_judged(tmp_path: Path, autojump_clock: MockClock) -> None:
    """One that paid the new address before its time counts from the change on."""
    async with bridge_rig(tmp_path) as rig:
        early = rig.chain.pay([(600_000, NEXT.output_script), (0, b"\x6a\x14" + bytes(19) + b"\1")])
        rig.deposit(700_000)
        await rig.mine(CONFIRMATIONS + 1)
        assert [one.amount for one in (await rig.step()).peg_ins] == [700_000]
        assert (await rig.contents()).peg_ins == ()
        change(rig)
        contents = await made(rig)
        (peg_in,) = contents.peg_ins
        assert (peg_in.txid, peg_in.outputs[0].federation) == (early.txid, 1)
        await rig.judge(PegContents(peg_ins=contents.peg_ins))
        rig.ledger.advance(PegContents(peg_ins=contents.peg_ins))
        assert (await rig.contents()).peg_ins == ()
        change(rig, changed=False)
        with pytest.raises(NotSeenOnBitcoin, match="pays no federation of the chain so far"):
            await rig.judge(PegContents(peg_ins=(peg_in,)))
