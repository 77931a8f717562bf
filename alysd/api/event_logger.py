"""Writes log lines for the events on the node's bus, and for children that fail and work again.

Repeated failures, missed slots and halts are logged about once per minute, not in every slot.
"""

import re

import trio

from alysd.errors import named_silent
from alysd.messages.events import (
    BlockProduced,
    ChainEvent,
    EvidenceFound,
    HeadMoved,
    OperationsMoved,
    ProductionHalted,
    QuorumChanged,
    SlotMissed,
)
from alysd.messages.log.base import log
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
from alysd.types.units import Slot
from alysd.wire.hex import to_hex

EVENTS_WAITING = 1024
"""The maximum number of events that wait to be logged: some minutes of a busy node."""

HALTED_EVERY_SLOTS = 30
"""Slots between two log lines about a halted chain: one minute with slots of two seconds."""

FAILED = frozenset({State.CRASHED, State.START_FAILED})
"""States of a child that has failed. When it works again, `ChildReturned` is logged."""

SAME_FAILURE_SECONDS = 60.0
"""Seconds for which a failure is not logged again, if the child fails repeatedly with the same text."""

UP_FOR_SECONDS = 2.0
"""Seconds for which a child must run before `ChildReturned` is logged.

A child may fail again at its first call.
"""

MISSED_EVERY_SLOTS = 30
"""Slots for which one reason for missed slots is not logged again."""

_NUMBER = re.compile(r"[0-9][0-9.]*")


class EventLogger:
    """Logs events and failures. `run` is a task of the tree, `child_changed` the observer of the whole tree."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._failures: dict[str, tuple[str, float]] = {}
        self._returned: dict[str, float] = {}
        self._missed = 0
        self._reason = ""
        self._logged_at = Slot(0)
        self._halted_at = Slot(0)

    async def run(self) -> None:
        """Log the chain's events, and the children that work again. Never returns."""
        with self._bus.subscribe(ChainEvent, capacity=EVENTS_WAITING) as events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_returns)
                async for event in events:
                    self._log_event(event)

    def _log_event(self, event: ChainEvent) -> None:
        match event:
            case BlockProduced():
                self._log_block(event)
            case SlotMissed():
                self._log_missed(event)
            case ProductionHalted(slot, waiting) if abs(slot - self._halted_at) >= HALTED_EVERY_SLOTS:
                self._halted_at = slot
                log(ChainHalted(waiting))
            case EvidenceFound(evidence, offenders):
                for authority, key in offenders:
                    slot, words = evidence.second.block.slot, evidence.offence.value
                    log(EvidenceAgainst(authority, to_hex(key), slot, words))
            case QuorumChanged(slot, quorum, found, silent, _, of) if event.lost:
                log(QuorumLost(slot, found, quorum, named_silent(silent), of))
            case QuorumChanged():
                log(QuorumBack(event.slot, event.slots))
            case HeadMoved(_, new, removed) if removed:
                log(ChainReorganised(removed, new.head.height))
            case OperationsMoved(moves):
                for one in moves.moves:
                    log(PegOperationMoved.of(one, moves.height))
                if moves.left_out:
                    log(PegOperationsNotLogged(moves.height, moves.left_out))
            case _:
                pass  # a head that moved forward, or a halt that is logged already

    def _log_block(self, event: BlockProduced) -> None:
        if self._missed:
            log(SlotsResumed(self._missed))
        self._missed, self._reason = 0, ""
        block = event.signed.block
        ms = round(event.seconds * 1000)
        log(BlockMade(block.height, len(block.payload.transactions), ms, event.signed.hash))

    def _log_missed(self, event: SlotMissed) -> None:
        self._missed += event.count
        # Numbers in a reason, such as the seconds until the next attempt, differ every time.
        reason = _NUMBER.sub("", event.reason)
        if reason == self._reason and abs(event.slot - self._logged_at) < MISSED_EVERY_SLOTS:
            return
        self._reason, self._logged_at = reason, event.slot
        log(SlotsMissed(event.slot, event.count, event.reason))

    def child_changed(self, change: Change) -> None:
        """Log a child's failure, and remember the child. Called by the runtime for every change of state."""
        if change.new in FAILED:
            self._returned.pop(change.name, None)
            words = f"{type(change.error).__name__}: {change.error}"
            said, at = self._failures.get(change.name, ("", 0.0))
            if words != said or change.at - at >= SAME_FAILURE_SECONDS:
                self._failures[change.name] = (words, change.at)
                log(ChildFailed(change.name, words))
        elif change.new is State.RUNNING and change.name in self._failures:
            self._returned[change.name] = change.at

    async def _follow_returns(self) -> None:
        while True:
            await trio.sleep(1.0)
            for name, at in [*self._returned.items()]:
                if trio.current_time() - at >= UP_FOR_SECONDS:
                    del self._returned[name], self._failures[name]
                    log(ChildReturned(name))
