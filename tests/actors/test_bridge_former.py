"""The bridge, while former federations do not sign, hold more than the newest, or get deposits again and again."""

from pathlib import Path
from random import Random
from typing import cast

import pytest
from trio.testing import MockClock

from alysd.actors import bridge_reads
from alysd.errors import PaymentDeclined
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.coins import Coin
from alysd.peg.estimates import STUCK_BLOCKS
from alysd.peg.ledger import Draft, Key, Value, free_reserve
from alysd.peg.moves import make_move
from alysd.types.peg import ConfirmedPegOut, PegContents, PegOutProposal, coin_of, coins_prefix
from alysd.types.tables import SHAPES, Table
from alysd.wire.bitcoin_transaction import make_transaction
from tests.actors.bridge_change_kit import NEXT, TO_RESERVE, change, made, minted
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig, bridge_rig, burn
from tests.actors.former_kit import LEAST, FormerWorld
from tests.peg.ledger_kit import BLOCK

pytestmark = pytest.mark.usefixtures("no_threads")
USER = b"\x14" + bytes(19) + b"\1"
NOTHING = PegContents()
HIGH = 150_000
"""A fee rate at which an output of less than a million sat is not worth a move."""


async def credited(rig: BridgeRig, *deposits: tuple[int, int], data: bytes = USER) -> None:
    """Blocks have minted deposits: each names the federation and the amount."""
    for federation, sat in deposits:
        rig.chain.pay([(sat, rig.spendings[federation].output_script), (0, b"\x6a" + data)])
    await rig.mine(CONFIRMATIONS + 1)
    contents = await made(rig)
    assert len(contents.peg_ins) == len(deposits)
    rig.ledger.advance(PegContents(peg_ins=contents.peg_ins))


async def proposed(rig: BridgeRig) -> PegOutProposal | None:
    """The proposal of the next block, which the bridge also approves."""
    found = (await made(rig)).proposal
    if found is not None:
        await rig.judge(PegContents(proposal=found))
        rig.ledger.advance(PegContents(proposal=found))
    return found


def spenders(rig: BridgeRig) -> list[tuple[int, int]]:
    """The federation that signs, and the number of payees, of each payment in flight."""
    return sorted((one.spender, len(one.payees)) for one in rig.ledger.payments())


async def test_former_members_that_have_stopped_stop_no_payment(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Anybody deposits to their address again and again: only the first of these outputs is ever in flight."""
    async with bridge_rig(tmp_path) as rig:
        change(rig)
        await credited(rig, *((1, 1_000_000 + number) for number in range(4)))
        await credited(rig, (1, 400_000), data=TO_RESERVE)
        for number in range(5):
            await credited(rig, (0, 100_000 + number))
            rig.ledger.advance(NOTHING, [burn(200_000 + number)])
            if not number:
                move = await proposed(rig)
                assert move is not None
                assert [out.script for out in move.transaction.outputs] == [NEXT.output_script]
            assert (await proposed(rig) is not None) == (number < 4)
        assert spenders(rig) == [(0, 0), (1, 1), (1, 1), (1, 1), (1, 1)]
        assert await proposed(rig) is None, "four payments of the newest federation are in flight"
        rig.ledger.advance(NOTHING, [burn(150_000)])
        assert await proposed(rig) is None


async def test_moves_go_on_while_the_newest_federation_has_no_place_left(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        change(rig)
        await credited(rig, *((1, 300_000 + number) for number in range(5)))
        await credited(rig, (1, 400_000), data=TO_RESERVE)
        for number in range(5):
            rig.ledger.advance(NOTHING, [burn(250_000 + number)])
            await proposed(rig)
        await credited(rig, (0, 100_000))
        assert await proposed(rig) is not None
        assert spenders(rig)[0] == (0, 0)


async def test_old_outputs_move_beside_many_larger_ones(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_reads, "MAX_COINS", 3)
    monkeypatch.setattr(bridge_reads, "PAGE", 2)
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (300_000, USER), (200_000, USER))
        change(rig)
        await credited(rig, *((1, 400_000 + number) for number in range(6)))
        await credited(rig, (1, 500_000), data=TO_RESERVE)
        found = await proposed(rig)
        assert found is not None
        assert len(found.transaction.inputs) == 2
        assert spenders(rig) == [(0, 0)]


async def test_the_first_request_alone_is_paid_by_former_members_if_it_must_be(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Fees are so high that moving the outputs is not worth it."""
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (800_000, USER), (700_000, USER))
        change(rig)
        await credited(rig, (1, 250_000))
        rig.chain.fee_rate = HIGH
        await rig.mine()
        rig.ledger.advance(NOTHING, [burn(300_000), burn(200_000)])
        found = await proposed(rig)
        assert found is not None
        assert spenders(rig) == [(0, 1)]
        assert await proposed(rig) is not None, "the second request is paid by the newest federation"
        assert spenders(rig) == [(0, 1), (1, 1)]


