"""Readiness and watchdog: tells the service manager when the node can make or follow blocks, and that it does so.

READY is sent once the execution client follows the node's head: from then on the next slot's block can be made. An
authority feeds the watchdog with each block that it makes, and with each slot in which a chain without work is
halted. A follower cannot cause a block, and a restart brings none: it feeds the watchdog once per slot while its
chain actor answers. A node that does not feed it is restarted by systemd (docs/operating.md).
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Protocol

import trio

from alysd.consensus.aura import slot_at, slot_start
from alysd.errors import Refused
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import Engine, SetForkchoice
from alysd.messages.events import BlockProduced, ChainEvent, ProductionHalted
from alysd.messages.log.base import log
from alysd.messages.log.process import NotReady
from alysd.nurseries import Address, Bus, NotAnswered
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainSpec
from alysd.types.federation import Role
from alysd.types.units import Slot

SLOT_NOT_MISSED: tuple[type[ChainEvent], ...] = (BlockProduced, ProductionHalted)
"""The events that feed an authority's watchdog."""


class ServiceManager(Protocol):
    """The service manager: systemd, by `alysd.integrations.systemd.Notifier`."""

    def ready(self) -> object:
        """The node can make or follow blocks."""
        ...

    def watchdog(self) -> object:
        """The node makes or follows blocks."""
        ...


class Readiness:
    """`run` is a task of the tree; `on_ready` is called once.

    It gets the seconds until the first slot in which the node can make a block, or None for a follower.
    """

    def __init__(
        self,
        spec: ChainSpec,
        clock: Clock,
        chain: Address[Chain],
        engine: Address[Engine],
        bus: Bus,
        manager: ServiceManager,
        on_ready: Callable[[float | None], None],
        timing: Timing,
        role: Role,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._chain = chain
        self._engine = engine
        self._bus = bus
        self._manager = manager
        self._on_ready = on_ready
        self._timing = timing
        self._role: Role = role
        self._reported = False

    async def run(self) -> None:
        """Wait until the execution client follows the head, say so, then feed the watchdog. Never returns."""
        with ExitStack() as stack:
            slots = [stack.enter_context(self._bus.subscribe(event, capacity=1)) for event in SLOT_NOT_MISSED]
            await self._until_ready()
            if not self._reported:
                self._reported = True
                self._on_ready(None if self._role == "follower" else self._first_slot_in())
            self._manager.ready()
            if self._role == "follower":
                await self._feed_while_answered()
            async with trio.open_nursery() as nursery:
                for events in slots:
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

    async def _feed_while_answered(self) -> None:
        while True:
            await trio.sleep(self._spec.slot_seconds)
            with suppress(NotAnswered):
                await self._chain.ask(GetForkchoice(), seconds=self._timing.readiness_ask)
                self._manager.watchdog()

    def _first_slot_in(self) -> float:
        now = self._clock.time()
        slot = Slot(slot_at(now, self._spec.slot_seconds) + 1)
        return slot_start(slot, self._spec.slot_seconds) - now
