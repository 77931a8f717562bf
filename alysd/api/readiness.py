"""Readiness and watchdog: tells the service manager when the node can make blocks, and that it goes on to.

READY is said once the execution client follows the node's head: from then on the next slot's block can be made.
The watchdog is fed by what a slot comes to, a block or the deliberate halt of a chain without work; a node that
misses its slots does not feed it, and systemd restarts it (docs/operating.md).
"""

from collections.abc import Callable
from typing import Protocol

import trio

from alysd.consensus.aura import slot_at, slot_start
from alysd.errors import Refused
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import Engine, SetForkchoice
from alysd.messages.events import BlockProduced, ProductionHalted
from alysd.messages.log.base import log
from alysd.messages.log.process import NotReady
from alysd.nurseries import Address, Bus, NotAnswered
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainSpec
from alysd.types.units import Slot


class ServiceManager(Protocol):
    """What is told: systemd, by `alysd.integrations.systemd.Notifier`."""

    def ready(self) -> object:
        """The node can make blocks."""
        ...

    def watchdog(self) -> object:
        """The node keeps its slots."""
        ...


class Readiness:
    """`run` is a task of the tree; `on_ready` is called once, with the seconds until the first slot."""

    def __init__(
        self,
        spec: ChainSpec,
        clock: Clock,
        chain: Address[Chain],
        engine: Address[Engine],
        bus: Bus,
        manager: ServiceManager,
        on_ready: Callable[[float], None],
        timing: Timing,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._chain = chain
        self._engine = engine
        self._bus = bus
        self._manager = manager
        self._on_ready = on_ready
        self._timing = timing
        self._said = False

    async def run(self) -> None:
        """Wait until the node can make blocks, say so, then feed the watchdog. Never returns."""
        with (
            self._bus.subscribe(BlockProduced, capacity=1) as blocks,
            self._bus.subscribe(ProductionHalted, capacity=1) as halts,
        ):
            await self._until_ready()
            if not self._said:
                self._said = True
                self._on_ready(self._first_slot_in())
            self._manager.ready()
            async with trio.open_nursery() as nursery:
                for events in (blocks, halts):
                    nursery.start_soon(self._feed, events)

    async def _until_ready(self) -> None:
        said = ""
        while True:
            try:
                tip = await self._chain.ask(GetForkchoice(), seconds=self._timing.readiness_ask)
                await self._engine.ask(SetForkchoice(tip), seconds=self._timing.readiness_ask)
            except (NotAnswered, Refused) as error:
                if type(error).__name__ != said:
                    said = type(error).__name__
                    log(NotReady(str(error)))
                await trio.sleep(self._timing.readiness_retry)
            else:
                return

    async def _feed(self, events: trio.abc.ReceiveChannel[object]) -> None:
        async for _ in events:
            self._manager.watchdog()

    def _first_slot_in(self) -> float:
        now = self._clock.time()
        slot = Slot(slot_at(now, self._spec.slot_seconds) + 1)
        return slot_start(slot, self._spec.slot_seconds) - now
