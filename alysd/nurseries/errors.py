"""The errors of the actor runtime, as one tree. Those of one feature alone are defined in its module.

NurseryError
├─ Refusal              raised by a handler: the asker gets it, the actor continues
│  └─ UnknownMessage    the actor has no handler for this type of message
├─ NotAnswered          the message was not accepted or not answered; the sender is not at fault
│  ├─ MailboxFull       the mailbox is full, and its policy does not wait (also a trio.WouldBlock)
│  ├─ ActorDown         the actor is stopped, failed for good or not started (also a trio.BrokenResourceError)
│  │  └─ CircuitOpen    the actor is down until its circuit breaker tries again
│  ├─ HandlerCrashed    the actor crashed while it handled this message; `__cause__` is its error
│  ├─ AskTimeout        no answer in time (also a trio.TooSlowError)
│  ├─ OperationFailed   the task whose result is awaited failed for good; `__cause__` is its error
│  └─ AskCycle          the actors would wait for each other for ever
├─ Fatal                raised by a child when no restart can help: every supervisor above gives up
├─ InstanceReused       a factory returned an instance that runs or has run, instead of a new one
├─ ChildEnded           a child returned without being asked to stop
├─ HandlerTooSlow       a handler took longer than its actor's spec allows (also a trio.TooSlowError)
├─ HealthCheckFailed    the monitor found the child stuck or unhealthy, and restarts it
├─ BudgetSpent          a supervisor gave up: more restarts than its intensity allows, or a fatal error
├─ SystemFailed         the root gave up; `__cause__` is the error of the child that failed first
├─ StartFailed          a child that was started at run time did not come up; `__cause__` is its error
├─ StartTooSlow         the hooks of a start took longer than its actor's spec allows (also a trio.TooSlowError)
├─ TooManyChildren      the supervisor has as many children as its spec allows
├─ SpecError            the tree is invalid; the text names the child and the rule
├─ UnknownChild         no child has that name
├─ WrongState           the child's state or kind does not allow the operation
├─ WrongThread          a method was called in a thread in which it cannot work (also a RuntimeError)
└─ IllegalTransition    a change of state that is not in the table
"""

from collections.abc import Iterator
from typing import cast

import attrs
import trio


def text_of(error: BaseException) -> str:
    """The text of an error. A program's own error whose `__str__` fails must not make the log of failures fail."""
    try:
        return str(error)
    except Exception as raised:  # `__str__` may raise anything
        return f"(its text cannot be made: {type(raised).__name__})"


class NurseryError(Exception):
    """The root of the tree."""


class NotAnswered(NurseryError):
    """The message was not handled, or not completely. The sender is not at fault, and decides what to do."""


class Refusal(NurseryError):
    """Raised by a handler to refuse a message: the asker gets it, and the actor continues."""


class Fatal(NurseryError):
    """Raised by a child when no restart can help: every supervisor above it gives up."""


@attrs.frozen(str=False)
class UnknownMessage(Refusal):
    """The actor `name` has no handler for messages of type `message`."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"actor {self.name} has no handler for {self.message}"


@attrs.frozen(str=False)
class MailboxFull(NotAnswered, trio.WouldBlock):
    """The mailbox `name` is full with `capacity` messages, and its overflow policy refused or dropped this one."""

    name: str
    capacity: int

    def __str__(self) -> str:
        return f"mailbox {self.name} is full ({self.capacity} messages)"


@attrs.frozen(str=False)
class ActorDown(NotAnswered, trio.BrokenResourceError):
    """The actor `name` accepts no messages until someone intervenes; `reason` says why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} is down: {self.reason}"


@attrs.frozen(str=False)
class CircuitOpen(ActorDown):
    """The circuit breaker of `name` is open; the next instance starts in `retry_in` seconds."""

    retry_in: float

    def __str__(self) -> str:
        return f"{self.name} is down: {self.reason}, next attempt in {self.retry_in:.3g} s"


@attrs.frozen(str=False)
class HandlerCrashed(NotAnswered):
    """The actor `name` crashed with `error` while it handled this message.

    It is a `NotAnswered`: an asker does not crash because the actor that it asked has crashed.
    """

    name: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.name} crashed: {text_of(self.error) or type(self.error).__name__}"


@attrs.frozen(str=False)
class AskTimeout(NotAnswered, trio.TooSlowError):
    """The actor `name` did not answer a message of type `message` within `seconds`."""

    name: str
    message: str
    seconds: float

    def __str__(self) -> str:
        return f"no answer from {self.name} to {self.message} within {self.seconds:g} s"


