"""Programs: the plan of a tree and a list of commands for it, as data.

Hypothesis draws a program, shrinks it, and prints it as code. A `child` is the index of a child, modulo their
number, so that any program fits any tree.
"""

from enum import Enum

import attrs

from alysd.nurseries import OnCrash, Overflow, RestartPolicy, Strategy

ASK_SECONDS = 1.105
"""Seconds that an ask of a program waits: off the grids of `PassTime` and of the asks' timer, so that none tie."""

GRID = 0.5
"""Seconds of the shortest `PassTime`; delays of restarts are a few of them."""


@attrs.frozen
class ChildPlan:
    """One actor: its mailbox and its restart policy."""

    restart: RestartPolicy
    capacity: int = 2
    overflow: Overflow = Overflow.BLOCK
    on_crash: OnCrash = OnCrash.DROP


@attrs.frozen
class TreePlan:
    """A root over one supervisor over actors. Each gives up after too many restarts within `window` seconds."""

    strategy: Strategy
    children: tuple[ChildPlan, ...]
    restarts: int = 3
    root_restarts: int = 1
    window: float = 10.0


class Action(Enum):
    """The actor's reaction to a message."""

    WRITE = "write its number down"
    REFUSE = "refuse it"
    CRASH = "crash over it"


class SendMode(Enum):
    """How a message is sent."""

    TELL = "tell"
    SEND = "send"
    ASK = "ask"


@attrs.frozen
class SendMessage:
    """SendMessage a message to a child; a `send` or `ask` that has to wait does so beside the program."""

    child: int
    mode: SendMode
    action: Action = Action.WRITE


@attrs.frozen
class CancelSender:
    """Cancel one of the waiting senders: an index from the oldest, modulo their number."""

    waiting: int


@attrs.frozen
class CrashChild:
    """The child fails at its next checkpoint."""

    child: int


@attrs.frozen
class CrashSupervisor:
    """The supervisor itself fails at its next checkpoint."""


@attrs.frozen
class SuspendChild:
    """The child handles nothing until it is resumed."""

    child: int


@attrs.frozen
class ResumeChild:
    """The child goes on."""

    child: int


@attrs.frozen
class RestartChild:
    """The operator restarts the child."""

    child: int


@attrs.frozen
class StopChild:
    """The operator stops the child for good."""

    child: int


@attrs.frozen
class SpawnChild:
    """Add a child at run time."""

    plan: ChildPlan


@attrs.frozen
class PassTime:
    """Let `steps` times `GRID` seconds of virtual time pass."""

    steps: int


Command = (
    SendMessage
    | CancelSender
    | CrashChild
    | CrashSupervisor
    | SuspendChild
    | ResumeChild
    | RestartChild
    | StopChild
    | SpawnChild
    | PassTime
)


@attrs.frozen
class Program:
    """Run `commands` on the tree, then shut it down."""

    plan: TreePlan
    commands: tuple[Command, ...]
