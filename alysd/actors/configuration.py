"""The configuration actor: compares and reloads the configuration, and reports the end of each reload."""

from collections.abc import Callable

from alysd.errors import ConfigRefused
from alysd.messages.configuration import CompareConfig, Configuration, ReloadConfig, ReloadSignalled, RestoreConfig
from alysd.messages.events import ReloadEnded
from alysd.messages.log.base import log
from alysd.messages.log.configuration import ConfigNotReloaded, ConfigReloaded, ConfigRestored
from alysd.nurseries import Actor, handles
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload
from alysd.workflows.config_reload import ConfigMemory, ConfigReload

SIGNAL = "SIGHUP"
"""The origin, in the log, of a reload that the service manager has asked for."""


class ConfigurationActor(Actor[Configuration]):
    """Reloads the configuration, one request after the other.

    `announce` tells the service manager that a reload begins (true) or ends (false).
    """

    def __init__(
        self,
        memory: ConfigMemory,
        reload: ConfigReload,
        publish: Callable[[ReloadEnded], object],
        announce: Callable[[bool], object],
        timing: Timing,
    ) -> None:
        self._memory = memory
        self._reload = reload
        self._publish = publish
        self._announce = announce
        self._timing = timing

    async def pre_start(self) -> None:
        """Undo a reload during which the previous instance has failed."""
        await self._restore()

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

    @handles(RestoreConfig)
    async def restore(self, _message: RestoreConfig) -> None:
        """Try again to give all parts the options in force."""
        await self._restore()

    async def _run(self, origin: str) -> Reload:
        self._announce(True)
        try:
            done = await self._reload.run(origin)
        finally:
            self._announce(False)
        if done.reason:
            log(ConfigNotReloaded(origin, done.outcome, done.reason.replace("\n", "; ")))
        else:
            applied, waiting = ", ".join(map(str, done.applied)), ", ".join(one.key for one in done.waiting)
            log(ConfigReloaded(origin, applied or None, waiting or None))
        self._publish(ReloadEnded(done))
        self._again()
        return done

    async def _restore(self) -> None:
        if self._memory.unsettled:
            if not await self._reload.restore():
                log(ConfigRestored())
            self._again()

    def _again(self) -> None:
        if self._memory.unsettled:
            self.timers.after(self._timing.config_retry, RestoreConfig())
