"""The Bitcoin blocks in which outputs to a federation count (docs/protocol.md, "Peg-in").

The time of the payload with a change decides, and neither chain shows which block has the change. The audit is
told the height of this block, or knows its bounds from the height at which the change takes effect.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs

from alysd.audit.records import FederationRecord
from alysd.errors import UserError
from alysd.types.federation_update import BEFORE_UPDATE, LEAST_NOTICE, MOST_NOTICE
from alysd.types.units import Height

_DAY = 86_400

TimeOf = Callable[[Height], Awaitable[int]]
"""Returns the time of a block of Alys, in seconds since 1970."""


@attrs.frozen
class TimeRange:
    """A time in seconds since 1970 that is not known exactly: at least `low` and at most `high`."""

    low: int
    high: int

    def later(self, seconds: int) -> "TimeRange":
        """The time so many seconds later."""
        return TimeRange(self.low + seconds, self.high + seconds)

    def reached(self, time: int) -> bool | None:
        """Whether this time is not after `time`; None if that is not known."""
        return None if self.low <= time < self.high else time >= self.high


@attrs.frozen
class Credit:
    """The median times past of the Bitcoin blocks in which outputs to a federation count.

    They count from `since` until before `end`, which is None for the newest federation. The change `change`
    brought the federation, and the change `ending` replaced it, by their sequence; 0 stands for none. The
    federation is in force from the time `in_force` on.
    """

    since: TimeRange = TimeRange(0, 0)
    end: TimeRange | None = None
    change: int = 0
    ending: int = 0
    in_force: int = 0

    def has_begun(self, median: int) -> bool:
        """Whether a block with this median time past is not too early. Raises `UserError` if that is not known."""
        return _known(self.since.reached(median), self.change)

    def counts(self, median: int) -> bool:
        """Whether outputs in a block with this median time past count. Raises `UserError` if that is not known."""
        if not self.has_begun(median):
            return False
        return self.end is None or not _known(self.end.reached(median), self.ending)


ALWAYS = Credit()
"""The credit of the only federation of a chain."""


def _known(found: bool | None, change: int) -> bool:
    if found is None:
        raise UserError(
            f"whether a deposit is credited depends on the block with change {change} of the members: give the "
            f"height of this block with --included {change}=HEIGHT (`getfederation` names it in time)"
        )
    return found


async def credits_of(
    found: Sequence[FederationRecord], included: Mapping[int, Height], days: int, time_of: TimeOf
) -> Mapping[bytes, Credit]:
    """The credit of each federation by its output script.

    `found` are the federations after each change, the first one first; a change that keeps the Bitcoin keys brings
    no other script. `included` has the heights of the blocks with some of the changes, by their sequence; `days`
    are the chain's `former_address_days`. Raises `UserError` for a height at which the change cannot have been.
    """
    unknown = [one for one in included if not 1 <= one < len(found)]
    if unknown:
        raise UserError(f"--included {unknown[0]}={included[unknown[0]]}: no --update gives change {unknown[0]}")
    made = [(found[0].script, TimeRange(0, 0), 0, 0)]
    for change in range(1, len(found)):
        one = found[change]
        bounds = await _included(change, found, included.get(change), time_of)
        if one.script != made[-1][0]:
            made.append((one.script, bounds, change, await time_of(one.since)))
    found_credits: dict[bytes, Credit] = {}
    for (script, bounds, change, in_force), following in zip(made, [*made[1:], None], strict=True):
        end = None if following is None else following[1].later(days * _DAY)
        ending = 0 if following is None else following[2]
        found_credits[script] = Credit(bounds.later(-BEFORE_UPDATE), end, change, ending, in_force)
    return found_credits


async def _included(
    change: int, found: Sequence[FederationRecord], height: Height | None, time_of: TimeOf
) -> TimeRange:
    """The time of the payload with a change. It is included after the change before it has taken effect."""
    low = max(1, found[change - 1].since, found[change].since - MOST_NOTICE)
    high = max(1, found[change].since - LEAST_NOTICE)
    if height is None:
        return TimeRange(await time_of(Height(min(low, high))), await time_of(Height(high)))
    if not low <= height <= high:
        raise UserError(
            f"--included {change}={height}: the change takes effect at height {found[change].since}, so its block "
            f"is at one of the heights {low} to {high}"
        )
    time = await time_of(height)
    return TimeRange(time, time)
