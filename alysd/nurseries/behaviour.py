"""The base classes of messages, and of the actors that handle them.

A protocol is an empty class that serves as a type tag: pyright checks that an `Address[Counting]` gets only
messages of the protocol `Counting`. A `Tell` has no answer; an `Ask` names the type of its answer.

    class Counting: ...

    @attrs.frozen
    class Add(Tell[Counting]):
        amount: int

    @attrs.frozen
    class GetTotal(Ask[Counting, int]): ...

    class Counter(Actor[Counting]):
        def __init__(self) -> None:
            self.total = 0

        @handles(Add)
        async def add(self, message: Add) -> None:
            self.total += message.amount

        @handles(GetTotal)
        async def get_total(self, message: GetTotal) -> int:
            return self.total

One task runs all handlers and hooks of an instance, one at a time, so an actor needs no locks. Only `background`,
which most actors do not have, runs beside them.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

from alysd.nurseries.deferred import Deferred
from alysd.nurseries.protocols import check_handlers, protocol_of, register
from alysd.nurseries.timers import Timers
from alysd.nurseries.watch import Down, Watch, WatchedAddress

P = TypeVar("P")
R_co = TypeVar("R_co", covariant=True)


class Tell(Generic[P]):
    """A message of the protocol `P` that has no answer."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls, protocol_of(cls, (Tell, Ask)))


class Ask(Generic[P, R_co]):
    """A message of the protocol `P` whose answer has the type of the second parameter."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls, protocol_of(cls, (Tell, Ask)))


class Health(Enum):
    """The health of a child. An actor reports one of the first three values; the monitor sets the others."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "Unknown"
    RECOVERING = "Recovering"
    SHUTTING_DOWN = "ShuttingDown"


A = TypeVar("A")
R = TypeVar("R")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

Handler = Callable[[Any, Any], Awaitable[Any]]
"""An unbound handler: a function that takes the actor and the message, and returns an awaitable of the answer."""

_MARK = "alysd.nurseries.handles"
_HOOKS = ("pre_start", "started", "pre_restart", "post_restart", "pre_stop", "stopped", "background")


class Handles(Generic[M_co]):
    """The decorator that `handles` returns. Its type checks the handler's message and answer."""

    __slots__ = ("_message",)

    def __init__(self, message: type[M_co]) -> None:
        self._message = message

    @overload
    def __call__(
        self: "Handles[Ask[Any, R]]", method: Callable[[A, M_co], Awaitable[R]]
    ) -> Callable[[A, M_co], Awaitable[R]]: ...
    @overload
    def __call__(
        self: "Handles[Ask[Any, R]]", method: Callable[[A, M_co], Awaitable[Deferred[R]]]
    ) -> Callable[[A, M_co], Awaitable[Deferred[R]]]: ...
    @overload
    def __call__(
        self: "Handles[Ask[Any, R]]", method: Callable[[A, M_co], Awaitable[R | Deferred[R]]]
    ) -> Callable[[A, M_co], Awaitable[R | Deferred[R]]]: ...
    @overload
    def __call__(
        self: "Handles[Tell[Any]]", method: Callable[[A, M_co], Awaitable[None]]
    ) -> Callable[[A, M_co], Awaitable[None]]: ...
    def __call__(self, method: Any) -> Any:
        """Mark `method` as the handler of messages of this type."""
        method.__dict__[_MARK] = self._message
        return method


def handles(message: type[M]) -> Handles[M]:
    """Make a method the handler of messages of exactly this type.

    pyright checks that the method takes the message and returns the answer that the message declares.
    """
    return Handles(message)


class Runner(Protocol):
    """The child that runs an instance of an actor: the part that the instance uses."""

    @property
    def timers(self) -> Timers[Any]:
        """Sets timers of the instance."""
        ...

    def watch(self, watched: WatchedAddress, make: Callable[[Down], object]) -> Watch:
        """Let the instance watch an address."""
        ...

    def end(self) -> None:
        """Stop the actor at its own request."""
        ...


