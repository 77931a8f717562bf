"""What may be done to a tree, as data: a program is a tree's plan and a list of commands.

A program is a value: hypothesis draws it, makes it smaller, and prints it as the code that makes it again.
`child` counts the children from 0, wrapping round, so that any program fits any tree.
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
    """One actor: its mailbox and its restarts."""

    restart: RestartPolicy
    capacity: int = 2
    overflow: Overflow = Overflow.BLOCK
    on_crash: OnCrash = OnCrash.DROP


@attrs.frozen
class TreePlan:
    """A root over one supervisor over actors. A restart too many in 10 s makes either of them give up."""

    strategy: Strategy
    children: tuple[ChildPlan, ...]
    restarts: int = 3
    root_restarts: int = 1
    window: float = 10.0


class Action(Enum):
    """What a message makes of the actor that handles it."""

    WRITE = "write its number down"
    REFUSE = "refuse it"
    CRASH = "crash over it"


class SendMode(Enum):
    """How a message is given to an address."""

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
    """Cancel one of the senders and askers that wait, counted from the oldest, wrapping round."""

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
    """An operator has the child restarted."""

    child: int


@attrs.frozen
class StopChild:
    """An operator has the child stopped for good."""

    child: int


@attrs.frozen
class SpawnChild:
    """One child more, at run time."""

    plan: ChildPlan


@attrs.frozen
class PassTime:
    """Virtual time passes: so many steps of `GRID` seconds."""

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
