"""The bridge: what it puts into blocks at each stage of a payment, and what it refuses to approve."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import bridge_reads
from alysd.actors.bridge_contents import FOLLOW_SECONDS, MAX_PAGES, PAGE, BridgeMemory, Versions
from alysd.actors.bridge_proposals import Proposals
from alysd.actors.bridge_reads import BridgeReads
from alysd.errors import NotNow, NotSeenOnBitcoin, PaymentDeclined
from alysd.messages.bridge import CheckNotHalted
from alysd.messages.log.peg import PegHalted, PegResumed
from alysd.peg.authoring import Wish, make_proposal
from alysd.peg.coins import Coin
from alysd.peg.estimates import LOW_RATE, STUCK_BLOCKS
from alysd.peg.ledger import Draft, Key, Value
from alysd.peg.proposals import CONSOLIDATE_ABOVE, MAX_EXTRA_INPUTS
from alysd.peg.signing import SIGNATURE_BYTES
from alysd.peg.weights import rate_of
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import (
    ConfirmedPegOut,
    Minted,
    PegContents,
    PegOutProposal,
    PegOutRequest,
    Transaction,
    coin_of,
)
from alysd.types.tables import Table
from alysd.types.units import Height, Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.actors.bridge_kit import CONFIRMATIONS, USER, BridgeRig, bridge_rig, burn
from tests.peg.ledger_kit import RULES, SPENDINGS
from tests.peg.payment_kit import make_payment

pytestmark = pytest.mark.usefixtures("no_threads")

NOTHING = PegContents()


async def with_deposit(rig: BridgeRig, sat: int = 1_000_000) -> None:
    """Mint a deposit."""
    rig.deposit(sat)
    await rig.mine(CONFIRMATIONS + 1)
    assert len((await rig.step()).peg_ins) == 1


async def with_payment(rig: BridgeRig) -> Transaction:
    """Have a payment proposed, and return its transaction without witness."""
    await with_deposit(rig)
    rig.ledger.advance(NOTHING, [burn(300_000)])
    proposal = (await rig.step()).proposal
    assert proposal is not None
    return proposal.transaction


async def with_signed_payment(rig: BridgeRig) -> Transaction:
    """Have a payment proposed, signed and put into a block, and return its transaction with witnesses."""
    signed = rig.sign_only(await with_payment(rig))
    rig.signed.append(signed)
    assert (await rig.step()).finalized == (signed,)
    return signed


async def test_a_payment_from_the_request_to_its_confirmation(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        signed = await with_signed_payment(rig)
        assert await rig.step() == NOTHING
        rig.chain.mempool[signed.txid] = signed
        await rig.mine(CONFIRMATIONS)
        assert await rig.step() == NOTHING
        await rig.mine()
        made = await rig.step()
        assert made.confirmed == (ConfirmedPegOut(signed.txid, rig.chain.blocks[-1 - CONFIRMATIONS].hash),)
        totals = rig.ledger.head.peg
        assert (totals.payments, totals.owed, totals.held) == (0, 0, 700_000)
        # The change can be spent at once.
        rig.ledger.advance(NOTHING, [burn(200_000)])
        assert (await rig.step()).proposal is not None


async def test_deposits_are_minted_in_order_and_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        made = [rig.deposit(100_000 + number).txid for number in range(70)]
        await rig.mine(CONFIRMATIONS)
        assert await rig.step() == NOTHING, "a member whose Bitcoin node is a block behind would decline them"
        await rig.mine()
        found = [*(await rig.step()).peg_ins, *(await rig.step()).peg_ins]
        assert [one.txid for one in found] == made
        assert await rig.step() == NOTHING
        # The bridge goes on from what it knows to be minted, and remembers it for newer blocks too.
        assert rig.memory.final == 0
        assert rig.memory.minted[rig.ledger.states[rig.ledger.head.parent_hash].hash] == 70
        rig.ledger.head = attrs.evolve(rig.ledger.head, last_final_height=rig.ledger.head.height)
        rig.ledger.states[rig.ledger.head.hash] = rig.ledger.head
        await trio.sleep(FOLLOW_SECONDS + 1)
        assert rig.memory.final == 70
        assert await rig.contents() == NOTHING


async def test_after_a_restart_new_deposits_do_not_wait_for_old_ones(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The bridge looked at 4,096 old deposits per block: a million took hours."""
    async with bridge_rig(tmp_path) as rig:
        old = [rig.deposit(100_000) for _ in range(PAGE * MAX_PAGES + 10)]
        await rig.mine(CONFIRMATIONS + 1)
        for one in old:
            rig.ledger.entries[Table.MINTED, one.txid] = Minted(Height(0), Sat(100_000))
        new = rig.deposit(500_000)
        await rig.mine(CONFIRMATIONS + 1)
        await trio.sleep(FOLLOW_SECONDS + 1)
        assert [one.txid for one in (await rig.contents()).peg_ins] == [new.txid]


