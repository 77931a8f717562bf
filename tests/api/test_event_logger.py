"""The journal: each thing that happens is one event of the log, and everyday changes are none."""

import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from alysd.api.event_logger import HALTED_EVERY_SLOTS, MISSED_EVERY_SLOTS, EventLogger
from alysd.messages.events import BlockProduced, HeadMoved, ProductionHalted, SlotMissed
from alysd.nurseries import Bus, Change, State
from alysd.testing.chain import ChainHand, chain_spec
from alysd.types.chain import Forkchoice
from alysd.types.units import Slot

HAND = ChainHand.of(chain_spec())
HEAD = Forkchoice(HAND.genesis_state, HAND.genesis_state, HAND.genesis_state)


async def journal_of(*events: object) -> list[dict[str, object]]:
    """What a running journal writes when these events happen."""
    bus = Bus()
    with capture_logs() as lines:
        journal = EventLogger(bus)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            await trio.testing.wait_all_tasks_blocked()
            for event in events:
                bus.publish(event)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    return [dict(line) for line in lines]


async def test_a_block_is_one_line_with_what_a_person_wants_to_know() -> None:
    lines = await journal_of(BlockProduced(HAND.genesis, 0.0123))
    assert lines == [
        {
            "event": "block",
            "log_level": "info",
            "height": 0,
            "transactions": 0,
            "ms": 12,
            "hash": HAND.genesis.hash,
        }
    ]


async def test_missed_slots_say_why_and_how_many() -> None:
    lines = await journal_of(SlotMissed(Slot(7), 1, "no answer"), SlotMissed(Slot(8), 3, "held up"))
    assert [(line["event"], line["slot"], line["reason"]) for line in lines] == [
        ("slot_missed", 7, "no answer"),
        ("slot_missed", 8, "held up (3 slots)"),
    ]


async def test_the_same_reason_is_said_once_a_minute_and_the_sum_when_blocks_resume() -> None:
    misses = [SlotMissed(Slot(slot), 1, f"engine is down, next attempt in {slot}.5 s") for slot in range(40)]
    lines = await journal_of(*misses, BlockProduced(HAND.genesis, 0.01), BlockProduced(HAND.genesis, 0.01))
    assert [line["event"] for line in lines] == ["slot_missed", "slot_missed", "slots_resumed", "block", "block"]
    assert [line.get("slot") for line in lines[:2]] == [0, MISSED_EVERY_SLOTS]
    assert lines[2]["missed"] == 40


async def test_only_a_head_that_displaces_blocks_is_a_reorganisation() -> None:
    lines = await journal_of(HeadMoved(HEAD, HEAD, 0), HeadMoved(HEAD, HEAD, 2))
    assert [(line["event"], line["removed"]) for line in lines] == [("reorganised", 2)]


async def test_a_halt_is_repeated_now_and_then_not_every_slot() -> None:
    slots = range(100, 100 + 2 * HALTED_EVERY_SLOTS)
    lines = await journal_of(*(ProductionHalted(Slot(slot), 21) for slot in slots))
    assert [line["event"] for line in lines] == ["halted", "halted"]


async def test_a_failure_is_told_once_a_minute_and_a_return_when_it_holds(autojump_clock: MockClock) -> None:
    with capture_logs() as lines:
        journal = EventLogger(Bus())

        def change(old: State, new: State, error: Exception | None = None) -> None:
            journal.child_changed(Change("engine", old, new, error, trio.current_time()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            change(State.STARTING, State.RUNNING)
            for _ in range(20):
                change(State.RUNNING, State.CRASHED, ConnectionError("nobody there"))
                await trio.sleep(4)
                change(State.RESTARTING, State.RUNNING)
            await trio.sleep(10)
            change(State.RUNNING, State.STOPPING)
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in lines] == ["child_failed", "child_failed", "child_returned"]
    assert lines[0]["error"] == "ConnectionError: nobody there"
