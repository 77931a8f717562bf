"""Log events about the reloading of the configuration."""

import logging
from datetime import UTC, datetime

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


@attrs.frozen
class ConfigRolledBack(LogEvent):
    """The node failed during the trial of new options, and uses the previous options again."""

    name = "config_rolled_back"
    level = logging.ERROR

    origin: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "config", f"rolled back: {self.reason}"


@attrs.frozen
class ConfigTried(LogEvent):
    """The trial of a new configuration has ended without a failure."""

    name = "config_tried"

    origin: str

    def _line(self) -> tuple[str, str]:
        return "config", "the trial of the new options has ended without a failure"


@attrs.frozen
class ConfigScheduled(LogEvent):
    """A reload is scheduled for the Unix time `at`, or for the first head with `height`. `options` are keys."""

    name = "config_scheduled"

    origin: str
    at: float | None
    height: int | None
    options: str

    def _line(self) -> tuple[str, str]:
        when = (
            f"height {self.height}"
            if self.at is None
            else f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
        return "config", f"a reload is scheduled for {when}: {self.options}"


@attrs.frozen
class ConfigUnscheduled(LogEvent):
    """A scheduled reload was cancelled."""

    name = "config_unscheduled"

    origin: str

    def _line(self) -> tuple[str, str]:
        return "config", "the scheduled reload was cancelled"


@attrs.frozen
class ConfigHistoryNotWritten(LogEvent):
    """The end of a reload is missing in the history, because the file could not be written."""

    name = "config_history_not_written"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "config", f"the history of reloads was not written: {self.reason}"
