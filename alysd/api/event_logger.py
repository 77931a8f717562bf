"""The journal: turns what happens in the node into the lines of its log. `alysd.api.console_log` draws them."""

import re

import structlog
import trio

from alysd.messages.events import BlockProduced, ChainEvent, HeadMoved, ProductionHalted, SlotMissed
from alysd.nurseries import Bus, Change, State
from alysd.types.units import Slot

EVENTS_WAITING = 1024
"""Some minutes of a busy node: a log that a slow terminal holds up loses its oldest lines, not a slot."""

HALTED_EVERY_SLOTS = 30
"""A halted chain says so about once a minute: loud, and the rest of the log stays readable."""

FAILED = frozenset({State.CRASHED, State.START_FAILED})
"""Lifecycle states after which a person wants to hear of a return."""

SAME_FAILURE_SECONDS = 60.0
"""A child that fails again with the same words, as a client that is away makes it, is news once a minute."""

UP_FOR_SECONDS = 2.0
"""So long a child must live for its return to be news: one that fails at its first call has not returned."""

MISSED_EVERY_SLOTS = 30
"""The same reason for missed slots is repeated about once a minute."""

_NUMBER = re.compile(r"[0-9][0-9.]*")


class EventLogger:
    """Writes the log; `run` is a task of the tree, `child_changed` the observer of the whole tree."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._log = structlog.get_logger("alysd")
        self._failures: dict[str, tuple[str, float]] = {}
        self._returned: dict[str, float] = {}
        self._missed = 0
        self._reason = ""
        self._said_at = Slot(0)
        self._halted_at = Slot(0)

    async def run(self) -> None:
        """Follow the chain's events, and the children that return. Never returns."""
        with self._bus.subscribe(ChainEvent, capacity=EVENTS_WAITING) as events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_returns)
                async for event in events:
                    self._tell(event)

    def _tell(self, event: ChainEvent) -> None:
        match event:
            case BlockProduced():
                self._tell_block(event)
            case SlotMissed():
                self._tell_missed(event)
            case ProductionHalted(slot, waiting) if slot - self._halted_at >= HALTED_EVERY_SLOTS:
                self._halted_at = slot
                self._log.error("halted", blocks=waiting)
            case HeadMoved(_, new, removed) if removed:
                self._log.warning("reorganised", removed=removed, height=new.head.height)
            case _:
                pass  # a head that moved forward, or a halt that was told already

    def _tell_block(self, event: BlockProduced) -> None:
        if self._missed:
            self._log.info("slots_resumed", missed=self._missed)
        self._missed, self._reason = 0, ""
        block = event.signed.block
        self._log.info(
            "block",
            height=block.height,
            transactions=len(block.payload.transactions),
            ms=round(event.seconds * 1000),
            hash=event.signed.hash,
        )

    def _tell_missed(self, event: SlotMissed) -> None:
        self._missed += event.count
        # Seconds until the next attempt and the like differ every time: what is left is what is wrong.
        reason = _NUMBER.sub("", event.reason)
        if reason == self._reason and event.slot - self._said_at < MISSED_EVERY_SLOTS:
            return
        self._reason, self._said_at = reason, event.slot
        words = event.reason if event.count == 1 else f"{event.reason} ({event.count} slots)"
        self._log.warning("slot_missed", slot=event.slot, reason=words)

    def child_changed(self, change: Change) -> None:
        """Log a child's failure, the same one once a minute, and, when that has held for a while, its return."""
        if change.new in FAILED:
            self._returned.pop(change.name, None)
            words = f"{type(change.error).__name__}: {change.error}"
            said, at = self._failures.get(change.name, ("", 0.0))
            if words != said or change.at - at >= SAME_FAILURE_SECONDS:
                self._failures[change.name] = (words, change.at)
                self._log.warning("child_failed", child=change.name, error=words)
        elif change.new is State.RUNNING and change.name in self._failures:
            self._returned[change.name] = change.at

    async def _follow_returns(self) -> None:
        while True:
            await trio.sleep(1.0)
            for name, at in [*self._returned.items()]:
                if trio.current_time() - at >= UP_FOR_SECONDS:
                    del self._returned[name], self._failures[name]
                    self._log.info("child_returned", child=name)
