"""The real side of a program: an actor that records a message, refuses it, or crashes, as the message says."""

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
from alysd.testing.model.commands import ASK_SECONDS, Action, ChildPlan, SendMode
from alysd.testing.model.mailbox import MessageOutcome


class RecorderProtocol:
    """The protocol of `Recorder`."""


@attrs.frozen
class DoTold(Tell[RecorderProtocol]):
    """Do the action with this number."""

    number: int
    action: Action


@attrs.frozen
class DoAsked(Ask[RecorderProtocol, int]):
    """Do the action with this number, and answer with it."""

    number: int
    action: Action


class ScriptedCrash(Exception):
    """The error with which a recorder crashes."""


class Recorder(Actor[RecorderProtocol]):
    """Writes to a list that its instances share, so that no restart hides a lost or duplicated message."""

    def __init__(self, written: list[int]) -> None:
        self._written = written

    @handles(DoTold)
    async def do_told(self, message: DoTold) -> None:
        """Do the action."""
        self._do(message.number, message.action)

    @handles(DoAsked)
    async def do_asked(self, message: DoAsked) -> int:
        """Do the action and answer."""
        self._do(message.number, message.action)
        return message.number

    def _do(self, number: int, action: Action) -> None:
        match action:
            case Action.WRITE:
                self._written.append(number)
            case Action.REFUSE:
                raise Refusal(f"number {number} is refused")
            case Action.CRASH:
                raise ScriptedCrash(number)


@attrs.frozen
class RealChild:
    """One actor of the real tree: its plan, its address, and what its instances wrote."""

    plan: ChildPlan
    address: Address[RecorderProtocol]
    written: list[int]

    @classmethod
    def of(cls, name: str, plan: ChildPlan) -> "RealChild":
        """The child that a plan describes."""
        address = Address[RecorderProtocol](
            name, capacity=plan.capacity, overflow=plan.overflow, on_crash=plan.on_crash
        )
        return cls(plan, address, [])

    def spec(self) -> ChildSpec:
        """The child for its supervisor."""
        return actor(self.address, lambda: Recorder(self.written), restart=self.plan.restart)

    def counts(self) -> dict[object, object]:
        """The runtime's counters, and what was written."""
        address, mailbox = self.address, self.address.mailbox
        return {
            "written": self.written,
            "waiting": address.depth,
            "handled": address.handled,
            "refused": address.refused,
            "dropped": mailbox.dropped,
            "abandoned": address.abandoned,
        }

    async def send(self, number: int, mode: SendMode, action: Action) -> MessageOutcome:
        """SendMessage the actor a message and say what came of it for the sender."""
        try:
            match mode:
                case SendMode.TELL:
                    self.address.tell(DoTold(number, action))
                case SendMode.SEND:
                    await self.address.send(DoTold(number, action))
                case SendMode.ASK:
                    answer = await self.address.ask(DoAsked(number, action), seconds=ASK_SECONDS)
                    assert answer == number, f"asked {number}, answered {answer}"  # noqa: S101  not its answer
                    return MessageOutcome.ANSWERED
        except HandlerCrashed:
            return MessageOutcome.CRASHED
        except AskTimeout:
            return MessageOutcome.TIMEOUT
        except CircuitOpen:
            return MessageOutcome.OPEN
        except ActorDown:
            return MessageOutcome.DOWN
        except MailboxFull:
            return MessageOutcome.FULL
        except Refusal:
            return MessageOutcome.REFUSED
        return MessageOutcome.SENT