async def test_former_outputs_are_spent_only_if_the_newest_ones_are_not_enough(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (800_000, USER))
        change(rig)
        await credited(rig, (1, 900_000))
        rig.ledger.advance(NOTHING, [burn(300_000)])
        entries = {(SHAPES[table].value, key): one for (table, key), one in rig.ledger.entries.items()}
        draft = Draft(rig.ledger.head.peg, cast("dict[Key, Value | None]", entries))
        coins = [
            Coin(coin_of(key)[1], coin_of(key)[0], 0, rig.spendings[0].weight)
            for table, key in rig.ledger.entries
            if table is Table.COINS and key.startswith(coins_prefix(0))
        ]
        false = make_proposal(draft, coins, Wish(2_000, 200_000, "largest-first"), rig.spendings, make_transaction)
        with pytest.raises(
            PaymentDeclined, match="of the former federation 0, and those of the newest one are enough"
        ):
            await rig.judge(PegContents(proposal=false))


async def test_former_outputs_are_joined_for_a_request_that_needs_all(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Neither federation has enough alone, fees are too high for a move, and the request bears the fee."""
    async with bridge_rig(tmp_path) as rig:
        script = rig.spendings[0].output_script
        rig.chain.pay([*[(400_000 + place, script) for place in range(22)], (0, b"\x6a" + USER)])
        await rig.mine(CONFIRMATIONS + 1)
        assert (await rig.step()).peg_ins
        change(rig)
        await credited(rig, (1, 6_000_000))
        rig.chain.fee_rate = HIGH
        await rig.mine()
        rig.ledger.advance(NOTHING, [burn(9_000_000)])
        found = await proposed(rig)
        assert found is not None
        (payment,) = rig.ledger.payments()
        assert (payment.spender, payment.payees, len(payment.inputs)) == (0, (), 22)
        assert rig.ledger.head.peg.owed == 9_000_000 - payment.reserve_fee


async def test_outputs_wait_if_the_reserve_would_pay_for_joining_them_at_high_fees(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It would be a move, which members decline."""
    async with bridge_rig(tmp_path) as rig:
        script = rig.spendings[0].output_script
        rig.chain.pay([*[(400_000 + place, script) for place in range(22)], (0, b"\x6a" + USER)])
        await rig.mine(CONFIRMATIONS + 1)
        assert (await rig.step()).peg_ins
        change(rig)
        await credited(rig, (1, 6_000_000))
        await credited(rig, (1, 50_000_000), data=TO_RESERVE)
        await credited(rig, (1, 6_000_000))
        rig.ledger.advance(NOTHING, [burn(70_000_000)])
        rig.chain.fee_rate = HIGH
        await rig.mine()
        assert await proposed(rig) is None
        rig.chain.fee_rate = 2_000
        await rig.mine()
        assert await proposed(rig) is not None
        assert spenders(rig) == [(0, 0)]


async def test_a_stuck_move_is_replaced_while_that_is_worth_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (300_000, USER))
        change(rig)
        await credited(rig, (1, 900_000), data=TO_RESERVE)
        rig.chain.fee_rate = 2_000
        await rig.mine()
        first = await proposed(rig)
        assert first is not None
        rig.signed.append(rig.sign_only(first.transaction))
        rig.ledger.advance(PegContents(finalized=(await made(rig)).finalized))
        rig.signed.clear()
        await made(rig)
        rig.chain.fee_rate = HIGH
        await rig.mine(STUCK_BLOCKS + 2)
        assert await proposed(rig) is None, "its input would cost more than a hundredth of the amount"
        dear = make_replacement(rig.ledger.payments()[0], HIGH, rig.spendings, make_transaction)
        with pytest.raises(PaymentDeclined, match="of a former federation at 150"):
            await rig.judge(PegContents(proposal=dear))
        rig.chain.fee_rate = 5_000
        await rig.mine()
        newer = await proposed(rig)
        assert newer is not None
        assert newer.replaces == first.transaction.txid


async def test_a_move_beside_a_confirmation_is_declined() -> None:
    """The confirmation frees a part of the reserve, which can make a move of a consolidation."""
    world = FormerWorld(Random(1))  # noqa: S311  not used for secrets
    world.deposit(0, 30 * LEAST)
    world.book.change_federation()
    world.deposit(1, LEAST, reserve=True)
    first = await world.block()
    assert first is not None
    world.deposit(0, 20 * LEAST)
    parent, node = world.parent(), world.nodes[0]
    versions = await world.versions(node)
    reserve, coins = free_reserve(parent.peg), world.book.free_coins(0)
    move = make_move(coins, 2_000, reserve, world.book.spendings, make_transaction)
    assert move is not None
    confirmed = (ConfirmedPegOut(first.transaction.txid, BLOCK),)
    world.book.block(PegContents(proposal=move, confirmed=confirmed))
    (payment,) = world.book.payments()
    assert payment.payees == ()
    with pytest.raises(PaymentDeclined, match="it has no payees, and its block confirms 1 payments"):
        await node.judge.judge(move, payment, parent, versions, confirmed)


async def test_former_outputs_that_wait_make_no_place_for_a_fifth_payment(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        await minted(rig, (100_000, USER))
        change(rig)
        await credited(rig, *((1, 300_000 + number) for number in range(6)))
        rig.chain.fee_rate = 20_000
        await rig.mine()
        for number in range(5):
            rig.ledger.advance(NOTHING, [burn(250_000 + number)])
            assert (await proposed(rig) is not None) == (number < 4)
        assert spenders(rig) == [(1, 1)] * 4
