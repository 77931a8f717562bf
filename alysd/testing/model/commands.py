"""Programs as data: the plan of a tree, and a list of commands for it.

Hypothesis draws a program, shrinks it, and prints it as code. The field `child` of a command is the index of a
child, modulo the number of children, so that any command is valid for any tree.
"""

from enum import Enum

import attrs

from alysd.nurseries import OnCrash, OneForOne, Overflow, RestartPolicy, Strategy

ASK_SECONDS = 1.105
"""Timeout of a program's asks in seconds. It never coincides with `PassTime` or a tick of the asks' timer."""

TIMER_SECONDS = 0.7007
"""The time in seconds after which an actor's timer is due. It coincides with no other event either."""

GRID = 0.5
"""The unit of `PassTime` in seconds. Delays of restarts are small multiples of it."""


@attrs.frozen
class ChildPlan:
    """The plan of one actor: restart policy, mailbox, hooks, background, and process of its own."""

    restart: RestartPolicy
    capacity: int = 2
    overflow: Overflow = Overflow.BLOCK
    on_crash: OnCrash = OnCrash.DROP
    stop_turns: int = 0
    """The number of checkpoints in its `stopped` hook. Until the hook returns, the child has not ended."""
    background: bool = False
    """Whether the actor has a background, which runs until an `EndBackground`."""
    process: bool = False
    """Whether the actor lives in a process of its own, which the double runs. It then sets no timers."""


@attrs.frozen
class TreePlan:
    """The plan of a tree: a root with one supervisor, which has the actors as children.

    The supervisor allows `restarts` restarts within `window` seconds, the root `root_restarts`.
    """

    strategy: Strategy
    children: tuple[ChildPlan, ...]
    restarts: int = 3
    root_restarts: int = 1
    window: float = 10.0
    linked: tuple[int, ...] = ()
    """The numbers of the children that are linked to the child before them."""

    @property
    def grouped(self) -> bool:
        """Whether the failure of a child may restart other children."""
        return bool(self.linked) or not isinstance(self.strategy, OneForOne)

    def link_of(self, number: int) -> int | None:
        """The number of the child that the child `number` is linked to."""
        return number - 1 if number in self.linked else None


class Action(Enum):
    """The reaction of an actor to a message."""

    WRITE = "record its number"
    REFUSE = "refuse it"
    CRASH = "crash"
    DEFER = "defer the answer, and record the number"
    REPLY = "answer every deferred ask, and record the number"
    SET_TIMER = "record the number, and once more when a timer is due"
    DUE = "record the number, because the timer is due"
    """Never sent by a program, but by the actor's own timer."""


class SendMode(Enum):
    """The method with which a message is sent."""

    TELL = "tell"
    SEND = "send"
    ASK = "ask"


@attrs.frozen
class SendMessage:
    """Send a message to a child. A `send` or `ask` that has to wait runs in its own task."""

    child: int
    mode: SendMode
    action: Action = Action.WRITE


@attrs.frozen
class CancelSender:
    """Cancel one of the waiting senders: its index from the oldest, modulo their number."""

    waiting: int


@attrs.frozen
class CrashChild:
    """Make the child fail at its next checkpoint."""

    child: int


@attrs.frozen
class KillProcess:
    """Kill the process of the child, if it has one."""

    child: int


@attrs.frozen
class EndBackground:
    """End the background of the child, if it has one: with an error, or by a return. Both are crashes."""

    child: int
    raises: bool


@attrs.frozen
class CrashSupervisor:
    """Make the supervisor fail at its next checkpoint."""


@attrs.frozen
class SuspendChild:
    """Suspend the child: it handles no messages until it is resumed."""

    child: int


@attrs.frozen
class ResumeChild:
    """Resume the child."""

    child: int


@attrs.frozen
class RestartChild:
    """Restart the child, as an operator does."""

    child: int


@attrs.frozen
class StopChild:
    """Stop the child permanently, as an operator does."""

    child: int


@attrs.frozen
class RemoveChild:
    """Stop the child and take it out of the tree, as an operator does."""

    child: int


@attrs.frozen
class SpawnChild:
    """Add a child at run time."""

    plan: ChildPlan


Operation = SuspendChild | ResumeChild | RestartChild | StopChild | RemoveChild | SpawnChild
"""A command that an operator gives through `System`."""


@attrs.frozen
class Operator:
    """A task that does one operation after `turns` checkpoints.

    It is cancelled `cancelled_after` checkpoints later; with `None` it is not cancelled.
    """

    operation: Operation
    turns: int = 0
    cancelled_after: int | None = None


@attrs.frozen
class OperateAtOnce:
    """Several operators, whose operations overlap."""

    operators: tuple[Operator, ...]


class Disturbance(Enum):
    """The ways to disturb the watcher, the actor that watches every child."""

    CRASH = "crash"
    SUSPEND = "suspend"
    RESUME = "resume"


@attrs.frozen
class DisturbWatcher:
    """Crash, suspend or resume the watcher."""

    how: Disturbance


@attrs.frozen
class PassTime:
    """Let `steps` times `GRID` seconds of virtual time pass."""

    steps: int


Command = (
    SendMessage
    | CancelSender
    | CrashChild
    | EndBackground
    | KillProcess
    | CrashSupervisor
    | SuspendChild
    | ResumeChild
    | RestartChild
    | StopChild
    | RemoveChild
    | SpawnChild
    | OperateAtOnce
    | DisturbWatcher
    | PassTime
)


@attrs.frozen
class Program:
    """A test case: run `commands` on the tree of `plan`, then shut it down."""

    plan: TreePlan
    commands: tuple[Command, ...]
