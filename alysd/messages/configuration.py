"""The messages to the configuration actor, which changes options of the running node."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.configuration import OptionChange, Reload, ReloadTime, ScheduledReload


class Configuration:
    """Protocol of the configuration actor."""


@attrs.frozen
class CompareConfig(Ask[Configuration, tuple[OptionChange, ...]]):
    """Read the configuration's files, and return their differences from the configuration in force.

    Raises `ConfigRefused` if they are invalid.
    """


@attrs.frozen
class ReloadConfig(Ask[Configuration, Reload]):
    """Read the configuration's files, and apply the changed live options. `origin` is for the log.

    Raises `ConfigRefused` if nothing is applied because of a problem.
    """

    origin: str


@attrs.frozen
class ScheduleReload(Ask[Configuration, ScheduledReload]):
    """Read the configuration's files, and apply exactly their present changes at `when`.

    Raises `ConfigRefused` if they are invalid or have no live changes, or the time has passed.
    """

    when: ReloadTime
    origin: str


@attrs.frozen
class CancelSchedule(Ask[Configuration, ScheduledReload | None]):
    """Cancel the scheduled reload, and return it; None if there is none. `origin` is for the log."""

    origin: str


@attrs.frozen
class ReloadSignalled(Tell[Configuration]):
    """As `ReloadConfig`, for the service manager, which learns only the end of the reload."""


@attrs.frozen
class RestoreConfig(Tell[Configuration]):
    """Try again to go back to the old options. The actor sends it to itself."""


@attrs.frozen
class WatchConfig(Tell[Configuration]):
    """Look whether the file has changed, a scheduled reload is due, or a trial has an end. Sent to itself."""
