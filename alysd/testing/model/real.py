"""The real side of a program: an actor that writes down, refuses or falls over at once, as it is told."""

import attrs

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    AskTimeout,
    ChildSpec,
    CircuitOpen,
    HandlerCrashed,
    MailboxFull,
    Refusal,
    Tell,
    actor,
    handles,
)
from alysd.testing.model.commands import ASK_PATIENCE, ChildPlan, Deed, Manner
from alysd.testing.model.mailbox import Fate


class Scribing:
    """The protocol of `Scribe`."""


@attrs.frozen
class DoTold(Tell[Scribing]):
    """Do the deed with this number."""

    number: int
    deed: Deed


@attrs.frozen
class DoAsked(Ask[Scribing, int]):
    """Do the deed with this number, and answer with it."""

    number: int
    deed: Deed


class Tripped(Exception):
    """What a scribe crashes with."""


class Scribe(Actor[Scribing]):
    """Writes to a list that all its instances share, so that a restart cannot hide what was lost or doubled."""

    def __init__(self, written: list[int]) -> None:
        self._written = written

    @handles(DoTold)
    async def do_told(self, message: DoTold) -> None:
        """Do it."""
        self._do(message.number, message.deed)

    @handles(DoAsked)
    async def do_asked(self, message: DoAsked) -> int:
        """Do it and answer."""
        self._do(message.number, message.deed)
        return message.number

    def _do(self, number: int, deed: Deed) -> None:
        match deed:
            case Deed.WRITE:
                self._written.append(number)
            case Deed.REFUSE:
                raise Refusal(f"number {number} is refused")
            case Deed.TRIP:
                raise Tripped(number)


@attrs.frozen
class RealChild:
    """One actor of the real tree: its plan, its address, and what its instances wrote."""

    plan: ChildPlan
    address: Address[Scribing]
    written: list[int]

    @classmethod
    def of(cls, name: str, plan: ChildPlan) -> "RealChild":
        """A child by its plan."""
        address = Address[Scribing](name, capacity=plan.capacity, overflow=plan.overflow, on_crash=plan.on_crash)
        return cls(plan, address, [])

    def spec(self) -> ChildSpec:
        """The child as its supervisor gets it."""
        return actor(self.address, lambda: Scribe(self.written), restart=self.plan.restart)

    def counts(self) -> dict[object, object]:
        """What the runtime counted, and what was written."""
        address, mailbox = self.address, self.address.mailbox
        return {
            "written": self.written,
            "waiting": address.depth,
            "handled": address.handled,
            "refused": address.refused,
            "dropped": mailbox.dropped,
            "abandoned": address.abandoned,
        }

    async def give(self, number: int, manner: Manner, deed: Deed) -> Fate:
        """Give the actor a message and say what came of it for the sender."""
        try:
            match manner:
                case Manner.TELL:
                    self.address.tell(DoTold(number, deed))
                case Manner.SEND:
                    await self.address.send(DoTold(number, deed))
                case Manner.ASK:
                    answer = await self.address.ask(DoAsked(number, deed), seconds=ASK_PATIENCE)
                    assert answer == number, f"asked {number}, answered {answer}"  # noqa: S101  not its answer
                    return Fate.ANSWERED
        except HandlerCrashed:
            return Fate.CRASHED
        except AskTimeout:
            return Fate.TIMEOUT
        except CircuitOpen:
            return Fate.OPEN
        except ActorDown:
            return Fate.DOWN
        except MailboxFull:
            return Fate.FULL
        except Refusal:
            return Fate.REFUSED
        return Fate.SENT
