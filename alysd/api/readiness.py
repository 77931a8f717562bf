"""Tells the service manager (systemd) that the node is ready, its present work, and that its event loop runs.

READY is sent once the execution client follows the node's head, so that the node can make the next slot's block.
systemd restarts a node that does not feed its watchdog. Therefore the watchdog shows only that the event loop
runs: a restart would not help against an execution client that is down, or an actor that an operator has
suspended. The status line and `alysd.api.node_health` show whether blocks are made.
"""

from collections.abc import Callable
from typing import Protocol

import trio

from alysd.consensus.aura import slot_at, slot_start
from alysd.errors import Refused
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import Engine, SetForkchoice
from alysd.messages.log.base import log
from alysd.messages.log.process import NotReady
from alysd.nurseries import Address, NotAnswered
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.federation import Role
from alysd.types.units import Slot

STATUS_SECONDS = 10.0
"""Seconds between two updates of the status line. The head that the line shows is at most a few slots old."""

FEEDS_PER_INTERVAL = 3
"""The number of watchdog messages per interval. It is more than one, so that one message may be lost."""

SLOTS_UNTIL_SAID = 3
"""If more slots than this have had no new head, the status line says so."""


class ServiceManager(Protocol):
    """The service manager: systemd, by `alysd.integrations.systemd.Notifier`."""

    @property
    def watchdog_seconds(self) -> float | None:
        """The interval of the watchdog in seconds; None without a watchdog."""
        ...

    def ready(self) -> object:
        """Report that the node can make or follow blocks."""
        ...

    def watchdog(self) -> object:
        """Report that the event loop runs."""
        ...

    def status(self, text: str) -> object:
        """Set the status line, which describes the node's present work."""
        ...


class Readiness:
    """Reports readiness and feeds the watchdog. `run` is a task of the tree.

    `on_ready` is called once, with the seconds until the first slot in which the node can make a block, or None
    for a follower.
    """

    def __init__(
        self,
        spec: ChainSpec,
        clock: Clock,
        chain: Address[Chain],
        engine: Address[Engine],
        manager: ServiceManager,
        on_ready: Callable[[float | None], None],
        timing: Timing,
        role: Role,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._chain = chain
        self._engine = engine
        self._manager = manager
        self._on_ready = on_ready
        self._timing = timing
        self._role: Role = role
        self._reported = False

    async def run(self) -> None:
        """Feed the watchdog, report READY once the execution client follows, and update the status line.

        Never returns.
        """
        async with trio.open_nursery() as nursery:
            if (interval := self._manager.watchdog_seconds) is not None:
                nursery.start_soon(self._feed_watchdog, interval / FEEDS_PER_INTERVAL)
            await self._until_ready()
            if not self._reported:
                self._reported = True
                self._on_ready(None if self._role == "follower" else self._first_slot_in())
            self._manager.ready()
            while True:
                self._manager.status(await self._status())
                await trio.sleep(STATUS_SECONDS)

    async def _feed_watchdog(self, seconds: float) -> None:
        while True:
            self._manager.watchdog()
            await trio.sleep(seconds)

    async def _until_ready(self) -> None:
        said = ""
        while True:
            try:
                tip = await self._chain.ask(GetForkchoice(), seconds=self._timing.readiness_ask)
                await self._engine.ask(SetForkchoice(tip), seconds=self._timing.readiness_ask)
            except (NotAnswered, Refused) as error:
                self._manager.status(f"not ready: {error}")
                if type(error).__name__ != said:
                    said = type(error).__name__
                    log(NotReady(str(error)))
                await trio.sleep(self._timing.readiness_retry)
            else:
                return

    async def _status(self) -> str:
        try:
            tip = await self._chain.ask(GetForkchoice(), seconds=self._timing.readiness_ask)
        except (NotAnswered, Refused) as error:
            return f"no answer from the chain: {error}"
        return status_text(tip, self._role, self._clock.time(), self._spec.slot_seconds)

    def _first_slot_in(self) -> float:
        now = self._clock.time()
        slot = Slot(slot_at(now, self._spec.slot_seconds) + 1)
        return slot_start(slot, self._spec.slot_seconds) - now


def status_text(tip: Forkchoice, role: Role, now: float, slot_seconds: int) -> str:
    """The text of the status line. `now` is in Unix seconds."""
    blocks = f"head {tip.head.height}, final {tip.finalized.height}"
    slots = (now - tip.head.timestamp) / slot_seconds
    if slots < 0:
        return f"the head is {-slots:.0f} slots in the future: check the clock; {blocks}"
    if slots > SLOTS_UNTIL_SAID:
        return f"no block for {slots:.0f} slots; {blocks}" if tip.head.height else "no block yet"
    return f"{'follows the chain' if role == 'follower' else 'makes blocks'}: {blocks}"
