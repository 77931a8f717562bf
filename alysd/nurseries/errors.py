"""Every error of the actor runtime, as one tree.

NurseryError
├─ Refusal              raised by a handler: goes to whoever asked, the actor goes on
│  └─ UnknownMessage    the actor has no handler for this type of message
├─ NotAnswered          a message was not taken, or an ask not answered: the other side's trouble
│  ├─ MailboxFull       no room, and the overflow policy says so (also a trio.WouldBlock)
│  ├─ ActorDown         stopped, failed for good or not started (also a trio.BrokenResourceError)
│  │  └─ CircuitOpen    down for now: its circuit breaker is open
│  ├─ HandlerCrashed    the actor crashed over this message; `__cause__` is its error
│  ├─ AskTimeout        no answer in time (also a trio.TooSlowError)
│  └─ AskCycle          actors would wait for each other for ever
├─ Fatal                raised by a child: no restart can mend this, it goes up at once
├─ ChildEnded           a child returned without being asked to
├─ HandlerTooSlow       a handler took longer than its actor's spec allows (also a trio.TooSlowError)
├─ HealthCheckFailed    a monitor found the child stuck or ill, and has it restarted
├─ BudgetSpent          a supervisor gave up: more restarts than its intensity allows, or a fatal error
├─ SystemFailed         the root gave up; `__cause__` is the error of the child where it began
├─ SpecError            a tree that cannot be built: what is wrong and where
├─ UnknownChild         no child of that name
├─ WrongState           an operation that the child's state or kind does not allow
└─ IllegalTransition    a lifecycle change that the table does not have
"""

from typing import cast

import attrs
import trio


class NurseryError(Exception):
    """The root of the tree."""


class NotAnswered(NurseryError):
    """The message was not handled to its end, and the sender is not to blame: whoever asked decides what then."""


class Refusal(NurseryError):
    """Raised by a handler to refuse a message: the asker gets it, the actor is not restarted for it."""


class Fatal(NurseryError):
    """Raised by a child when no restart can help: every supervisor above gives up at once."""


@attrs.frozen(str=False)
class UnknownMessage(Refusal):
    """The actor `name` has no handler for messages of type `message`."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"actor {self.name} has no handler for {self.message}"


@attrs.frozen(str=False)
class MailboxFull(NotAnswered, trio.WouldBlock):
    """The mailbox `name` holds its `capacity` of messages and its overflow policy refuses or dropped this one."""

    name: str
    capacity: int

    def __str__(self) -> str:
        return f"mailbox {self.name} is full ({self.capacity} messages)"


@attrs.frozen(str=False)
class ActorDown(NotAnswered, trio.BrokenResourceError):
    """Nobody takes messages at `name`, nor will without somebody's doing; `reason` in words."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} is down: {self.reason}"


@attrs.frozen(str=False)
class CircuitOpen(ActorDown):
    """The circuit breaker of `name` is open: it is tried again in `retry_in` seconds."""

    retry_in: float

    def __str__(self) -> str:
        return f"{self.name} is down: {self.reason}, next attempt in {self.retry_in:.3g} s"


@attrs.frozen(str=False)
class HandlerCrashed(NotAnswered):
    """The actor `name` crashed with `error` while it handled this message.

    Its own class, so that one actor's crash does not crash in turn whoever asked it.
    """

    name: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.name} crashed: {str(self.error) or type(self.error).__name__}"


@attrs.frozen(str=False)
class AskTimeout(NotAnswered, trio.TooSlowError):
    """The actor `name` did not answer a `message` (its type) within `seconds`."""

    name: str
    message: str
    seconds: float

    def __str__(self) -> str:
        return f"no answer from {self.name} to {self.message} within {self.seconds:g} s"


@attrs.frozen(str=False)
class AskCycle(NotAnswered):
    """Waiting would close a circle of actors, each in a handler that waits for the next: `names` in order."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "actors would wait for each other for ever: " + " -> ".join(self.names)


@attrs.frozen(str=False)
class ChildEnded(NurseryError):
    """The child `name` returned although nobody asked it to stop."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} ended without being asked to"


@attrs.frozen(str=False)
class HandlerTooSlow(NurseryError, trio.TooSlowError):
    """The actor `name` took more than `seconds`, all that its spec allows, to handle a `message` (its type)."""

    name: str
    message: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.name} took more than {self.seconds:g} s to handle {self.message}"


@attrs.frozen(str=False)
class HealthCheckFailed(NurseryError):
    """The child `name` failed so many health checks in a row: the error that its monitor restarts it with."""

    name: str
    failures: int
    reason: str

    def __str__(self) -> str:
        return f"{self.name} failed {self.failures} health checks in a row: {self.reason}"


@attrs.frozen(str=False)
class BudgetSpent(NurseryError):
    """The supervisor `name` gave up over its `child`; `reason` in words. `__cause__` is the child's error."""

    name: str
    child: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} gave up on {self.child}: {self.reason}"


@attrs.frozen(str=False)
class SystemFailed(NurseryError):
    """The root supervisor `name` gave up. `path` names the way down to the child that failed first."""

    name: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} failed: {' > '.join(self.path)}"


class SpecError(NurseryError):
    """A tree of children that cannot be built; the message names the child and the rule."""


@attrs.frozen(str=False)
class UnknownChild(NurseryError):
    """There is no child named `name` in the system."""

    name: str

    def __str__(self) -> str:
        return f"there is no child named {self.name}"


@attrs.frozen(str=False)
class WrongState(NurseryError):
    """The child `name` cannot be asked to `operation`; `reason` in words."""

    name: str
    operation: str
    reason: str

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.name}: {self.reason}"


@attrs.frozen(str=False)
class IllegalTransition(NurseryError):
    """The lifecycle table has no way for `name` from state `old` to state `new`."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name} cannot go from {self.old} to {self.new}"


def leaf_of(error: BaseException) -> BaseException:
    """The first error inside nested exception groups: nurseries wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        error = group.exceptions[0]
    return error


def root_cause(error: BaseException) -> BaseException:
    """The error that came first: inside exception groups, and below supervisors that gave up."""
    error = leaf_of(error)
    while isinstance(error, BudgetSpent) and error.__cause__ is not None:
        error = leaf_of(error.__cause__)
    return error
