"""The choice of an own block's peg contents: what the bridge names, what has room, and refunds in any case."""

import attrs
import pytest
from trio.testing import MockClock

from alysd.errors import NotNow, Refused
from alysd.messages.bridge import Bridge, GetPegContents
from alysd.messages.chain import Chain, GetEntries
from alysd.messages.log.base import LogEvent
from alysd.messages.log.peg import PegContentsLeftOut
from alysd.testing.blocks import make_header
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.peg import PEG_GENESIS, USER, any_proposal, any_transaction, confirmed, peg_in
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.peg import RESERVE, PegContents, PegTotals, Refund
from alysd.types.tables import Table
from alysd.types.units import Gwei, Sat, SatSum
from alysd.workflows.peg_contents import LONGEST_PAUSE, ChosenContents, ContentsPause, PegAuthor

DEPOSIT = PegContents(peg_ins=(peg_in("deposit", 200_000),))
MINT = (USER, Gwei(2_000_000))
REFUND = Refund(EvmAddress(b"\x55" * 20), Sat(70_000))
REFUNDED = (REFUND.recipient, Gwei(700_000))
OWING = PegTotals(burned=SatSum(70_000), refunds_due=Sat(70_000), next_refund=1)


class Author:
    """A `PegAuthor` beside a bridge and a chain, whose ledger has at most one refund."""

    def __init__(self, spec: ChainSpec | None = None, *, bridge: bool = True) -> None:
        transcript = ActorTestHarness().transcript
        self.hand = ChainHand.of(spec or chain_spec(execution_genesis=PEG_GENESIS))
        self.chain, self.bridge = StandIn[Chain]("chain", transcript), StandIn[Bridge]("bridge", transcript)
        self.author = PegAuthor(self.hand.context, self.chain, self.bridge if bridge else None, Timing(2))
        self.chain.on(GetEntries).computes(
            lambda message: tuple(REFUND if table is Table.REFUNDS else None for table, _ in message.keys)
        )

    def after(self, totals: PegTotals) -> ChainState:
        """The state after the genesis block, but with these sums of the ledger."""
        return attrs.evolve(self.hand.genesis_state, peg=totals)

    async def choose(self, totals: PegTotals = PegTotals()) -> ChosenContents:  # noqa: B008  it is frozen
        return await self.author.choose(self.after(totals), None, ContentsPause())


async def test_what_the_bridge_names_is_minted(autojump_clock: MockClock, no_threads: None) -> None:
    world = Author()
    world.bridge.on(GetPegContents).answers(DEPOSIT)
    assert await world.choose() == ChosenContents(DEPOSIT, (MINT,))
    assert await world.choose(OWING) == ChosenContents(DEPOSIT, (MINT, REFUNDED))


async def test_a_chain_without_a_peg_asks_nobody(autojump_clock: MockClock, no_threads: None) -> None:
    world = Author(chain_spec())
    assert await world.choose() == ChosenContents(PegContents(), ())
    assert world.bridge.received == world.chain.received == []


@pytest.mark.parametrize("error", [NotNow("the Bitcoin node does not answer"), Refused("no"), None])
async def test_refunds_are_paid_without_an_answer_of_the_bridge(
    error: Exception | None, autojump_clock: MockClock, no_threads: None
) -> None:
    world = Author()
    if error is None:
        world.bridge.on(GetPegContents).keeps_silent()
    else:
        world.bridge.on(GetPegContents).fails(error)
    assert await world.choose(OWING) == ChosenContents(PegContents(), (REFUNDED,))


