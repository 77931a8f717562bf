"""Watches the wall clock of the machine: logs its steps, and decides whether blocks may be made."""

import trio

from alysd.consensus.clock_trust import STEADY_SECONDS, ClockTrust
from alysd.errors import StoreError
from alysd.messages.log.base import log
from alysd.messages.log.process import ClockBelieved, ClockFarAhead, ClockStepNotKept, ClockStepped
from alysd.ports import Clock, StepMemory

LOOK_SECONDS = 1.0
"""The interval, in seconds, between two checks of the clock."""


class ClockWatch:
    """Decides for the whole node whether the wall clock is trusted.

    It outlives restarts of the children that ask it. `slot_seconds` is the largest tolerated step. `memory` keeps
    an open step, which is one that is not trusted yet (`consensus.clock_trust`), over a restart of the node.
    `newest` is the Unix time of the newest block or signature; None if there is none, and for a follower, which
    makes no blocks.
    """

    def __init__(
        self,
        clock: Clock,
        slot_seconds: int,
        memory: StepMemory | None = None,
        newest: float | None = None,
    ) -> None:
        self._clock = clock
        self._memory = memory
        self._kept = None if memory is None else memory.read()
        self._trust = ClockTrust.at_start(
            clock.time(), clock.boottime(), slot_seconds, believed=self._kept, newest=newest
        )
        self._logged: float | None = None

    def look(self) -> ClockTrust:
        """Check the clock now. Logs a new step, and the end of a step."""
        before = self._trust
        self._trust = trust = before.look(self._clock.time(), self._clock.boottime())
        if trust.step and trust.since != self._logged:
            self._logged = trust.since
            log(ClockFarAhead(trust.step) if trust.by_chain else ClockStepped(trust.step, trust.steady_for))
        elif before.step and not trust.step:
            self._believe(before.step if before.present == trust.present else 0.0)
        return trust

    def accept(self) -> float:
        """Trust the present time, because the operator accepts it.

        Returns the step, in seconds, that is now accepted; 0 if the clock was trusted already.
        """
        step = self.look().step
        if step:
            self._trust = self._trust.accept()
            self._believe(step)
        return step

    def doubt(self) -> str:
        """The reason why no block may be made now, as a sentence; empty if blocks may be made."""
        trust = self.look()
        if not trust.step:
            return ""
        if trust.by_chain:
            return (
                f"the newest block is {trust.step / 86_400:.0f} days older than the time of this machine's clock: "
                "no block is made until the clock is set right, or is accepted with `alysd clock accept`"
            )
        way = "forward" if trust.step > 0 else "back"
        words = "" if trust.implausible else f"has been steady for {STEADY_SECONDS / 60:.0f} minutes, "
        return (
            f"the clock of this machine was set {way} by {abs(trust.step):.0f} s: no block is made until "
            f"the clock is right, {words}or is accepted with `alysd clock accept`"
        )

    async def run(self) -> None:
        """Check the clock every second, so that a step is logged and kept at once. Never returns."""
        while True:
            self.look()
            await self._keep()
            await trio.sleep(LOOK_SECONDS)

    def _believe(self, step: float) -> None:
        self._logged = None
        log(ClockBelieved(step))

    async def _keep(self) -> None:
        """Keep an open step, or forget it after its end. A disk that fails does not stop the node."""
        believed = self._trust.open_step
        if self._memory is None or believed == self._kept:
            return
        try:
            await trio.to_thread.run_sync(self._memory.write, believed)
        except StoreError as error:
            log(ClockStepNotKept(str(error)))
        self._kept = believed
