"""The trial of a new configuration: for some time after a reload, a failure of the node rolls it back."""

from typing import Protocol, Self

import attrs
import trio

from alysd.config.model import AlysConfig
from alysd.types.configuration import OptionChange

UNHEALTHY_LOOKS = 5
"""The number of looks in a row, one each second, at which the node is unhealthy before a trial fails.

A part that restarts, or one slow answer, makes the node unhealthy for a look, without any change."""


class NodeView(Protocol):
    """The view of the running node by which a trial is judged."""

    def failure(self, children: frozenset[str], since: float) -> str:
        """Return the first failure of one of `children` after `since` (trio's clock), or ""."""
        ...

    async def unhealthy_reason(self) -> str:
        """Return the first reason for which the node is unhealthy, or "" if it is not."""
        ...


@attrs.frozen
class Trial:
    """The trial of the configuration in force, from `begun` to `until` on trio's clock.

    `base` is the last configuration without a trial; a failure restores it. `children` are those that use
    the changed options. A node that was `unhealthy` before is not judged by its health; otherwise
    `unhealthy_looks` is the number of the last looks in a row at which it was unhealthy. `changes` and `origin`
    are those of the last reload.
    """

    base: AlysConfig
    children: frozenset[str]
    begun: float
    until: float
    unhealthy: bool
    changes: tuple[OptionChange, ...]
    origin: str
    unhealthy_looks: int = 0

    async def looked(self, view: NodeView) -> tuple[Self, str]:
        """Return the trial after one more look at the node, and the failure that ends the trial, or ""."""
        failure = view.failure(self.children, self.begun)
        if not failure and not self.unhealthy:
            reason = await view.unhealthy_reason()
            looks = self.unhealthy_looks + 1 if reason else 0
            if looks < UNHEALTHY_LOOKS:
                return attrs.evolve(self, unhealthy_looks=looks), ""
            failure = reason
        if not failure:
            return self, ""
        return self, f"{failure}, {trio.current_time() - self.begun:.0f} s after the change"

    def extended(
        self, children: frozenset[str], until: float, changes: tuple[OptionChange, ...], origin: str
    ) -> Self:
        """Return this trial with the changes of another reload: one base, and the failures of both."""
        return attrs.evolve(self, children=self.children | children, until=until, changes=changes, origin=origin)
