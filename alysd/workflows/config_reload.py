"""Reloading the configuration: read → compare → apply to all parts, or roll all back.

The whole new configuration is validated first. Of its changes, those of live options are applied, and the others
are named: they wait for a restart. The options in force are always the live options of one valid configuration
together with the other options of the start.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import trio

from alysd.config.checks import cross_check
from alysd.config.difference import changed_options, with_live_options
from alysd.config.model import AlysConfig
from alysd.config.problems import InvalidConfig, Source
from alysd.errors import AlysError, ConfigRefused, Refused
from alysd.nurseries import NotAnswered
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload, ReloadOutcome


class LivePart(Protocol):
    """A part of the node whose options can change while it runs. `keys` are these options."""

    @property
    def keys(self) -> frozenset[str]:
        """The keys of its options, such as `logging.level`."""
        ...

    async def apply(self, config: AlysConfig) -> None:
        """Use the options of `config` from now on, and return once they are in use.

        Raises `Refused` if that is impossible, or `NotAnswered`.
        """
        ...


@attrs.define
class ConfigMemory:
    """The configuration in force, and the last reload. It outlives restarts of the configuration actor.

    While `unsettled`, some parts may have options other than those of `in_force`: a reload is being applied, or
    could not be rolled back.
    """

    in_force: AlysConfig
    last: Reload | None = None
    unsettled: bool = False


class ConfigReload:
    """Reloads the configuration. `load` reads and validates it, in a thread.

    It has one caller at a time, the configuration actor.
    """

    def __init__(
        self,
        memory: ConfigMemory,
        load: Callable[[], AlysConfig],
        parts: Sequence[LivePart],
        clock: Clock,
        timing: Timing,
    ) -> None:
        self._memory = memory
        self._load = load
        self._parts = parts
        self._clock = clock
        self._timing = timing
        # A thread that does not return, because a file is on a disk that hangs, keeps its place: there is one.
        self._reading = trio.CapacityLimiter(1)

    async def compare(self) -> tuple[OptionChange, ...]:
        """Return the differences of the files from the configuration in force. Raises `ConfigRefused`."""
        return changed_options(self._memory.in_force, await self._read())

    async def run(self, origin: str) -> Reload:
        """Reload. The end is kept in the memory, also if it is not accepted."""
        changes: tuple[OptionChange, ...] = ()
        outcome, reason = await self._settle()
        if not reason:
            try:
                new = await self._read()
                changes = changed_options(self._memory.in_force, new)
                outcome, reason = await self._apply(new, changes)
            except ConfigRefused as error:
                outcome, reason = "refused", str(error)
        self._memory.last = Reload(outcome, changes, reason, origin, self._clock.time())
        return self._memory.last

    async def restore(self) -> str:
        """Give all parts the options in force. Returns the problem of a part that does not take them, or ""."""
        problem = await self._give(self._memory.in_force, self._parts)
        self._memory.unsettled = bool(problem)
        return problem

    async def _settle(self) -> tuple[ReloadOutcome, str]:
        """Undo an earlier reload that could not be rolled back."""
        problem = await self.restore() if self._memory.unsettled else ""
        return "refused", f"an earlier reload is not undone yet: {problem}" if problem else ""

    async def _read(self) -> AlysConfig:
        with trio.move_on_after(self._timing.config_read):
            try:
                return await trio.to_thread.run_sync(self._load, abandon_on_cancel=True, limiter=self._reading)
            except (AlysError, OSError) as error:  # a `UserError` would stop the node
                raise ConfigRefused(str(error)) from None
        seconds = self._timing.config_read
        raise ConfigRefused(f"the configuration could not be read within {seconds:g} s: check the disk")

    async def _apply(self, new: AlysConfig, changes: Sequence[OptionChange]) -> tuple[ReloadOutcome, str]:
        memory = self._memory
        live = {one.key for one in changes if one.live}
        if not live:
            return "unchanged", ""
        joined = with_live_options(memory.in_force, new)
        if problems := cross_check(joined, {}, Source("without a restart")):
            raise ConfigRefused(str(InvalidConfig(problems)))
        parts = [part for part in self._parts if part.keys & live]
        memory.unsettled = True
        refusal = await self._give(joined, parts)
        if not refusal:
            memory.in_force, memory.unsettled = joined, False
            return "applied", ""
        undone = await self._give(memory.in_force, parts)
        memory.unsettled = bool(undone)
        if undone:
            refusal += f"; the roll-back failed too, and is tried again: {undone}"
        return "rolled_back", refusal

    async def _give(self, config: AlysConfig, parts: Sequence[LivePart]) -> str:
        """Apply `config` to `parts`. Returns the problem of the first part that does not take it, or ""."""
        deadline = trio.current_time() + self._timing.config_apply
        for part in parts:
            keys = ", ".join(sorted(part.keys))
            with trio.CancelScope(deadline=deadline) as scope:
                try:
                    await part.apply(config)
                except (Refused, NotAnswered) as error:
                    return f"{keys}: {error}"
            if scope.cancelled_caught:
                return f"{keys}: no answer within {self._timing.config_apply:g} s"
        return ""
