"""Values about changes of the node's configuration while the node runs."""

from typing import Literal

import attrs

from alysd.types.units import Height

ReloadOutcome = Literal["applied", "unchanged", "refused", "rolled_back"]
"""The end of a reload.

`applied`: all changed live options are in force. `unchanged`: no live option has changed. `refused`: the new
configuration is invalid, or cannot be applied without a restart. `rolled_back`: a part of the node did not accept
its new options, or failed during the trial period, so that all options are as before.
"""


@attrs.frozen
class OptionChange:
    """A difference between the configuration in force and that of the files.

    `old` and `new` are the values as TOML, without secrets. A change that is not `live` needs a restart of the
    node. One that is live may restart the child `restarts` of the tree; empty: none.
    """

    key: str
    old: str
    new: str
    live: bool
    restarts: str = ""

    def __str__(self) -> str:
        return f"{self.key} = {self.old} → {self.new}"


@attrs.frozen
class Reload:
    """A finished reload: its end, all differences that it found, and the reason if it was not accepted.

    `origin` says what asked for it, `at` is its end in Unix seconds.
    """

    outcome: ReloadOutcome
    changes: tuple[OptionChange, ...]
    reason: str
    origin: str
    at: float

    @property
    def applied(self) -> tuple[OptionChange, ...]:
        """The changes that are in force now."""
        return tuple(one for one in self.changes if one.live) if self.outcome == "applied" else ()

    @property
    def waiting(self) -> tuple[OptionChange, ...]:
        """The changes that need a restart of the node; none after a reload that was not accepted."""
        accepted = self.outcome in ("applied", "unchanged")
        return tuple(one for one in self.changes if not one.live) if accepted else ()


@attrs.frozen
class ReloadTime:
    """The moment of a scheduled reload: the Unix time `at`, or the first head with `height`. The other is None."""

    at: float | None = None
    height: Height | None = None

    def reached(self, now: float, head: Height | None) -> bool:
        """Whether the moment has come. `head` is the height of the node's head, None if it is not known."""
        if self.at is not None:
            return now >= self.at
        return self.height is not None and head is not None and head >= self.height


@attrs.frozen
class ScheduledReload:
    """A reload of exactly these `changes` at a later moment. `origin` says what asked for it."""

    when: ReloadTime
    changes: tuple[OptionChange, ...]
    origin: str
