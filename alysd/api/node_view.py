"""The running node as the reloading of its configuration sees it: failures, health, and the height of the head."""

import attrs

from alysd.api.operator import OperatorPages
from alysd.errors import NotNow, Refused
from alysd.messages.reads import ReadForkchoice
from alysd.nurseries import NotAnswered
from alysd.types.units import Height


@attrs.frozen
class RunningNode:
    """Implements `alysd.workflows.config_trial.NodeView` by the operator's pages."""

    pages: OperatorPages

    def failure(self, children: frozenset[str], since: float) -> str:
        """Return the first failure of one of `children` after `since` (trio's clock), or "".

        A child that starts, or waits for its restart after an earlier failure, does not count: no change since
        then is the cause.
        """
        for child in self.pages.running.snapshot().walk():
            if child.name in children and child.last_error_at is not None and child.last_error_at > since:
                return f"{child.name} failed: {child.last_error}"
        return ""

    async def unhealthy_reason(self) -> str:
        """Return the first reason for which the node is unhealthy, or "" if it is not."""
        try:
            health = (await self.pages.report()).health()
        except NotNow as error:
            return str(error)
        return f"the node is unhealthy: {health.reasons[0]}" if health.status == "unhealthy" else ""

    async def head(self) -> Height | None:
        """Return the height of the head; None while the reader does not answer."""
        try:
            tip = await self.pages.reader.ask(ReadForkchoice(), seconds=self.pages.timing.page_ask)
        except (NotAnswered, Refused):
            return None
        return tip.head.height
