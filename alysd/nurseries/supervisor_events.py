"""The events that a supervisor's own task handles, one after the other."""

import attrs

from alysd.nurseries.child import Child


@attrs.frozen
class RestartGroup:
    """The child `failed`, and the siblings that the strategy adds, restart after `delay` seconds."""

    failed: Child
    delay: float


@attrs.frozen
class GiveUp:
    """This supervisor fails, because it cannot handle the failure of `failed`."""

    failed: Child
    error: Exception
    reason: str


@attrs.frozen
class StopNow:
    """The supervisor was asked to stop."""


Event = RestartGroup | GiveUp | StopNow