@attrs.frozen(str=False)
class AskCycle(NotAnswered):
    """The wait would close a cycle of actors (`names`), each in a handler that waits for the next one."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "actors would wait for each other for ever: " + " -> ".join(self.names)


@attrs.frozen(str=False)
class OperationFailed(NotAnswered):
    """The task `name`, whose result is awaited, failed with `error` and is not restarted."""

    name: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.name} failed: {text_of(self.error) or type(self.error).__name__}"


@attrs.frozen(str=False)
class InstanceReused(NurseryError):
    """The factory of the actor `name` returned an instance of `kind` that runs already, or has run before."""

    name: str
    kind: str

    def __str__(self) -> str:
        again = f"the factory of {self.name} returned the same {self.kind} twice"
        return f"{again}; it must make a new one for each start"


@attrs.frozen(str=False)
class ChildEnded(NurseryError):
    """The child `name` returned without being asked to stop."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} ended without being asked to stop"


@attrs.frozen(str=False)
class HandlerTooSlow(NurseryError, trio.TooSlowError):
    """The actor `name` took more than its `handle_seconds` to handle a message of type `message`."""

    name: str
    message: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.name} took more than {self.seconds:g} s to handle {self.message}"


@attrs.frozen(str=False)
class HealthCheckFailed(NurseryError):
    """The child `name` failed too many health checks in a row.

    The monitor makes the child fail with this error.
    """

    name: str
    failures: int
    reason: str

    def __str__(self) -> str:
        return f"{self.name} failed {self.failures} health checks in a row: {self.reason}"


@attrs.frozen(str=False)
class BudgetSpent(NurseryError):
    """The supervisor `name` gave up because of `child`; `reason` says why. `__cause__` is the child's error."""

    name: str
    child: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} gave up on {self.child}: {self.reason}"


@attrs.frozen(str=False)
class SystemFailed(NurseryError):
    """The root supervisor `name` gave up. `path` names the children from the root to the first failure."""

    name: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} failed: {' > '.join(self.path)}"


@attrs.frozen(str=False)
class StartFailed(NurseryError):
    """The child `name`, which was started at run time, did not come up, and has left the tree."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} did not start: {self.reason}"


@attrs.frozen(str=False)
class TooManyChildren(NurseryError):
    """The supervisor `name` has `children` children, the largest number that its spec allows."""

    name: str
    children: int

    def __str__(self) -> str:
        return f"{self.name} has {self.children} children already, which is its max_children"


class SpecError(NurseryError):
    """A tree of children is invalid; the message names the child and the rule."""


@attrs.frozen(str=False)
class UnknownChild(NurseryError):
    """There is no child named `name` in the system."""

    name: str

    def __str__(self) -> str:
        return f"there is no child named {self.name}"


@attrs.frozen(str=False)
class WrongState(NurseryError):
    """The `operation` is not possible for the child `name`; `reason` says why."""

    name: str
    operation: str
    reason: str

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.name}: {self.reason}"


@attrs.frozen(str=False)
class WrongThread(NurseryError, RuntimeError):
    """The `operation` on `name` is not possible in the thread that called it; `instead` says what to call."""

    name: str
    operation: str
    instead: str

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.name} in this thread: {self.instead}"


@attrs.frozen(str=False)
class IllegalTransition(NurseryError):
    """The child `name` cannot go from state `old` to state `new`, because `TRANSITIONS` does not allow it."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name} cannot go from {self.old} to {self.new}"


@attrs.frozen(str=False)
class StartTooSlow(NurseryError, trio.TooSlowError):
    """The hooks `pre_start` and `post_restart` of the actor `name` together took more than its `start_seconds`."""

    name: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.name} took more than {self.seconds:g} s to start"


def as_crash(name: str, error: Exception) -> HandlerCrashed:
    """The error for an asker whose ask the actor `name` did not answer because of `error`."""
    crashed = HandlerCrashed(name, error)
    crashed.__cause__ = error
    return crashed


def leaf_of(error: BaseException) -> BaseException:
    """The first error inside nested exception groups, in which nurseries wrap the errors of their tasks."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        error = group.exceptions[0]
    return error


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """All errors inside nested exception groups; `error` itself if it is no group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves_of(inner)
    else:
        yield error


def is_fatal(error: BaseException, fatal: tuple[type[Exception], ...]) -> bool:
    """Whether any error that `error` stands for has one of the types `fatal`."""
    if not isinstance(error, (BaseExceptionGroup, BudgetSpent)):  # saves a tenth of the time of a restart
        return isinstance(error, fatal)
    return any(isinstance(root_cause(leaf), fatal) for leaf in leaves_of(cast("BaseException", error)))


def exit_in(error: BaseException) -> BaseException | None:
    """The `SystemExit`, `KeyboardInterrupt` or the like in `error`, which ends the program, or `None`.

    The cancellation of a task, and the end of a coroutine that is thrown away, are no such exits.
    """
    if isinstance(error, Exception):  # also a group: an `ExceptionGroup` has no other errors
        return None
    for leaf in leaves_of(error):
        if not isinstance(leaf, (Exception, trio.Cancelled, GeneratorExit)):
            return leaf
    return None


def root_cause(error: BaseException) -> BaseException:
    """The error that occurred first: `error` without exception groups and without supervisors that gave up."""
    error = leaf_of(error)
    while isinstance(error, BudgetSpent) and error.__cause__ is not None:
        error = leaf_of(error.__cause__)
    return error