async def test_on_another_branch_the_deposits_are_minted_there_too(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        genesis, entries = rig.ledger.head, dict(rig.ledger.entries)
        await with_deposit(rig)
        await rig.step()
        rig.ledger.head, rig.ledger.entries = genesis, entries
        assert len((await rig.contents()).peg_ins) == 1


async def test_a_payment_is_confirmed_although_no_block_has_its_witnesses(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Anybody can put the members' signatures together and send the payment, also with an odd hash type."""
    async with bridge_rig(tmp_path) as rig:
        signed = rig.sign_only(await with_payment(rig))
        odd = tuple(
            tuple(item + b"\x01" if len(item) == SIGNATURE_BYTES else item for item in stack)
            for stack in signed.witness
        )
        rig.chain.mempool[signed.txid] = attrs.evolve(signed, witness=odd)
        await rig.mine(1)
        rig.signed.append(signed)
        assert await rig.step() == NOTHING
        await rig.mine(CONFIRMATIONS)
        assert [one.txid for one in (await rig.step()).confirmed] == [signed.txid]
        assert rig.ledger.payments() == []


async def test_the_witnesses_of_a_void_version_are_left_out(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The block would take away the payment by its confirmation, and then know nothing of its newer version."""
    async with bridge_rig(tmp_path) as rig:
        first = await with_signed_payment(rig)
        await rig.step()
        rig.chain.fee_rate = 10_000
        await rig.mine(STUCK_BLOCKS + 1)
        newer = (await rig.step()).proposal
        assert newer is not None
        rig.chain.mempool[first.txid] = first
        await rig.mine(1)
        rig.signed.append(rig.sign_only(newer.transaction))
        assert (await rig.contents()).finalized == ()
        await rig.mine(CONFIRMATIONS)
        contents = await rig.step()
        assert (contents.finalized, [one.txid for one in contents.confirmed]) == ((), [first.txid])


async def test_a_stuck_payment_is_replaced_and_either_version_may_confirm(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        first = await with_signed_payment(rig)
        await rig.step()
        rig.chain.fee_rate = 10_000
        await rig.mine(STUCK_BLOCKS)
        assert await rig.step() == NOTHING
        await rig.mine()
        made = await rig.step()
        assert made.proposal is not None
        assert made.proposal.replaces == first.txid
        (payment,) = rig.ledger.payments()
        rates = [rate_of(payment, version.fee, rig.spendings) for version in payment.versions]
        assert rates[0] < 3_000 < 10_000 <= rates[1]
        assert await rig.step() == NOTHING  # not signed yet
        rig.chain.mempool[first.txid] = first
        await rig.mine(CONFIRMATIONS + 1)
        assert [one.txid for one in (await rig.step()).confirmed] == [first.txid]
        assert rig.ledger.payments() == []


async def test_a_restart_does_not_let_a_stuck_payment_wait_anew(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A node that restarts once an hour would never replace a payment, and would decline each replacement."""
    async with bridge_rig(tmp_path) as rig:
        first = await with_signed_payment(rig)
        await rig.step()
        rig.chain.fee_rate = 10_000
        await rig.mine(STUCK_BLOCKS)
        assert await rig.step() == NOTHING
    async with bridge_rig(tmp_path, rig.ledger, rig.chain) as again:
        assert await again.contents() == NOTHING
        await again.mine()
        made = await again.step()
        assert made.proposal is not None
        assert made.proposal.replaces == first.txid


async def test_a_payment_is_never_replaced_above_the_chains_limit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        rig.chain.fee_rate = 10**9
        await rig.mine()
        await with_signed_payment(rig)
        (payment,) = rig.ledger.payments()
        limit = rig.ledger.context.spec.peg_out_max_fee_rate
        assert limit - 1_000 < rate_of(payment, payment.versions[0].fee, rig.spendings) <= limit
        await rig.step()
        await rig.mine(STUCK_BLOCKS + 1)
        assert await rig.step() == NOTHING


async def test_a_payment_of_several_requests_stays_below_the_chains_limit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Each share of the fee is rounded up, which raises the rate above the one that is wanted."""
    async with bridge_rig(tmp_path) as rig:
        rig.chain.fee_rate = 10**9
        rig.deposit(10_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step()
        limit = rig.ledger.context.spec.peg_out_max_fee_rate
        for count in (3, 7, 13):
            rig.ledger.advance(NOTHING, [burn(200_000 + number) for number in range(count)])
            proposal = (await rig.step()).proposal
            assert proposal is not None
            (payment,) = rig.ledger.payments()
            assert len(payment.payees) == count
            assert limit - 1_000 < rate_of(payment, payment.versions[0].fee, rig.spendings) <= limit
            signed = rig.sign(payment, proposal.transaction)
            rig.chain.mempool[signed.txid] = signed
            await rig.mine(CONFIRMATIONS + 1)
            assert [one.txid for one in (await rig.step()).confirmed] == [signed.txid]


@pytest.mark.parametrize(("rate", "inputs"), [(LOW_RATE, 1 + MAX_EXTRA_INPUTS), (LOW_RATE + 1, 1)])
async def test_small_outputs_are_joined_only_while_fees_are_low(
    tmp_path: Path, autojump_clock: MockClock, rate: int, inputs: int
) -> None:
    async with bridge_rig(tmp_path) as rig:
        rig.chain.fee_rate = rate
        for number in range(CONSOLIDATE_ABOVE):
            rig.deposit(100_000 + number)
        rig.deposit(1_000_000)
        rig.deposit(1_000_000, b"\x07reserve")
        await rig.mine(CONFIRMATIONS + 1)
        while (await rig.step()).peg_ins:
            pass
        rig.ledger.advance(NOTHING, [burn(300_000)])
        proposal = (await rig.step()).proposal
        assert proposal is not None
        assert len(proposal.transaction.inputs) == inputs


async def test_nothing_is_proposed_without_a_request_or_without_coins(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig)
        assert await rig.step() == NOTHING
        await with_payment(rig)
        # All coins are in flight: the request waits for the change.
        rig.ledger.advance(NOTHING, [burn(300_000)] * 9)
        for _ in range(8):
            await rig.step()
        assert rig.ledger.head.peg.payments <= 4


async def test_small_outputs_hide_no_large_one(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make deposits whose txids come first."""
    monkeypatch.setattr(bridge_reads, "MAX_COINS", 3)
    monkeypatch.setattr(bridge_reads, "PAGE", 3)
    async with bridge_rig(tmp_path) as rig:
        small = [rig.deposit(100_000 + number).txid for number in range(20)]
        large = rig.deposit(5_000_000).txid
        assert min(small) < large
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step()
        rig.ledger.advance(NOTHING, [burn(4_000_000)])
        made = (await rig.step()).proposal
        assert made is not None
        assert [one.spends.txid for one in made.transaction.inputs] == [large]


async def test_outputs_below_the_minimum_are_no_part_of_a_deposit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Each would cost the federation more than it holds."""
    async with bridge_rig(tmp_path) as rig:
        script = rig.spendings[0].output_script
        small = [(99_999, script)] * 70
        for data in (b"\x14" + USER, b"\x07reserve"):
            rig.chain.pay([*small, (1_000_000, script), (0, b"\x6a" + data)])
        rig.chain.pay([*small, (0, b"\x6a\x14" + USER)])
        await rig.mine(CONFIRMATIONS + 1)
        found = (await rig.step()).peg_ins
        assert [(one.amount, len(one.outputs)) for one in found] == [(1_000_000, 1)] * 2
        totals = rig.ledger.head.peg
        assert (totals.minted, totals.reserve, totals.held, totals.outputs) == (1_000_000, 1_000_000, 2_000_000, 2)


async def test_what_bitcoin_does_not_show_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        rig.deposit(1_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        right = await rig.contents()
        (peg_in,) = right.peg_ins
        await rig.judge(right)
        other = attrs.evolve(peg_in, txid=BitcoinHash(bytes(32)))
        with pytest.raises(NotSeenOnBitcoin, match="is not in Bitcoin's best chain"):
            await rig.judge(PegContents((other,)))
        rig.deposit(500_000)
        await rig.mine(CONFIRMATIONS - 1)
        with pytest.raises(NotSeenOnBitcoin, match="is not in Bitcoin's best chain"):
            await rig.judge(PegContents(confirmed=(ConfirmedPegOut(peg_in.txid, peg_in.bitcoin_block),)))
        rig.node.down = "connection refused"
        await rig.settled_down()
        with pytest.raises(NotNow, match="connection refused"):
            await rig.judge(right)
        await rig.judge(NOTHING)


async def test_a_confirmation_is_judged(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        signed = await with_signed_payment(rig)
        rig.chain.mempool[signed.txid] = signed
        await rig.mine(CONFIRMATIONS - 1)
        block = rig.chain.blocks[-(CONFIRMATIONS - 1)].hash
        stated = PegContents(confirmed=(ConfirmedPegOut(signed.txid, block),))
        with pytest.raises(NotSeenOnBitcoin, match="has 2 confirmations, and needs 3"):
            await rig.judge(stated)
        await rig.mine()
        await rig.judge(stated)
        with pytest.raises(NotSeenOnBitcoin, match="is in the Bitcoin block"):
            await rig.judge(PegContents(confirmed=(ConfirmedPegOut(signed.txid, rig.chain.tip),)))


async def test_a_fee_rate_far_from_the_own_estimate_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig)
        rig.ledger.advance(NOTHING, [burn(300_000)])
        made = await rig.contents()
        await rig.judge(made)
        for estimate, right in ((1_100, True), (4_000, True), (4_200, False), (50_000, False)):
            rig.chain.fee_rate = estimate
            await rig.mine()
            if right:
                await rig.judge(made)
                continue
            with pytest.raises(PaymentDeclined, match="its fee rate is 2"):
                await rig.judge(made)


async def test_a_replacement_is_judged(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An author cannot raise the fees of the payees at will."""
    async with bridge_rig(tmp_path) as rig:
        first = await with_signed_payment(rig)
        await rig.step()
        await rig.mine(STUCK_BLOCKS + 1)
        made = await rig.contents()
        assert made.proposal is not None
        await rig.judge(made)
        rig.memory.signed[first.txid] += 1
        await rig.judge(made)  # this node has seen the witnesses a block later than the author
        rig.memory.signed[first.txid] += 1
        with pytest.raises(PaymentDeclined, match="has not waited for 6 Bitcoin blocks"):
            await rig.judge(made)
        rig.memory.signed[first.txid] -= 2
        rig.chain.mempool[first.txid] = first
        await rig.mine()
        with pytest.raises(NotSeenOnBitcoin, match="is in a Bitcoin block already"):
            await rig.judge(made)


@attrs.define
class NewWatch:
    """A watch that was told of no payment before. It forgets each payment again."""

    height: int = 100

    async def signed_since(self, txids: Sequence[BitcoinHash]) -> tuple[int, ...]:
        await trio.lowlevel.checkpoint()
        self.height += 1
        return (self.height,) * len(txids)


async def test_a_block_on_an_older_parent_does_not_start_the_wait_for_a_replacement_again() -> None:
    """An author could delay all replacements for ever by such blocks."""
    memory = BridgeMemory()
    proposals = Proposals(cast("BridgeReads", NewWatch()), memory, RULES)
    payment = make_payment(SPENDINGS)
    unsigned, txid = payment.versions[0], payment.versions[0].txid
    signed = attrs.evolve(payment, versions=(attrs.evolve(unsigned, signed=Height(7)),))
    await proposals.note_signed(Versions([payment], {}))
    assert memory.signed == {}
    for payments in ([signed], [payment], [signed]):
        await proposals.note_signed(Versions(payments, {}))
        assert memory.signed == {txid: 101}
    await proposals.note_signed(Versions([], {}))
    assert memory.signed == {}


async def test_the_peg_halts_and_goes_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig)
        rig.deposit(500_000)
        await rig.mine(CONFIRMATIONS + 1)
        waiting = await rig.contents()
        assert len(waiting.peg_ins) == 1
        first = rig.chain.blocks[1].transactions[0]
        rig.chain.reorganise(rig.chain.height, keep=False)
        rig.chain.mempool.clear()
        other = rig.deposit(600_000)
        await rig.mine(CONFIRMATIONS + 1)
        assert await rig.contents() == NOTHING
        with pytest.raises(
            NotSeenOnBitcoin, match=r"the peg is halted: the minted deposit .* is not on Bitcoin any more"
        ):
            await rig.judge(waiting)
        with pytest.raises(NotSeenOnBitcoin, match="the peg is halted"):
            await rig.bridge.ask(CheckNotHalted())
        rig.chain.mempool[first.txid] = first
        await rig.mine(CONFIRMATIONS + 1)
        assert [one.txid for one in (await rig.step()).peg_ins] == [other.txid]
        await rig.bridge.ask(CheckNotHalted())
        halts = [event for event in rig.logged if isinstance(event, PegHalted | PegResumed)]
        assert halts == [PegHalted(1, Sat(1_000_000), 0, first.txid), PegResumed()]


async def with_consolidation(rig: BridgeRig) -> Transaction:
    """Have outputs joined for a request that needs more of them than a payment can spend."""
    script = rig.spendings[0].output_script
    for _ in range(2):
        rig.chain.pay([*[(100_000, script)] * 60, (0, b"\x6a\x14" + USER)])
    await rig.mine(CONFIRMATIONS + 1)
    await rig.step()
    rig.ledger.advance(NOTHING, [burn(11_000_000)])
    proposal = (await rig.step()).proposal
    assert proposal is not None
    assert (len(proposal.transaction.inputs), len(proposal.transaction.outputs)) == (100, 1)
    return proposal.transaction


async def test_a_request_that_needs_too_many_outputs_is_paid_although_the_reserve_is_empty(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It blocked all payments until a deposit to the reserve."""
    async with bridge_rig(tmp_path) as rig:
        joined = await with_consolidation(rig)
        (payment,) = rig.ledger.payments()
        assert rig.ledger.head.peg.owed == 11_000_000 - payment.reserve_fee
        assert await rig.step() == NOTHING, "the change of the payment in flight is enough"
        rig.chain.mempool[joined.txid] = rig.sign(payment, joined)
        await rig.mine(CONFIRMATIONS + 1)
        assert len((await rig.step()).confirmed) == 1
        assert rig.ledger.head.peg.reserve == 0
        made = (await rig.step()).proposal
        assert made is not None
        assert made.transaction.outputs[0].amount > 10_900_000


async def test_a_consolidation_that_cannot_be_replaced_stops_no_payment(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Each author proposed a newer version, which the reserve could not pay for, and nothing else."""
    async with bridge_rig(tmp_path) as rig:
        joined = rig.sign_only(await with_consolidation(rig))
        rig.signed.append(joined)
        assert (await rig.step()).finalized == (joined,)
        await rig.step()
        rig.chain.fee_rate = 10_000
        rig.deposit(20_000_000)
        await rig.mine(STUCK_BLOCKS + CONFIRMATIONS)
        assert len((await rig.step()).peg_ins) == 1
        made = (await rig.step()).proposal
        assert made is not None
        assert made.replaces is None
        assert len(made.transaction.outputs) == 2
        rig.deposit(500_000, b"\x07reserve")
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step()
        newer = (await rig.step()).proposal
        assert newer is not None
        assert newer.replaces == joined.txid


def unfair(rig: BridgeRig) -> PegOutProposal:
    """A proposal that spends the smallest outputs, all below 5,000,000 sat."""
    coins = [
        Coin(outpoint, amount, 0, rig.spendings[0].weight)
        for amount, outpoint in (coin_of(key) for table, key in rig.ledger.entries if table is Table.COINS)
        if amount < 5_000_000
    ]
    requests = {(PegOutRequest, key): rig.ledger.entries[table, key] for table, key in rig.ledger.entries
                if table is Table.REQUESTS}  # fmt: skip
    draft = Draft(rig.ledger.head.peg, cast("dict[Key, Value | None]", requests))
    wish = Wish(2_000, rig.ledger.rules.peg_out_max_fee_rate, "smallest-first")
    made = make_proposal(draft, coins, wish, rig.spendings, make_transaction)
    assert made is not None
    return made


async def test_an_unfair_choice_of_outputs_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with bridge_rig(tmp_path) as rig:
        script = rig.spendings[0].output_script
        rig.chain.pay([*[(100_000 + place, script) for place in range(30)], (0, b"\x6a\x14" + USER)])
        rig.deposit(5_000_000)
        await rig.mine(CONFIRMATIONS + 1)
        await rig.step()
        rig.ledger.advance(NOTHING, [burn(2_000_000)])
        right = await rig.contents()
        await rig.judge(right)
        with pytest.raises(PaymentDeclined, match=r"spends \d\d outputs, and 1 are enough"):
            await rig.judge(PegContents(proposal=unfair(rig)))


async def test_the_outputs_of_a_block_are_judged_with_the_changes_that_it_confirms(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """An author could spend many small outputs while the large one was in flight."""
    async with bridge_rig(tmp_path) as rig:
        await with_deposit(rig, 6_000_000)
        rig.ledger.advance(NOTHING, [burn(300_000)])
        first = (await rig.step()).proposal
        assert first is not None
        script = rig.spendings[0].output_script
        rig.chain.pay([*[(100_000 + place, script) for place in range(30)], (0, b"\x6a\x14" + USER)])
        rig.chain.mempool[first.transaction.txid] = rig.sign_only(first.transaction)
        await rig.mine(CONFIRMATIONS + 1)
        ready = await rig.contents()
        assert (len(ready.confirmed), len(ready.peg_ins)) == (1, 1)
        rig.ledger.advance(PegContents(peg_ins=ready.peg_ins), [burn(2_000_000)])
        alone = PegContents(proposal=unfair(rig))
        await rig.judge(alone)
        with pytest.raises(PaymentDeclined, match=r"spends \d\d outputs, and 1 are enough"):
            await rig.judge(attrs.evolve(alone, confirmed=ready.confirmed))
