"""The journal: turns what happens in the node into the lines of its log. `alysd.api.face` draws them."""

import structlog
import trio

from alysd.messages.events import BlockProduced, HeadMoved, ProductionHalted, SlotMissed
from alysd.nurseries import Bus, Change, Mailbox, State
from alysd.types.units import Slot

EVENTS_WAITING = 1024
"""Some minutes of a busy node: a log that a slow terminal holds up loses its oldest lines, not a slot."""

HALTED_EVERY_SLOTS = 30
"""A halted chain says so about once a minute: loud, and the rest of the log stays readable."""

QUIET = {State.STARTING, State.RUNNING, State.STOPPING, State.STOPPED, State.UNINITIALIZED, State.RESTARTING}
"""Lifecycle states that are everyday: only what went wrong, and the return from it, is for people."""


class Journal:
    """Writes the log; `run` is a task of the tree, `child_changed` the observer of the whole tree."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._log = structlog.get_logger("alysd")
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Follow blocks, reorganisations and missed slots. Never returns."""
        with (
            self._bus.subscribe(BlockProduced, capacity=EVENTS_WAITING) as blocks,
            self._bus.subscribe(HeadMoved, capacity=EVENTS_WAITING) as heads,
            self._bus.subscribe(SlotMissed, capacity=EVENTS_WAITING) as misses,
            self._bus.subscribe(ProductionHalted, capacity=EVENTS_WAITING) as halts,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_blocks, blocks)
                nursery.start_soon(self._follow_heads, heads)
                nursery.start_soon(self._follow_misses, misses)
                nursery.start_soon(self._follow_halts, halts)

    async def _follow_blocks(self, events: Mailbox[BlockProduced]) -> None:
        async for event in events:
            block = event.signed.block
            self._log.info(
                "block",
                height=block.height,
                transactions=len(block.payload.transactions),
                ms=round(event.seconds * 1000),
                hash=event.signed.hash,
            )

    async def _follow_heads(self, events: Mailbox[HeadMoved]) -> None:
        async for event in events:
            if event.removed:
                self._log.warning("reorganised", removed=event.removed, height=event.new.head.height)

    async def _follow_misses(self, events: Mailbox[SlotMissed]) -> None:
        async for event in events:
            reason = event.reason if event.count == 1 else f"{event.reason} ({event.count} slots)"
            self._log.warning("slot_missed", slot=event.slot, reason=reason)

    async def _follow_halts(self, events: Mailbox[ProductionHalted]) -> None:
        last: Slot | None = None
        async for event in events:
            if last is None or event.slot - last >= HALTED_EVERY_SLOTS:
                last = event.slot
                self._log.error("halted", blocks=event.blocks_waiting)

    def child_changed(self, change: Change) -> None:
        """Log a child's failures with the error, and its return."""
        if change.new not in QUIET:
            self._failed.add(change.name)
            error = None if change.error is None else f"{type(change.error).__name__}: {change.error}"
            self._log.warning(
                "lifecycle", child=change.name, old=change.old.value, new=change.new.value, error=error
            )
        elif change.new is State.RUNNING and change.name in self._failed:
            self._failed.discard(change.name)
            self._log.info("lifecycle", child=change.name, old=change.old.value, new=change.new.value, error=None)
