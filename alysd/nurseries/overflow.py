"""What a full mailbox does with one message more, and with the message that a crash interrupted."""

from collections.abc import Iterator
from enum import Enum

import attrs


class Overflow(Enum):
    """The policy of a full mailbox. `Backoff` is the fifth, with numbers of its own."""

    BLOCK = "block"
    """`send` and `ask` wait for room, in order of arrival; `tell`, which never waits, raises `MailboxFull`."""
    DROP_OLDEST = "drop oldest"
    """The message that waited longest becomes a dead letter; if it was an ask its asker gets `MailboxFull`."""
    DROP_NEWEST = "drop newest"
    """The new message becomes a dead letter; if it is an ask the asker gets `MailboxFull`."""
    FAIL = "fail"
    """The sender gets `MailboxFull`."""


@attrs.frozen
class Backoff:
    """`send` and `ask` try again `retries` times, after `first_seconds`, then `factor` times longer each time.

    The last failure raises `MailboxFull`. `tell` never waits and raises it at once.
    """

    retries: int = attrs.field(default=6, validator=attrs.validators.ge(1))
    first_seconds: float = attrs.field(default=0.001, validator=attrs.validators.gt(0.0))
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1.0))

    def delays(self) -> Iterator[float]:
        """Seconds to wait before each retry."""
        seconds = self.first_seconds
        for _ in range(self.retries):
            yield seconds
            seconds *= self.factor


OverflowPolicy = Overflow | Backoff


class OnCrash(Enum):
    """What becomes of the message that its actor crashed over. An asker always gets the error."""

    DROP = "drop"
    """It becomes a dead letter."""
    RETRY = "retry"
    """The next instance gets it again, once: if that crashes too it becomes a dead letter."""
