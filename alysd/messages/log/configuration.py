"""Log events about the reloading of the configuration."""

import logging

import attrs

from alysd.messages.log.base import LogEvent


@attrs.frozen
class ConfigReloaded(LogEvent):
    """The configuration was reloaded.

    `applied` has the changes that are in force now, `needs_restart` the keys of the others.
    """

    name = "config_reloaded"

    origin: str
    applied: str | None
    needs_restart: str | None

    def _line(self) -> tuple[str, str]:
        waiting = "" if self.needs_restart is None else f"; a restart is needed for {self.needs_restart}"
        return "config", f"{self.applied or 'nothing to apply'}{waiting}"


@attrs.frozen
class ConfigNotReloaded(LogEvent):
    """A reload changes nothing, because the configuration was `refused`, or its changes were `rolled_back`."""

    name = "config_not_reloaded"
    level = logging.WARNING

    origin: str
    outcome: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "config", f"not reloaded, {self.outcome.replace('_', ' ')}: {self.reason}"


@attrs.frozen
class ConfigRestored(LogEvent):
    """All options are as before a reload that could not be rolled back at once."""

    name = "config_restored"

    def _line(self) -> tuple[str, str]:
        return "config", "all options are as before the reload"
