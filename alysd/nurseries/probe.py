"""The question how a child is, for which nobody sleeps: the monitor looks at the answers later."""

from alysd.nurseries.health import Health
from alysd.nurseries.wheel import Pending


class Probe(Pending):
    """Is answered by the child it is put to, or not; travels where an ask would."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None)

    def reply(self, value: object) -> None:
        """Note the answer."""
        self.value = value
        self.answered = True

    def fail(self, error: BaseException | None) -> None:
        """Note why there is no answer."""
        self.error = error

    @property
    def health(self) -> Health | None:
        """What the child said, if it said anything."""
        return self.value if self.answered else None
