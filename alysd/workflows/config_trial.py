"""The trial of a new configuration: for some time after a reload, a failure of the node rolls it back."""

from typing import Protocol, Self

import attrs
import trio

from alysd.config.model import AlysConfig
from alysd.types.configuration import OptionChange


class NodeView(Protocol):
    """The view of the running node by which a trial is judged."""

    def failure(self, children: frozenset[str], since: float) -> str:
        """Return the first failure of one of `children` after `since` (trio's clock), or ""."""
        ...

    async def illness(self) -> str:
        """Return the first reason for which the node is unhealthy, or "" if it is not."""
        ...


@attrs.frozen
class Trial:
    """The trial of the configuration in force, from `begun` to `until` on trio's clock.

    `base` is the last configuration without a trial; a failure restores it. `children` are those that use
    the changed options. A node that was `unhealthy` before is not judged by its health. `changes` and `origin` are
    those of the last reload.
    """

    base: AlysConfig
    children: frozenset[str]
    begun: float
    until: float
    unhealthy: bool
    changes: tuple[OptionChange, ...]
    origin: str

    async def problem(self, view: NodeView) -> str:
        """Return the failure that ends this trial, or ""."""
        failure = view.failure(self.children, self.begun)
        if not failure and not self.unhealthy:
            failure = await view.illness()
        if not failure:
            return ""
        return f"{failure}, {trio.current_time() - self.begun:.0f} s after the change"

    def extended(
        self, children: frozenset[str], until: float, changes: tuple[OptionChange, ...], origin: str
    ) -> Self:
        """Return this trial with the changes of another reload: one base, and the failures of both."""
        return attrs.evolve(self, children=self.children | children, until=until, changes=changes, origin=origin)
