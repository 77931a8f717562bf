"""Between actors and what they call, or what calls them: handlers that can be stalled, ports that can break."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

import attrs
import trio

from alysd.nurseries import Actor, ChildSpec, SupervisorSpec
from alysd.nurseries.behaviour import Handler
from alysd.nurseries.spec import ActorSpec

Port = TypeVar("Port")
Spec = TypeVar("Spec", bound=ChildSpec)


class Stalls:
    """Which actors hang. Only those of a tree that was interposed can."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._changed = trio.lowlevel.ParkingLot()

    def interpose(self, spec: Spec) -> Spec:
        """The same tree, whose actors' handlers wait while their actor is held."""
        match spec:
            case ActorSpec():
                return cast(Spec, attrs.evolve(spec, factory=self._stalling(spec.name, spec.factory)))
            case SupervisorSpec():
                return cast(Spec, attrs.evolve(spec, children=tuple(map(self.interpose, spec.children))))
            case _:
                return spec

    @contextmanager
    def holding(self, names: Sequence[str]) -> Generator[None]:
        """While the block runs, what these actors take from their mailboxes gets nowhere."""
        for name in names:
            self._held[name] = self._held.get(name, 0) + 1
        try:
            yield
        finally:
            for name in names:
                self._held[name] -= 1
            self._changed.unpark_all()

    def _stalling(self, name: str, factory: Callable[[], Actor[Any]]) -> Callable[[], Actor[Any]]:
        def make() -> Actor[Any]:
            actor = factory()
            handlers = {kind: self._gated(name, handler) for kind, handler in actor.handlers.items()}
            # The instance's own table hides that of its class, which other instances share.
            vars(actor)["handlers"] = cast(Mapping[type[Any], Handler], handlers)
            return actor

        return make

    def _gated(self, name: str, handler: Handler) -> Handler:
        async def gated(actor: Any, message: Any) -> Any:
            while self._held.get(name):
                await self._changed.park()
            return await handler(actor, message)

        return gated


class IoSwitch:
    """Breaks the ports that were made breakable with it, all at once."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []
        self.failed = 0

    @contextmanager
    def failing(self, error: Exception) -> Generator[None]:
        """While the block runs, every call of these ports raises `error`."""
        self._errors.append(error)
        try:
            yield
        finally:
            self._errors.remove(error)

    def breakable(self, port: Port) -> Port:
        """The port, whose methods fail while the switch is on. It has whatever methods `port` has."""
        return cast(Port, _Breakable(port, self))

    def check(self) -> None:
        """Raise the error that is in force, if one is."""
        if self._errors:
            self.failed += 1
            raise self._errors[-1]


class _Breakable:
    """Stands before a port and calls it, or fails."""

    def __init__(self, port: object, switch: IoSwitch) -> None:
        self._port = port
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value
        call = cast(Callable[..., Any], value)
        if iscoroutinefunction(call):
            return self._waiting(call)

        @wraps(call)
        def now(*args: Any, **options: Any) -> Any:
            self._switch.check()
            return call(*args, **options)

        return now

    def _waiting(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(call)
        async def later(*args: Any, **options: Any) -> Any:
            await trio.lowlevel.checkpoint()
            self._switch.check()
            return await call(*args, **options)

        return later
