"""The real actors of a program: each message tells the actor to record it, to refuse it, or to crash."""

import json
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import attrs
import trio

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    AskTimeout,
    ChildSpec,
    CircuitOpen,
    Deferred,
    HandlerCrashed,
    MailboxFull,
    ProcessContext,
    Refusal,
    Tell,
    actor,
    handles,
    process,
)
from alysd.testing.model.commands import ASK_SECONDS, TIMER_SECONDS, Action, ChildPlan, SendMode
from alysd.testing.model.mailbox import SendOutcome
from alysd.testing.process_double import ProcessDouble

START, CODEC = f"{__name__}:start_recorder", f"{__name__}:RECORDS"
"""The names of the factory and the codec of the recorders in processes of their own."""


class RecorderProtocol:
    """The protocol of `Recorder`."""


@attrs.frozen
class DoTold(Tell[RecorderProtocol]):
    """Tell the recorder to do the action with this number."""

    number: int
    action: Action


@attrs.frozen
class DoAsked(Ask[RecorderProtocol, int]):
    """Ask the recorder to do the action with this number and to answer with the number."""

    number: int
    action: Action


@attrs.frozen
class DoLater(Tell[RecorderProtocol]):
    """The recorder's timer is due."""

    number: int


class ScriptedCrash(Exception):
    """The error that makes a recorder crash."""


class Recorder(Actor[RecorderProtocol]):
    """Records messages in a list that survives restarts, so that lost or duplicated messages are found."""

    def __init__(self, written: list[int], stop_turns: int = 0) -> None:
        self._written = written
        self._stop_turns = stop_turns
        self._deferred: list[tuple[int, Deferred[int]]] = []

    async def pre_restart(self, error: Exception) -> None:
        """Take no turns after a crash: whether later siblings start meanwhile would have no single outcome."""
        self._stop_turns = 0

    async def stopped(self) -> None:
        """Take a few turns to end."""
        for _ in range(self._stop_turns):
            await trio.lowlevel.checkpoint()

    @handles(DoTold)
    async def do_told(self, message: DoTold) -> None:
        """Do the action."""
        self._do(message.number, message.action)

    @handles(DoAsked)
    async def do_asked(self, message: DoAsked) -> int | Deferred[int]:
        """Do the action and answer, now or later."""
        self._do(message.number, message.action)
        if message.action is not Action.DEFER:
            return message.number
        token: Deferred[int] = Deferred()
        self._deferred.append((message.number, token))
        return token

    @handles(DoLater)
    async def do_later(self, message: DoLater) -> None:
        """Record that the timer was due."""
        self._do(message.number, Action.DUE)

    def _do(self, number: int, action: Action) -> None:
        match action:
            case Action.REFUSE:
                raise Refusal(f"number {number} is refused")
            case Action.CRASH:
                raise ScriptedCrash(number)
            case Action.REPLY:
                for asked, token in self._deferred:
                    token.reply(asked)
                self._deferred.clear()
            case Action.SET_TIMER:
                self.timers.after(TIMER_SECONDS, DoLater(number))
            case _:
                pass
        self._written.append(number)


class Background:
    """The backgrounds of a child's instances: how many run, and the end of the newest."""

    def __init__(self) -> None:
        self.running = 0
        self.raises = False
        self.over = trio.Event()

    async def run(self) -> None:
        """Run until `end`."""
        self.running += 1
        self.over = trio.Event()
        try:
            await self.over.wait()
        finally:
            self.running -= 1
        if self.raises:
            raise ScriptedCrash("the background")

    def end(self, *, raises: bool) -> None:
        """End the background that runs, with an error or by a return."""
        self.raises = raises
        self.over.set()


class BusyRecorder(Recorder):
    """A recorder with a background."""

    def __init__(self, written: list[int], stop_turns: int, work: Background) -> None:
        super().__init__(written, stop_turns)
        self._work = work

    async def background(self) -> None:
        """Run until the program ends it."""
        await self._work.run()


@attrs.frozen
class RealChild:
    """One actor of the real tree: its plan, its address, and the actions of all its instances."""

    plan: ChildPlan
    address: Address[RecorderProtocol]
    written: list[int]
    background: Background = attrs.field(factory=Background)
    double: ProcessDouble = attrs.field(factory=ProcessDouble)

    @classmethod
    def of(cls, name: str, plan: ChildPlan) -> "RealChild":
        """Make the child that a plan describes."""
        address = Address[RecorderProtocol](
            name, capacity=plan.capacity, overflow=plan.overflow, on_crash=plan.on_crash
        )
        return cls(plan, address, [])

    def spec(self, linked_to: Sequence[Address[Any]] = ()) -> ChildSpec:
        """Return the specification of the child for its supervisor."""
        restart = self.plan.restart
        if not self.plan.process:
            return actor(self.address, self.recorder, restart=restart, linked_to=linked_to)
        CHILDREN[id(self)] = self
        child = process(self.address, START, codec=CODEC, config=id(self), restart=restart, linked_to=linked_to)
        return self.double.intercept(child)

    def recorder(self) -> Recorder:
        """Make an instance of the actor."""
        if self.plan.background:
            return BusyRecorder(self.written, self.plan.stop_turns, self.background)
        return Recorder(self.written, self.plan.stop_turns)

    def counts(self) -> dict[object, object]:
        """Return the counters of the runtime, and the recorded messages."""
        address, mailbox = self.address, self.address.mailbox
        return {
            "backgrounds": self.background.running,
            "written": self.written,
            "waiting": address.depth,
            "handled": address.handled,
            "refused": address.refused,
            "dropped": mailbox.dropped,
            "abandoned": address.abandoned,
        }

    async def send(self, number: int, mode: SendMode, action: Action) -> SendOutcome:
        """Send a message to the actor and return the outcome for the sender."""
        try:
            match mode:
                case SendMode.TELL:
                    self.address.tell(DoTold(number, action))
                case SendMode.SEND:
                    await self.address.send(DoTold(number, action))
                case SendMode.ASK:
                    answer = await self.address.ask(DoAsked(number, action), seconds=ASK_SECONDS)
                    assert answer == number, f"asked {number}, answered {answer}"  # noqa: S101  the answer to another message
                    return SendOutcome.ANSWERED
        except HandlerCrashed:
            return SendOutcome.CRASHED
        except AskTimeout:
            return SendOutcome.TIMEOUT
        except CircuitOpen:
            return SendOutcome.OPEN
        except ActorDown:
            return SendOutcome.DOWN
        except MailboxFull:
            return SendOutcome.FULL
        except Refusal:
            return SendOutcome.REFUSED
        return SendOutcome.SENT


CHILDREN: WeakValueDictionary[int, RealChild] = WeakValueDictionary()
"""The children with a process of their own. The double runs its factory in this process, so it finds them."""


def start_recorder(context: ProcessContext) -> Recorder:
    """Make the actor of a process."""
    return CHILDREN[context.config].recorder()


class ModelCodec:
    """Encodes the messages and answers of recorders as JSON."""

    def encode(self, value: Any) -> bytes:
        """Encode a message as its class, number and action, and a plain value as itself."""
        if isinstance(value, DoTold | DoAsked):
            value = [type(value).__name__, value.number, value.action.name]
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> Any:
        """Decode a message or a plain value."""
        match json.loads(data):
            case ["DoTold", int(number), str(action)]:
                return DoTold(number, Action[action])
            case ["DoAsked", int(number), str(action)]:
                return DoAsked(number, Action[action])
            case value:
                return value


RECORDS = ModelCodec()
