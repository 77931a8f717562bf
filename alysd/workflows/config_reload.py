"""Reloading the configuration: read → compare → apply to all parts, or roll all back.

The whole new configuration is validated first. Of its changes, those of live options are applied, and the others
are named: they wait for a restart. The options in force are always the live options of one valid configuration
together with the other options of the start, and a node can run with them (`ConfigSource.check`). A trial follows
(`config_trial`), in which a failure rolls back too.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import attrs
import trio

from alysd.config.config_source import ConfigSource, FileWatch
from alysd.config.difference import changed_options, with_live_options
from alysd.config.model import AlysConfig
from alysd.errors import AlysError, ConfigRefused, Refused
from alysd.nurseries import NotAnswered
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload, ReloadOutcome, ReloadTime, ScheduledReload
from alysd.types.units import Height
from alysd.workflows.config_trial import NodeView, Trial

T = TypeVar("T")


class LivePart(Protocol):
    """A part of the node whose options can change while it runs.

    `keys` are these options, `children` the children of the tree that use them.
    """

    @property
    def keys(self) -> frozenset[str]:
        """The keys of its options, such as `logging.level`."""
        ...

    @property
    def children(self) -> frozenset[str]:
        """The names of the children that use these options; a failure of one ends a trial of a change."""
        ...

    async def apply(self, config: AlysConfig) -> None:
        """Use the options of `config` from now on, and return once they are in use.

        A call with the options that are in use already changes nothing. Raises `Refused` if the options cannot be
        used, or `NotAnswered`.
        """
        ...


@attrs.define
class ConfigMemory:
    """The configuration in force, its trial, the last reload and the next scheduled one.

    It outlives restarts of the configuration actor. While `unsettled`, some parts may have options other than
    those of `in_force`: a reload is being applied, or could not be rolled back. `scheduled_from` are the
    configurations in force and of the files when the last reload was scheduled. `watched` is the file while it is
    watched.
    """

    in_force: AlysConfig
    last: Reload | None = None
    unsettled: bool = False
    trial: Trial | None = None
    scheduled: ScheduledReload | None = None
    scheduled_from: tuple[AlysConfig, AlysConfig] | None = None
    watched: FileWatch | None = None

    @property
    def trial_left(self) -> float | None:
        """The seconds until the trial of the configuration in force ends; None without a trial."""
        return None if self.trial is None else max(0.0, self.trial.until - trio.current_time())


class ConfigReload:
    """Reloads the configuration, which `source` reads and validates, in a thread.

    It has one caller at a time, the configuration actor.
    """

    def __init__(
        self,
        memory: ConfigMemory,
        source: ConfigSource,
        parts: Sequence[LivePart],
        view: NodeView,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self._memory = memory
        self._source = source
        self._parts = parts
        self._view = view
        self._clock = clock
        self._timing = timing
        # A thread that does not return, because a file is on a disk that hangs, keeps its place: there is one.
        self._reading = trio.CapacityLimiter(1)

    async def compare(self) -> tuple[OptionChange, ...]:
        """Return the differences of the files from the configuration in force. Raises `ConfigRefused`."""
        return changed_options(self._memory.in_force, await self._read())

    async def schedule(self, when: ReloadTime, head: Height | None, origin: str) -> ScheduledReload:
        """Keep the changes of the files for `when`, in place of an earlier schedule. `head` is that of the node.

        Raises `ConfigRefused` if the files are invalid or change no live option, and for a time in the past.
        """
        if when.reached(self._clock.time(), head):
            now = f"the height is {head}" if when.at is None else f"it is {self._clock.time():.0f} (Unix time)"
            raise ConfigRefused(f"{now} already: use `alysd config reload`")
        in_force, new = self._memory.in_force, await self._read()
        changes = changed_options(in_force, new)
        if not any(one.live for one in changes):
            raise ConfigRefused("the files have no change that a reload applies: nothing is scheduled")
        await self._joined(new)
        self._memory.scheduled_from = in_force, new
        self._memory.scheduled = ScheduledReload(when, changes, origin)
        return self._memory.scheduled

    def is_due(self, head: Height | None) -> bool:
        """Return whether the time of the scheduled reload has come."""
        scheduled = self._memory.scheduled
        return scheduled is not None and scheduled.when.reached(self._clock.time(), head)

    async def run(self, origin: str, *, scheduled: bool = False) -> Reload:
        """Reload, and keep the outcome in the memory, also that of a refused reload.

        With `scheduled`, any other changes than those of the last schedule are refused.
        """
        changes: tuple[OptionChange, ...] = ()
        outcome, reason = await self._settle()
        if not reason:
            try:
                new = await self._read()
                changes = changed_options(self._memory.in_force, new)
                if scheduled and self._memory.scheduled_from != (self._memory.in_force, new):
                    words = "files or options in force have changed since the reload was scheduled"
                    raise ConfigRefused(f"{words}: schedule it again")
                outcome, reason = await self._apply(new, changes, origin)
            except ConfigRefused as error:
                outcome, reason = "refused", str(error)
        self._memory.last = Reload(outcome, changes, reason, origin, self._clock.time())
        return self._memory.last

    async def judge(self) -> Reload | None:
        """Judge the trial of the configuration in force. A failure rolls it back; the roll-back is returned.

        The trial of a node that is unhealthy at its end goes on until the node is well or the trial has failed.
        """
        memory, trial = self._memory, self._memory.trial
        if trial is None:
            return None
        reason = ""
        with trio.move_on_after(self._timing.config_apply):  # no answer is no judgement
            trial, reason = await trial.looked(self._view)
            memory.trial = trial
        if reason:
            memory.in_force, memory.trial, memory.unsettled = trial.base, None, True
            undone = await self.restore()
            reason += f"; the roll-back failed, and is tried again: {undone}" if undone else ""
            memory.last = Reload("rolled_back", trial.changes, reason, trial.origin, self._clock.time())
            return memory.last
        if trio.current_time() >= trial.until and not trial.unhealthy_looks:
            memory.trial = None
        return None

    async def restore(self) -> str:
        """Give all parts the options in force. Returns the problems of parts that do not take them, or ""."""
        problem = await self._give_back(self._parts)
        self._memory.unsettled = bool(problem)
        return problem

    async def _settle(self) -> tuple[ReloadOutcome, str]:
        """Undo an earlier reload that could not be rolled back."""
        problem = await self.restore() if self._memory.unsettled else ""
        return "refused", f"an earlier reload is not undone yet: {problem}" if problem else ""

    async def _read(self) -> AlysConfig:
        return await self._reads(self._source.load)

    async def _joined(self, new: AlysConfig) -> AlysConfig:
        """Return the options in force with the live options of `new`. Raises `ConfigRefused`."""
        joined = with_live_options(self._memory.in_force, new)
        await self._reads(partial(self._source.check, joined, new))
        return joined

    async def _reads(self, work: Callable[[], T]) -> T:
        with trio.move_on_after(self._timing.config_read):
            try:
                return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._reading)
            except (AlysError, OSError) as error:  # a `UserError` would stop the node
                raise ConfigRefused(str(error)) from None
        seconds = self._timing.config_read
        raise ConfigRefused(f"the configuration could not be read within {seconds:g} s: check the disk")

    async def _apply(
        self, new: AlysConfig, changes: tuple[OptionChange, ...], origin: str
    ) -> tuple[ReloadOutcome, str]:
        memory = self._memory
        live = {one.key for one in changes if one.live}
        if not live:
            return "unchanged", ""
        joined = await self._joined(new)
        parts = [part for part in self._parts if part.keys & live]
        unhealthy = memory.trial is None and await self._is_unhealthy()
        memory.unsettled = True
        refusal = await self._give(joined, parts)
        if not refusal:
            self._try_out(joined, parts, changes, origin, unhealthy=unhealthy)
            memory.in_force, memory.unsettled = joined, False
            return "applied", ""
        undone = await self._give_back(parts)
        memory.unsettled = bool(undone)
        if undone:
            refusal += f"; the roll-back failed too, and is tried again: {undone}"
        return "rolled_back", refusal

    def _try_out(
        self,
        new: AlysConfig,
        parts: Sequence[LivePart],
        changes: tuple[OptionChange, ...],
        origin: str,
        *,
        unhealthy: bool,
    ) -> None:
        """Begin the trial of `new`, or add it to the running one. The last tried configuration needs none."""
        memory, now = self._memory, trio.current_time()
        children = frozenset(name for part in parts for name in part.children)
        until = now + new.reload.trial_seconds
        if new.reload.trial_seconds == 0 or (memory.trial is not None and new == memory.trial.base):
            memory.trial = None
        elif memory.trial is not None:
            memory.trial = memory.trial.extended(children, until, changes, origin)
        else:
            memory.trial = Trial(memory.in_force, children, now, until, unhealthy, changes, origin)

    async def _is_unhealthy(self) -> bool:
        with trio.move_on_after(self._timing.config_apply):
            return bool(await self._view.unhealthy_reason())
        return True  # a node that does not say how it is cannot be judged by that

    async def _give(self, config: AlysConfig, parts: Sequence[LivePart]) -> str:
        """Apply `config` to `parts`. Returns the problem of the first part that does not take it, or ""."""
        deadline = trio.current_time() + self._timing.config_apply
        for part in parts:
            if problem := await self._offer(config, part, deadline):
                return problem
        return ""

    async def _give_back(self, parts: Sequence[LivePart]) -> str:
        """Give the options in force to each of `parts`, also after one that does not take them."""
        found: list[str] = []
        for part in parts:
            deadline = trio.current_time() + self._timing.config_apply
            if problem := await self._offer(self._memory.in_force, part, deadline):
                found.append(problem)
        return "; ".join(found)

    async def _offer(self, config: AlysConfig, part: LivePart, deadline: float) -> str:
        keys = ", ".join(sorted(part.keys))
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                await part.apply(config)
            except (Refused, NotAnswered) as error:
                return f"{keys}: {error}"
        return f"{keys}: no answer within {self._timing.config_apply:g} s" if scope.cancelled_caught else ""