async def test_a_node_without_bitcoin_pays_refunds(autojump_clock: MockClock, no_threads: None) -> None:
    world = Author(bridge=False)
    assert await world.choose(OWING) == ChosenContents(PegContents(), (REFUNDED,))
    assert await world.choose() == ChosenContents(PegContents(), ())


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (PegContents(peg_ins=(peg_in("deposit", 5),)), "BadDeposit"),
        (PegContents(peg_ins=DEPOSIT.peg_ins * 2), "AlreadyMinted"),
        (PegContents(proposal=any_proposal()), "UnknownOutput"),
        (PegContents(finalized=(any_transaction(),)), "UnknownPayment"),
        (PegContents(confirmed=(confirmed("payment"),)), "UnknownPayment"),
    ],
)
async def test_contents_that_break_a_rule_do_not_cost_the_slot(
    wrong: PegContents, rule: str, autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """The block would be refused by everybody, also by this node."""
    world = Author()
    world.bridge.on(GetPegContents).answers(wrong)
    assert await world.choose(OWING) == ChosenContents(PegContents(), (REFUNDED,))
    assert [event.rule for event in logged if isinstance(event, PegContentsLeftOut)] == [rule]


async def test_a_part_that_breaks_a_rule_does_not_stop_the_others(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """Witnesses that no block can have would stop all deposits, in every slot of every author."""
    world = Author()
    wrong = attrs.evolve(DEPOSIT, finalized=(any_transaction(),), confirmed=(confirmed("payment"),))
    world.bridge.on(GetPegContents).answers(wrong)
    assert await world.choose(OWING) == ChosenContents(DEPOSIT, (MINT, REFUNDED))
    assert [event.rule for event in logged if isinstance(event, PegContentsLeftOut)] == ["UnknownPayment"] * 2


async def test_only_what_has_room_is_taken(autojump_clock: MockClock, no_threads: None) -> None:
    """Fees come first, and one withdrawal is left to refunds."""
    world = Author()
    many = [peg_in(f"d{place}", 200_000, to=EvmAddress(bytes([place + 1]) * 20)) for place in range(20)]
    again, reserve = peg_in("again", 200_000, to=many[0].recipient), peg_in("reserve", 200_000, to=RESERVE)
    world.bridge.on(GetPegContents).answers(PegContents(peg_ins=(*many, again, reserve)))
    chosen = await world.choose()
    assert chosen.contents.peg_ins == (*many[:16], again, reserve)
    assert len(chosen.mints) == 16
    chosen = await world.choose(OWING)
    assert (chosen.contents.peg_ins, chosen.mints[-1]) == ((*many[:15], again, reserve), REFUNDED)
    rich = attrs.evolve(world.hand.genesis_state, unpaid_fees=10**18)
    header = make_header(rich, [rich], world.hand.spec, 1)
    with_fees = await world.author.choose(rich, header, ContentsPause())
    assert with_fees.contents.peg_ins == (*many[:14], again, reserve)


async def test_an_empty_choice_asks_no_bridge_and_pays_refunds(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = Author()
    world.bridge.on(GetPegContents).answers(DEPOSIT)
    pause = ContentsPause()
    pause.note(DEPOSIT, approved=False)
    chosen = await world.author.choose(world.after(OWING), None, pause)
    assert chosen == ChosenContents(PegContents(), (REFUNDED,))
    assert world.bridge.received == []


async def test_a_declined_proposal_does_not_keep_deposits_waiting(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """While the members' fee estimates differed, no deposit was minted: each block also had a proposal."""
    world = Author()
    both = attrs.evolve(DEPOSIT, proposal=any_proposal())
    world.bridge.on(GetPegContents).answers(both)
    pause = ContentsPause()
    pause.note(both, approved=False)
    assert pause.leaves_out()
    assert (await world.author.choose(world.after(OWING), None, pause)).contents == DEPOSIT
    assert logged == [], "the proposal, which breaks a rule, was not even tried"
    pause.note(DEPOSIT, approved=True)
    await world.author.choose(world.after(OWING), None, pause)
    assert [event.rule for event in logged if isinstance(event, PegContentsLeftOut)] == ["UnknownOutput"]


async def test_a_proposal_alone_is_tried_again(autojump_clock: MockClock, no_threads: None) -> None:
    world = Author()
    alone = PegContents(proposal=any_proposal())
    world.bridge.on(GetPegContents).answers(alone)
    pause = ContentsPause()
    pause.note(alone, approved=False)
    assert pause.leaves_out()
    assert (await world.author.choose(world.after(OWING), None, pause)).contents == PegContents()
    pause.note(PegContents(), approved=True)
    assert not pause.leaves_out()
    assert not pause.leaves_out_proposal()


def test_contents_that_get_no_quorum_are_left_out_for_longer_and_longer() -> None:
    pause = ContentsPause()
    pauses: list[int] = []
    for _ in range(6):
        assert not pause.leaves_out(), "every pause ends"
        pause.note(DEPOSIT, approved=False)
        blocks = 0
        while pause.leaves_out():
            pause.note(PegContents(), approved=True)  # a block without contents tells nothing about them
            blocks += 1
        pauses.append(blocks)
    assert pauses == [1, 2, 4, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    pause.note(DEPOSIT, approved=True)
    pause.note(DEPOSIT, approved=False)
    assert [pause.leaves_out() for _ in range(2)] == [True, False]


def test_a_block_that_is_approved_late_ends_the_pause() -> None:
    pause = ContentsPause()
    pause.note(DEPOSIT, approved=False)
    pause.note(DEPOSIT, approved=True)
    assert not pause.leaves_out()
