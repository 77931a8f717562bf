"""The children without children: an actor behind its address, and a plain task."""

import logging
from collections.abc import Awaitable, Mapping
from time import perf_counter
from typing import Any

import trio

from alysd.nurseries.address import Address
from alysd.nurseries.asks import Pending, handling
from alysd.nurseries.behaviour import Actor, Handler, Health
from alysd.nurseries.child import UP, Child, Parent, Runtime, State
from alysd.nurseries.errors import ActorDown, ChildEnded, leaf_of
from alysd.nurseries.serve import Signal, serve, within
from alysd.nurseries.spec import ActorSpec, TaskSpec
from alysd.nurseries.trace import Tracer

logger = logging.getLogger("alysd.nurseries")


_NOBODY: Actor[Any] = Actor()
"""Stands where no instance is: it handles nothing and has no hooks."""


class ActorChild(Child):
    """An actor: each instance is made by the factory and serves the one address."""

    __slots__ = ("_actor", "_factory", "_handle_seconds", "_handled_before", "address")

    def __init__(self, spec: ActorSpec, parent: Parent, runtime: Runtime) -> None:
        super().__init__(spec, parent, runtime)
        self.address: Address[Any] = spec.address
        self.address.wheel = runtime.wheel
        self._factory = spec.factory
        self._handle_seconds = spec.handle_seconds
        self._actor: Actor[Any] = _NOBODY
        self._handled_before = 0

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Errors that are answers, not crashes."""
        return self.runtime.refusals

    def proof(self) -> int:
        """Messages this instance handled."""
        return self.address.handled - self._handled_before

    @property
    def tracer(self) -> Tracer:
        """Records messages that carry a trace."""
        return self.runtime.tracer

    def handlers(self, actor: Actor[Any]) -> Mapping[type[Any], Handler]:
        """The instance's handlers, each within the time that the spec gives it."""
        seconds = self._handle_seconds
        if seconds is None:
            return actor.handlers
        return {kind: within(seconds, self.name, handler) for kind, handler in actor.handlers.items()}

    async def _start(self) -> None:
        self._handled_before = self.address.handled
        self.address.circuit_until = None
        handling.set(self.address.mailbox)
        actor = self._actor = self._factory()
        self.instance_type = type(actor)
        hooks = actor.overridden
        if "pre_start" in hooks:
            await actor.pre_start()
        if self.restarts and "post_restart" in hooks:
            await actor.post_restart()
        self.move(State.RUNNING)
        if "started" in hooks:
            await actor.started()

    def _work(self) -> Awaitable[None]:
        return serve(self, self._actor)

    async def _wind_up(self, failure: Exception | None) -> None:
        """Answer for the message in hand, then let the instance save and close what it has."""
        self.address.settle(failure or ActorDown(self.name, "stopped"))
        actor, self._actor = self._actor, _NOBODY
        if not actor.overridden & {"pre_restart", "stopped"}:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self.spec.stop_seconds) as scope:
            try:
                try:
                    if failure is not None and not self.stopping:
                        await actor.pre_restart(failure)
                finally:
                    await actor.stopped()
            except Exception as error:  # the instance is over; what ended it must not be hidden by this
                if failure is None:
                    raise
                logger.error("%s: a hook failed after a crash: %r", self.name, error, exc_info=leaf_of(error))
        if scope.cancelled_caught:
            logger.error("%s: its hooks took longer than %g s", self.name, self.spec.stop_seconds)

    def backs_off(self, seconds: float) -> None:
        """No instance for `seconds`; if that is because the circuit is open, asks fail until then."""
        if self.spec.restart.opens(self.failures):
            self.address.circuit_until = trio.current_time() + seconds
        super().backs_off(seconds)

    def begin_stop(self, *, for_good: bool) -> None:
        """Tell the actor to stop; for good, the mailbox is closed and what is in it is handled first."""
        self.stopping = True
        if for_good:
            self.address.mailbox.close()
        if self.state in UP:
            self.signal(Signal.STOP)
        elif self.scope is not None:  # starting, or waiting to: nothing is lost by ending that
            self.scope.cancel()

    def open(self) -> None:
        """Take messages; they wait until the instance has started."""
        self.address.mailbox.reopen()

    def close(self, reason: str) -> None:
        """Refuse messages, drop those that wait."""
        super().close(reason)
        self.address.shut(reason)

    def unregister(self) -> None:
        """Leave the system's books; the address may be given another actor."""
        super().unregister()
        self.address.wheel = None

    def signal(self, signal: Signal, pending: Pending | None = None) -> None:
        """Put a signal into the urgent lane."""
        self.address.mailbox.send_urgent((signal, perf_counter(), pending))

    def ask_health(self, check: Pending) -> None:
        """Ask the actor, ahead of its messages."""
        if self.state in UP:
            self.signal(Signal.CHECK, check)


class TaskChild(Child):
    """A plain async function; it counts as started once called."""

    __slots__ = ("_may_end", "_run")

    def __init__(self, spec: TaskSpec, parent: Parent, runtime: Runtime) -> None:
        super().__init__(spec, parent, runtime)
        self._run = spec.run
        self._may_end = spec.may_end

    async def _start(self) -> None:
        handling.set(None)  # whoever's handler added this task does not wait for it
        self.move(State.RUNNING)

    def _work(self) -> Awaitable[None]:
        return self._run()

    def _verdict(self, cancelled: bool) -> Exception | None:
        error = super()._verdict(cancelled)
        if isinstance(error, ChildEnded) and self._may_end:
            self.wanted = False
            return None
        return error

    def begin_stop(self, *, for_good: bool) -> None:  # noqa: ARG002  a task has nothing to drain
        """Cancel it."""
        self.stopping = True
        if self.scope is not None:
            self.scope.cancel()

    def ask_health(self, check: Pending) -> None:
        """Nobody could answer: a task that runs is healthy."""
        if self.state in UP:
            check.reply(Health.HEALTHY)
