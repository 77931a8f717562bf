"""The configuration actor: compares, reloads and watches the configuration, and reports the end of each reload."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from alysd.config.config_source import ConfigSource, FileState, FileWatch
from alysd.errors import ConfigRefused
from alysd.messages.configuration import (
    CancelSchedule,
    CompareConfig,
    Configuration,
    ReloadConfig,
    ReloadSignalled,
    RestoreConfig,
    ScheduleReload,
    WatchConfig,
)
from alysd.messages.events import ReloadEnded
from alysd.messages.log.base import log
from alysd.messages.log.configuration import (
    ConfigHistoryNotWritten,
    ConfigNotReloaded,
    ConfigReloaded,
    ConfigRestored,
    ConfigRolledBack,
    ConfigScheduled,
    ConfigTried,
    ConfigUnscheduled,
)
from alysd.nurseries import Actor, handles
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload, ScheduledReload
from alysd.types.units import Height
from alysd.workflows.config_reload import ConfigMemory, ConfigReload

SIGNAL = "SIGHUP"
"""The origin, in the log, of a reload that the service manager has asked for."""

WATCH = "the file has changed"
"""The origin, in the log, of a reload because of a change of the file."""


class ReloadHistory(Protocol):
    """The history of reloads on disk: `alysd.integrations.reload_history.ReloadFile`."""

    def add(self, reload: Reload) -> None:
        """Add a reload. It is on disk when this returns. Raises `OSError`."""
        ...


@attrs.frozen
class ReloadReports:
    """The receivers of the outcome of each reload.

    `announce` tells the service manager that a reload begins (true) or ends (false).
    """

    publish: Callable[[ReloadEnded], object]
    announce: Callable[[bool], object]
    history: ReloadHistory


class ConfigurationActor(Actor[Configuration]):
    """Reloads the configuration, one request after the other. `head` returns the height of the node's head."""

    def __init__(
        self,
        memory: ConfigMemory,
        reload: ConfigReload,
        source: ConfigSource,
        head: Callable[[], Awaitable[Height | None]],
        reports: ReloadReports,
        timing: Timing,
    ) -> None:
        self._memory = memory
        self._reload = reload
        self._source = source
        self._head = head
        self._reports = reports
        self._timing = timing
        self._looking = trio.CapacityLimiter(1)  # a thread that hangs with its disk keeps its place
        self._writing = trio.CapacityLimiter(1)

    async def pre_start(self) -> None:
        """Undo a reload during which the previous instance has failed, and begin to watch."""
        await self._restore()
        self.timers.every(self._timing.config_watch, WatchConfig())

    @handles(CompareConfig)
    async def compare(self, _message: CompareConfig) -> tuple[OptionChange, ...]:
        """Return the differences. Raises `ConfigRefused`."""
        return await self._reload.compare()

    @handles(ReloadConfig)
    async def reload(self, message: ReloadConfig) -> Reload:
        """Reload. Raises `ConfigRefused` if nothing is applied because of a problem."""
        done = await self._run(message.origin)
        if done.reason:
            raise ConfigRefused(done.reason)
        return done

    @handles(ReloadSignalled)
    async def signalled(self, _message: ReloadSignalled) -> None:
        """Reload. The log has the end."""
        await self._run(SIGNAL)

    @handles(ScheduleReload)
    async def schedule(self, message: ScheduleReload) -> ScheduledReload:
        """Schedule a reload. Raises `ConfigRefused`."""
        head = None if message.when.height is None else await self._head()
        scheduled = await self._reload.schedule(message.when, head, message.origin)
        keys = ", ".join(one.key for one in scheduled.changes if one.live)
        log(ConfigScheduled(message.origin, message.when.at, message.when.height, keys))
        return scheduled

    @handles(CancelSchedule)
    async def cancel_schedule(self, message: CancelSchedule) -> ScheduledReload | None:
        """Forget the scheduled reload."""
        scheduled, self._memory.scheduled = self._memory.scheduled, None
        if scheduled is not None:
            log(ConfigUnscheduled(message.origin))
        return scheduled

    @handles(RestoreConfig)
    async def restore(self, _message: RestoreConfig) -> None:
        """Try again to give all parts the options in force."""
        await self._restore()

    @handles(WatchConfig)
    async def look(self, _message: WatchConfig) -> None:
        """Judge the trial; run a reload that is due; reload if the file has changed."""
        trial, failed = self._memory.trial, await self._reload.judge()
        if failed is not None:
            log(ConfigRolledBack(failed.origin, failed.reason))
            await self._report(failed)
        elif trial is not None and self._memory.trial is None:
            log(ConfigTried(trial.origin))
        scheduled = self._memory.scheduled
        if scheduled is not None:
            head = None if scheduled.when.height is None else await self._head()
            if self._reload.is_due(head):
                self._memory.scheduled = None
                await self._run(scheduled.origin, scheduled=True)
        await self._watch_file()

    async def _watch_file(self) -> None:
        """Reload if the file has changed. Changes while `reload.watch` is off do not count later."""
        memory = self._memory
        if not memory.in_force.reload.watch:
            memory.watched = None
            return
        state = await self._state()
        if memory.watched is None:
            memory.watched = FileWatch(state)
        elif memory.watched.changed(state):
            await self._run(WATCH)

    async def _state(self) -> FileState | None:
        with trio.move_on_after(self._timing.config_apply):
            return await trio.to_thread.run_sync(self._source.state, abandon_on_cancel=True, limiter=self._looking)
        return None

    async def _run(self, origin: str, *, scheduled: bool = False) -> Reload:
        self._reports.announce(True)
        try:
            done = await self._reload.run(origin, scheduled=scheduled)
        finally:
            self._reports.announce(False)
        if done.reason:
            log(ConfigNotReloaded(done.origin, done.outcome, done.reason.replace("\n", "; ")))
        else:
            applied, waiting = ", ".join(map(str, done.applied)), ", ".join(one.key for one in done.waiting)
            log(ConfigReloaded(done.origin, applied or None, waiting or None))
        await self._report(done)
        return done

    async def _report(self, done: Reload) -> None:
        """Publish the outcome, and write it to the history. A disk that is full or hangs stops no reload."""
        self._reports.publish(ReloadEnded(done))
        self._again()
        reason = f"the disk did not answer within {self._timing.config_apply:g} s"
        with trio.move_on_after(self._timing.config_apply):
            try:
                await trio.to_thread.run_sync(
                    self._reports.history.add, done, abandon_on_cancel=True, limiter=self._writing
                )
            except OSError as error:
                reason = str(error)
            else:
                return
        log(ConfigHistoryNotWritten(reason))

    async def _restore(self) -> None:
        if self._memory.unsettled:
            if not await self._reload.restore():
                log(ConfigRestored())
            self._again()

    def _again(self) -> None:
        if self._memory.unsettled:
            self.timers.after(self._timing.config_retry, RestoreConfig())