class Actor(Generic[P]):
    """The base class of actors of the protocol `P`. All hooks are optional; they run in the task of the handlers.

    Each instance runs `pre_start`, then `post_restart` unless it is the first instance, then `started`. After that
    it handles messages. `stopped` runs last, however the instance ended. An error in `pre_start` or `post_restart`
    is a failed start; an error in `started` is a crash. The supervisor handles both.

    A class derived directly from `Actor[P]` has to handle all messages of `P` that are defined before it. With
    `class Some(Actor[P], partial=True)` it need not, and refuses the others with `UnknownMessage`. No class may
    handle a message of another protocol. Otherwise creating the class raises `TypeError` (see `protocols`).
    """

    handlers: ClassVar[Mapping[type[Any], Handler]] = {}
    overridden: ClassVar[frozenset[str]] = frozenset()
    runtime_child: Runner | None = None
    """The child that runs this instance; `None` before the instance starts and after its end. For the runtime."""

    def __init_subclass__(cls, *, partial: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        handlers = dict(cls.handlers)
        for name, member in vars(cls).items():
            message = getattr(member, "__dict__", {}).get(_MARK)
            if message is None:
                continue
            known = handlers.get(message)
            if known is not None and known.__name__ != name:
                raise TypeError(f"{cls.__name__}: {known.__name__} and {name} both handle {message.__name__}")
            handlers[message] = member
        cls.handlers = handlers  # not behind a proxy, which would double the time of the look-up for each message
        protocol = protocol_of(cls, (Actor,))
        if protocol is not None:
            handled = [(message, protocol_of(message, (Tell, Ask))) for message in handlers]
            check_handlers(cls, protocol, handled, complete=not partial and Actor in cls.__bases__)
        # Only overridden hooks are awaited, which keeps starts and restarts cheap.
        cls.overridden = frozenset(name for name in _HOOKS if getattr(cls, name) is not getattr(Actor, name))

    async def pre_start(self) -> None:
        """Open the resources of the actor. Messages and later siblings wait until this hook returns."""

    async def started(self) -> None:
        """Called when the actor is running. Messages wait until this hook returns."""

    async def pre_restart(self, error: Exception) -> None:
        """Called when this instance crashed with `error`: save the state that the next instance needs."""

    async def post_restart(self) -> None:
        """Called when this instance replaces an earlier one: load the state that the earlier one saved."""

    async def pre_stop(self) -> None:
        """Called when the actor was asked to stop. The messages left in the mailbox are handled afterwards."""

    async def stopped(self) -> None:
        """Called when this instance ended, by request, crash or cancellation: close the resources that it opened.

        The hook is shielded from cancellation for at most the child's `stop_seconds`.
        """

    async def background(self) -> None:
        """Run beside the handlers: for an actor that also has to wait for something that is not a message.

        It starts after `started`, in a task of its own in the same event loop, and is cancelled when the instance
        ends: after the last message, and before `stopped`. An error raised here is a crash of the actor, and so is
        a return before the actor was asked to stop. A suspended actor's background goes on.
        """

    async def health_check(self) -> Health:
        """Return the actor's health. Called ahead of waiting messages; an error raised here is a crash."""
        return Health.HEALTHY

    def visible_state(self) -> Mapping[str, object]:
        """The part of the state that operators and tests may see (`System.get_state`): no secrets. Must be quick.

        Called between two messages. Raises `NotImplementedError` unless the actor overrides it.
        """
        raise NotImplementedError(f"{type(self).__name__} shows no state: it has no method visible_state")

    # What hooks and handlers can call, from `pre_start` until the instance has ended

    @property
    def timers(self) -> Timers[Tell[P]]:
        """Sets timers, which send messages to this instance later, until it ends (see `timers`)."""
        return self._run_by().timers

    def watch(self, address: WatchedAddress, message: Callable[[Down], Tell[P]]) -> Watch:
        """Watch an address until this instance ends: `message(down)` is handled for every `Down` (see `watch`)."""
        return self._run_by().watch(address, message)

    def stop(self) -> None:
        """End this actor, after the present handler and the messages that wait. Returns at once.

        Senders get `ActorDown` from now on. The actor stays in the tree, stopped, until an operator restarts it.
        If it was added at run time, it is taken out of the tree. Raises `RuntimeError` outside a running system.
        """
        self._run_by().end()

    def _run_by(self) -> Runner:
        if self.runtime_child is None:
            raise RuntimeError(f"this {type(self).__name__} is not an instance that runs in a system")
        return self.runtime_child


def has_run(actor: Actor[Any]) -> bool:
    """Whether this instance runs in a system, or has run in one. No instance runs twice: each starts afresh."""
    return "runtime_child" in vars(actor)
