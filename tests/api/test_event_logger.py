"""Events of the node as log lines: each thing is logged once, and everyday changes are not."""

import trio
import trio.testing
from trio.testing import MockClock

from alysd.api.event_logger import HALTED_EVERY_SLOTS, MISSED_EVERY_SLOTS, EventLogger
from alysd.messages.events import (
    BlockProduced,
    EvidenceFound,
    HeadMoved,
    OperationsMoved,
    ProductionHalted,
    QuorumChanged,
    SlotMissed,
)
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import (
    BlockMade,
    ChainHalted,
    ChainReorganised,
    EvidenceAgainst,
    QuorumBack,
    QuorumLost,
    SlotsMissed,
    SlotsResumed,
)
from alysd.messages.log.peg import PegOperationMoved, PegOperationsNotLogged
from alysd.messages.log.process import ChildFailed, ChildReturned
from alysd.nurseries import Bus, Change, State
from alysd.testing.chain import ChainHand, chain_spec
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BitcoinHash, BlsPublicKey
from alysd.types.peg_operation import OperationMoves, OperationState, PegOperation
from alysd.types.units import Height, Sat, Slot
from tests.samples import evidence

HAND = ChainHand.of(chain_spec())
HEAD = Forkchoice(HAND.genesis_state, HAND.genesis_state, HAND.genesis_state)


async def publish(*events: object) -> None:
    """Have a running event logger see these events."""
    bus = Bus()
    logger = EventLogger(bus)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logger.run)
        await trio.testing.wait_all_tasks_blocked()
        for event in events:
            bus.publish(event)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_block_is_one_line(logged: list[LogEvent]) -> None:
    await publish(BlockProduced(HAND.genesis, 0.0123))
    assert logged == [BlockMade(HAND.genesis.block.height, 0, 12, HAND.genesis.hash)]


async def test_missed_slots_say_why_and_how_many(logged: list[LogEvent]) -> None:
    await publish(SlotMissed(Slot(7), 1, "no answer"), SlotMissed(Slot(8), 3, "held up"))
    assert logged == [SlotsMissed(Slot(7), 1, "no answer"), SlotsMissed(Slot(8), 3, "held up")]


async def test_the_same_reason_is_logged_once_a_minute_and_the_sum_when_blocks_resume(
    logged: list[LogEvent],
) -> None:
    misses = [SlotMissed(Slot(slot), 1, f"engine is down, next attempt in {slot}.5 s") for slot in range(40)]
    await publish(*misses, BlockProduced(HAND.genesis, 0.01), BlockProduced(HAND.genesis, 0.01))
    assert [event.slot for event in logged if isinstance(event, SlotsMissed)] == [0, MISSED_EVERY_SLOTS]
    assert logged[2] == SlotsResumed(40)
    assert [event.name for event in logged[3:]] == ["block", "block"]


async def test_a_clock_that_was_a_year_ahead_does_not_silence_the_log_for_a_year(logged: list[LogEvent]) -> None:
    year = 365 * 43_200
    await publish(*(SlotMissed(Slot(slot), 1, "no answer") for slot in (1000 + year, 1001, 1002)))
    assert [event.slot for event in logged if isinstance(event, SlotsMissed)] == [1000 + year, 1001]
    await publish(*(ProductionHalted(Slot(slot), 21) for slot in (1000 + year, 1001, 1002)))
    assert len([event for event in logged if isinstance(event, ChainHalted)]) == 2


async def test_only_a_head_that_displaces_blocks_is_a_reorganisation(logged: list[LogEvent]) -> None:
    await publish(HeadMoved(HEAD, HEAD, 0), HeadMoved(HEAD, HEAD, 2))
    assert logged == [ChainReorganised(2, HEAD.head.height)]


async def test_a_halt_is_logged_now_and_then_not_every_slot(logged: list[LogEvent]) -> None:
    await publish(*(ProductionHalted(Slot(slot), 21) for slot in range(100, 100 + 2 * HALTED_EVERY_SLOTS)))
    assert logged == [ChainHalted(21), ChainHalted(21)]


async def test_a_failure_is_logged_once_a_minute_and_a_return_when_it_holds(
    logged: list[LogEvent], autojump_clock: MockClock
) -> None:
    logger = EventLogger(Bus())

    def change(old: State, new: State, error: Exception | None = None) -> None:
        logger.child_changed(Change("engine", old, new, error, trio.current_time()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(logger.run)
        change(State.STARTING, State.RUNNING)
        for _ in range(20):
            change(State.RUNNING, State.CRASHED, ConnectionError("nobody there"))
            await trio.sleep(4)
            change(State.RESTARTING, State.RUNNING)
        await trio.sleep(10)
        change(State.RUNNING, State.STOPPING)
        nursery.cancel_scope.cancel()
    failed = ChildFailed("engine", "ConnectionError: nobody there")
    assert logged == [failed, failed, ChildReturned("engine")]


async def test_evidence_is_one_line_per_authority(logged: list[LogEvent]) -> None:
    """The members could not find out whose machine to look at."""
    keys = tuple(BlsPublicKey(bytes([index]) * 48) for index in (0, 2))
    await publish(EvidenceFound(evidence(7, 0, 2), ((0, keys[0]), (2, keys[1]))))
    assert logged == [
        EvidenceAgainst(0, "0x" + "00" * 48, Slot(7), "two blocks of one slot"),
        EvidenceAgainst(2, "0x" + "02" * 48, Slot(7), "two blocks of one slot"),
    ]


async def test_a_lost_quorum_is_logged_with_the_silent_authorities(logged: list[LogEvent]) -> None:
    """Nobody would know whom to call."""
    await publish(QuorumChanged(Slot(8), 3, 2, ((1, Slot(5)), (3, None)), 0), QuorumChanged(Slot(11), 3, 4, (), 3))
    silent = "authority 1 (last heard in slot 5), 3 (not heard since this node's start)"
    assert logged == [QuorumLost(Slot(8), 2, 3, silent), QuorumBack(Slot(11), 3)]


async def test_each_operation_that_a_block_moves_is_one_line(logged: list[LogEvent]) -> None:
    """Nobody could say when a deposit was credited, or why a burn was not paid."""
    one = PegOperation(OperationState.MINTED, Sat(70_000), None, 4, Height(9), deposit=BitcoinHash(b"\x07" * 32))
    await publish(OperationsMoved(OperationMoves(Height(9), (one, one), 3)))
    assert logged == [PegOperationMoved.of(one, Height(9))] * 2 + [PegOperationsNotLogged(Height(9), 3)]
    await publish(OperationsMoved(OperationMoves(Height(9), (one,), 0)))
    assert len(logged) == 4
