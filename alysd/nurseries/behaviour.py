"""Messages, and the class that handles them.

A protocol is an empty class that only tags types: an `Address[Counting]` takes the messages of `Counting` and no
others, and pyright checks it. `Tell` has no answer; `Ask` names the type of its answer.

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

One task runs an instance: no handler or hook runs while another does, so an actor needs no locks.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, overload

P = TypeVar("P")
R_co = TypeVar("R_co", covariant=True)


class Tell(Generic[P]):
    """A message of the protocol `P` that has no answer."""

    __slots__ = ()


class Ask(Generic[P, R_co]):
    """A message of the protocol `P` that is answered with a value of the second parameter."""

    __slots__ = ()


class Health(Enum):
    """How a child is. An actor answers one of the first three, a monitor knows them all."""

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
"""An unbound handler: the actor, the message, an awaitable of the answer."""

_MARK = "alysd.nurseries.handles"
_HOOKS = ("pre_start", "started", "pre_restart", "post_restart", "pre_stop", "stopped")


class Handles(Generic[M_co]):
    """What `handles` returns: a decorator that knows the message, and through it the answer."""

    __slots__ = ("_message",)

    def __init__(self, message: type[M_co]) -> None:
        self._message = message

    @overload
    def __call__(
        self: "Handles[Ask[Any, R]]", method: Callable[[A, M_co], Awaitable[R]]
    ) -> Callable[[A, M_co], Awaitable[R]]: ...
    @overload
    def __call__(
        self: "Handles[Tell[Any]]", method: Callable[[A, M_co], Awaitable[None]]
    ) -> Callable[[A, M_co], Awaitable[None]]: ...
    def __call__(self, method: Any) -> Any:
        """Mark `method` as the handler of this type of message."""
        method.__dict__[_MARK] = self._message
        return method


def handles(message: type[M]) -> Handles[M]:
    """Make a method the handler of messages of exactly this type.

    pyright checks that it takes the message and returns what the message promises to its asker.
    """
    return Handles(message)


class Actor(Generic[P]):
    """The base of actors of the protocol `P`. Every hook may be left out; hooks run in the actor's own task.

    For each instance `pre_start` comes first, then (from the second instance on) `post_restart`, then
    `started`, then messages. `stopped` comes last, however the instance ended. An error in `pre_start` or
    `post_restart` is a failed start, in `started` a crash; both are the supervisor's business.
    """

    handlers: ClassVar[Mapping[type[Any], Handler]] = MappingProxyType({})
    overridden: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        handlers = dict(cls.handlers)
        for name, member in vars(cls).items():
            message = getattr(member, "__dict__", {}).get(_MARK)
            if message is None:
                continue
            known = handlers.get(message)
            if known is not None and known.__name__ != name:
                raise TypeError(f"{cls.__name__}: {known.__name__} and {name} both handle {message.__name__}")
            handlers[message] = member
        cls.handlers = MappingProxyType(handlers)
        # A hook that is not overridden is not awaited: spawning and restarting stay cheap.
        cls.overridden = frozenset(name for name in _HOOKS if getattr(cls, name) is not getattr(Actor, name))

    async def pre_start(self) -> None:
        """Open what the actor needs. Nothing is handled and no later sibling starts before this is done."""

    async def started(self) -> None:
        """The actor runs; messages come after this."""

    async def pre_restart(self, error: Exception) -> None:
        """This instance crashed with `error`: save what the next one needs."""

    async def post_restart(self) -> None:
        """This instance follows one that ended: take up what it left."""

    async def pre_stop(self) -> None:
        """The actor is asked to stop; what is still in the mailbox is handled after this."""

    async def stopped(self) -> None:
        """This instance ended, by request, crash or force: close what it opened.

        Runs shielded from cancellation, for at most the child's `stop_seconds`.
        """

    async def health_check(self) -> Health:
        """How the actor is. Comes ahead of waiting messages; a raised error counts as a crash."""
        return Health.HEALTHY
