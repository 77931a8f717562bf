"""What a system looks like at one moment, for a status page: plain values, nothing alive."""

from collections.abc import Iterator

import attrs

from alysd.nurseries.health import Health
from alysd.nurseries.lifecycle import State
from alysd.nurseries.spec import Priority


@attrs.frozen
class MailboxSnapshot:
    """The mailbox of one actor: counts since it was made, and how full it is."""

    depth: int
    capacity: int
    handled: int
    refused: int
    dropped: int
    abandoned: int
    """Asks that were not handled because the asker had gone."""
    longest_wait: float
    """Seconds; by samples of one message in 16."""


@attrs.frozen
class ChildSnapshot:
    """One child, and those below it."""

    name: str
    kind: str
    """`actor`, `task` or `supervisor`."""
    state: State
    health: Health
    """As the monitor last found it; Unknown without a monitor."""
    priority: Priority
    restart: str
    """The name of the restart policy."""
    strategy: str | None
    """The name of the group strategy, of a supervisor."""
    restarts: int
    last_error: str | None
    """Type and words of the last failure."""
    last_error_at: float | None
    """When, on trio's clock."""
    uptime: float
    """Seconds the present instance has been running; 0 when it is not."""
    mailbox: MailboxSnapshot | None
    children: tuple["ChildSnapshot", ...] = ()

    def walk(self) -> Iterator["ChildSnapshot"]:
        """This and all below, in start order."""
        yield self
        for child in self.children:
            yield from child.walk()
