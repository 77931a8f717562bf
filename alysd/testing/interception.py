"""Interception of handlers and ports: handlers that stall, and ports whose calls fail."""

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


class HandlerStalls:
    """Stalls the handlers of actors by name. The tree of the actors must have been passed through `intercept`."""

    def __init__(self) -> None:
        self._stalled: dict[str, int] = {}
        self._changed = trio.lowlevel.ParkingLot()

    def intercept(self, spec: Spec) -> Spec:
        """The same tree, but each actor's handlers wait while the actor is stalled."""
        match spec:
            case ActorSpec():
                return cast(Spec, attrs.evolve(spec, factory=self._intercepting(spec.name, spec.factory)))
            case SupervisorSpec():
                return cast(Spec, attrs.evolve(spec, children=tuple(map(self.intercept, spec.children))))
            case _:
                return spec

    @contextmanager
    def stalling(self, names: Sequence[str]) -> Generator[None]:
        """While the `with` block runs, handlers of these actors start but do not proceed."""
        for name in names:
            self._stalled[name] = self._stalled.get(name, 0) + 1
        try:
            yield
        finally:
            for name in names:
                self._stalled[name] -= 1
            self._changed.unpark_all()

    def _intercepting(self, name: str, factory: Callable[[], Actor[Any]]) -> Callable[[], Actor[Any]]:
        def make() -> Actor[Any]:
            actor = factory()
            handlers = {kind: self._waiting(name, handler) for kind, handler in actor.handlers.items()}
            # On the instance, because the table of the class is shared with other instances.
            vars(actor)["handlers"] = cast(Mapping[type[Any], Handler], handlers)
            return actor

        return make

    def _waiting(self, name: str, handler: Handler) -> Handler:
        async def waiting(actor: Any, message: Any) -> Any:
            while self._stalled.get(name):
                await self._changed.park()
            return await handler(actor, message)

        return waiting


class PortFailures:
    """Makes all calls of the ports that it has wrapped fail."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []
        self.failed = 0

    @contextmanager
    def failing(self, error: Exception) -> Generator[None]:
        """While the `with` block runs, every call of a wrapped port raises `error`."""
        self._errors.append(error)
        try:
            yield
        finally:
            self._errors.remove(error)

    def wrap(self, port: Port) -> Port:
        """A wrapper with the attributes of the port, whose methods can be made to fail."""
        return cast(Port, _WrappedPort(port, self))

    def check(self) -> None:
        """Raise the error that applies now, if there is one, and count it in `failed`."""
        if self._errors:
            self.failed += 1
            raise self._errors[-1]


class _WrappedPort:
    """Forwards every attribute to `port`, and checks for a failure before each call."""

    def __init__(self, port: object, failures: PortFailures) -> None:
        self._port = port
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value
        call = cast(Callable[..., Any], value)
        if iscoroutinefunction(call):
            return self._async(call)

        @wraps(call)
        def checked(*args: Any, **options: Any) -> Any:
            self._failures.check()
            return call(*args, **options)

        return checked

    def _async(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(call)
        async def checked(*args: Any, **options: Any) -> Any:
            await trio.lowlevel.checkpoint()
            self._failures.check()
            return await call(*args, **options)

        return checked
