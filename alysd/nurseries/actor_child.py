"""The child that is an actor behind its address."""

import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from alysd.nurseries.address import NOT_RUNNING, Address
from alysd.nurseries.asks import HandlerTask, Pending, handling
from alysd.nurseries.behaviour import Actor, has_run
from alysd.nurseries.child import Parent, Runtime
from alysd.nurseries.errors import ActorDown, ChildEnded, InstanceReused, StartTooSlow, is_fatal, leaf_of
from alysd.nurseries.inbox import content
from alysd.nurseries.life import LivingChild
from alysd.nurseries.serve import HEALTH_CHECK, WAKE, serve
from alysd.nurseries.signals import Signal
from alysd.nurseries.spec import ActorSpec
from alysd.nurseries.states import BEING_STARTED, UP, Desired, State
from alysd.nurseries.timers import Timers
from alysd.nurseries.trace import Tracer
from alysd.nurseries.watch import Down, Watch, WatchedAddress, instance_ended, tell_watchers
from alysd.nurseries.watchdog import Watchdog

logger = logging.getLogger("alysd.nurseries")

_NO_INSTANCE: Actor[Any] = Actor()
"""The placeholder while there is no instance: it handles nothing and has no hooks."""


_STARTING_HOOKS = frozenset({"pre_start", "post_restart"})


class ActorChild(LivingChild):
    """An actor. The factory makes one instance after another, and all of them serve the same address."""

    __slots__ = (
        "_actor",
        "_crashes_unanswered",
        "_factory",
        "_handle_seconds",
        "_handled_before",
        "_progressed",
        "_signals",
        "_start_seconds",
        "_was_up",
        "address",
    )

    def __init__(self, spec: ActorSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        super().__init__(spec, parent, runtime, planned=planned)
        self.address: Address[Any] = spec.address
        self.address.bind(runtime.wheel)
        self._factory = spec.factory
        self._start_seconds = spec.start_seconds
        self._handle_seconds = spec.handle_seconds
        self._crashes_unanswered = spec.crash_on_not_answered
        self._actor: Actor[Any] = _NO_INSTANCE
        self._handled_before = 0
        # Whether the instance that ended last had taken any message.
        self._progressed = False
        # The timers and watches of the instance; None if it never had one.
        self._signals: set[Signal] | None = None
        # Whether an instance came up whose end the watchers have not been told yet.
        self._was_up = False

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Types of errors that are answers to the asker, not crashes."""
        return self.runtime.refusals

    @property
    def fatal(self) -> tuple[type[Exception], ...]:
        """Types of errors that end the system."""
        return self.runtime.fatal

    @property
    def crashes_unanswered(self) -> bool:
        """Whether a `NotAnswered` that leaves a handler is a crash."""
        return self._crashes_unanswered

    def handled(self) -> int:
        """Messages that this instance has handled."""
        return self.address.handled - self._handled_before

    @property
    def watched(self) -> WatchedAddress:
        """The address whose watchers are told when an instance ends."""
        return self.address

    @property
    def tracer(self) -> Tracer:
        """Records the handling of messages that carry a trace."""
        return self.runtime.tracer

    async def _start(self) -> None:
        self._count_ended(None)  # the instance before, which ended as it was asked to
        self._tell_watchers()
        self._handled_before = self.address.handled
        self.address.circuit_until = None
        handlers = HandlerTask(self.address.receiver)
        handling.set(handlers)
        actor = self._factory()
        if not isinstance(actor, Actor):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the factory of {self.name} must return an Actor, not {actor!r}")
        if has_run(actor):
            raise InstanceReused(self.name, type(actor).__name__)
        self._actor = actor
        actor.runtime_child = self
        self.instance_type = type(actor)
        hooks = actor.overridden
        if hooks & _STARTING_HOOKS:
            await self._open(actor)
        if not self.stopping:  # a stop for good lets an instance start that has messages to handle
            self.move(State.RUNNING)
        self._was_up = True
        if "started" in hooks:
            await actor.started()
        handlers.outer = len(handlers.task.child_nurseries)

    async def _open(self, actor: Actor[Any]) -> None:
        """Run the hooks before the actor is up, within `start_seconds`.

        The deadline is that of the instance's scope, because a hook may open a nursery that outlives the hook.
        """
        if self.scope is not None and not self.stopping:
            self.scope.deadline = trio.current_time() + self._start_seconds
        if "pre_start" in actor.overridden:
            await actor.pre_start()
        if self.restarts and "post_restart" in actor.overridden:
            await actor.post_restart()
        if self.scope is not None and not self.stopping:
            self.scope.deadline = math.inf

    def _unexpected_end(self, *, cancelled: bool) -> Exception | None:
        """Return a `StartTooSlow` if the deadline of the start ended the instance; otherwise as for any child."""
        if cancelled and self.state in BEING_STARTED and self._injected is None:
            return StartTooSlow(self.name, self._start_seconds)
        return super()._unexpected_end(cancelled=cancelled)

    def _work(self) -> Awaitable[None]:
        if "background" in self._actor.overridden:
            return self._serve_beside_background(self._actor)
        return self._serve(self._actor)

    def _serve(self, actor: Actor[Any]) -> Awaitable[None]:
        if self._handle_seconds is None:
            return serve(self, actor)
        watchdog = Watchdog(self.address, self._handle_seconds, self.runtime.wheel)
        return watchdog.watch(partial(serve, self, actor))

    async def _serve_beside_background(self, actor: Actor[Any]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._background, actor, name=f"background of {self.name}")
            handling.set(HandlerTask(self.address.receiver))  # no handler waits for this nursery
            await self._serve(actor)
            nursery.cancel_scope.cancel()

    async def _background(self, actor: Actor[Any]) -> None:
        handling.set(None)  # no handler waits for this task, so its asks close no cycle of waits
        await actor.background()
        if not self.asked_to_stop:
            raise ChildEnded(f"the background of {self.name}")

    @property
    def asked_to_stop(self) -> bool:
        """Whether the actor was asked to stop, by itself, its supervisor or an operator."""
        return self.stopping

    async def _end_instance(self, failure: Exception | None) -> None:
        """Resolve the message that was being handled, then run the hooks that save and close."""
        self._progressed = self.address.current is not None or self.handled() > 0
        self.address.resolve_current(failure or ActorDown(self.name, "stopped"))
        actor, self._actor = self._actor, _NO_INSTANCE
        actor.runtime_child = None
        signals, self._signals = self._signals, None
        for signal in tuple(signals or ()):
            signal.cancel()
        if not actor.overridden & {"pre_restart", "stopped"}:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self.spec.stop_seconds) as scope:
            try:
                if failure is not None and not self.stopping:
                    await self._last_hook(actor.pre_restart(failure), failure)
            finally:
                await self._last_hook(actor.stopped(), failure)
        if scope.cancelled_caught:
            logger.error("%s: the hooks took longer than %g s", self.name, self.spec.stop_seconds)

    async def _last_hook(self, hook: Awaitable[None], failure: Exception | None) -> None:
        try:
            await hook
        except Exception as error:  # must not hide the failure that ended the instance, unless it is fatal
            fatal = self.runtime.fatal
            if failure is None or (is_fatal(error, fatal) and not is_fatal(failure, fatal)):
                raise
            logger.error("%s: a hook failed after a crash: %r", self.name, error, exc_info=leaf_of(error))

    def handles(self) -> str | None:
        """The type of the message that the actor handles; `None` if it handles none."""
        return None if self.address.current is None else type(content(self.address.current[0])).__name__

    def end(self) -> None:
        """Stop the actor at its own request. If it was added at run time, it is then taken out of the tree."""
        self.desired = Desired.DOWN if self.planned else Desired.GONE
        self.begin_stop(for_good=True)

    def watch(self, watched: WatchedAddress, make: Callable[[Down], object]) -> Watch:
        """Let the instance watch an address."""
        return Watch(self.address.mailbox, self._owned_signals(), watched, make)

    @property
    def timers(self) -> Timers[Any]:
        """Sets timers of the instance."""
        return Timers(self.address.mailbox, self._owned_signals(), self.runtime.timers)

    def _owned_signals(self) -> set[Signal]:
        if self._signals is None:
            self._signals = set()
        return self._signals

    def _failed(self, error: Exception) -> float | None:
        """Let the supervisor decide, then tell the watchers, unless the decision has closed the address."""
        self._count_ended(error)
        delay = super()._failed(error)
        self._tell_watchers()
        return delay

    def _took_messages(self) -> bool:
        return self._progressed

    def _next_instance(self) -> None:
        self._count_ended(None)
        super()._next_instance()
        self._tell_watchers()

    def _leave(self) -> None:
        self._count_ended(None)
        super()._leave()
        self._tell_watchers()

    def _count_ended(self, error: Exception | None) -> None:
        if self._was_up:
            self._was_up = False
            instance_ended(self.watched, error)

    def _tell_watchers(self) -> None:
        if self.watched.watches is not None and not self.address.mailbox.closed:
            tell_watchers(self.watched)

    def enter_backoff(self, seconds: float) -> None:
        """Wait `seconds` without an instance. Asks fail during the wait if the circuit breaker is open."""
        if self.policy.opens(self.failures):
            self.address.open_circuit(seconds)
        super().enter_backoff(seconds)

    def begin_stop(self, *, for_good: bool) -> None:
        """Ask the actor to end. With `for_good`, close the mailbox; the actor first handles the messages in it."""
        if for_good:
            self.address.shut()
        super().begin_stop(for_good=for_good)

    def inject(self, error: Exception) -> None:
        """Make the instance fail at its next checkpoint, or before its next message."""
        super().inject(error)
        self._wake()

    def _stop_instance(self) -> None:
        self._wake()

    def _stop_start(self) -> None:
        """Cancel the start, unless the instance is needed for the messages that wait."""
        if self.for_good and self.waiting():
            self._wake()
        else:
            super()._stop_start()

    def waiting(self) -> bool:
        """Whether messages wait in the mailbox. The signals in it belong to an instance and end with it."""
        return any(not isinstance(message, Signal) for message, _, _ in self.address.mailbox.queue)

    def want(self, desired: Desired) -> None:
        """Suspend or resume the present instance, which reads `desired` between two messages."""
        self.desired = desired
        self._wake()

    def _wake(self) -> None:
        self.address.receiver.send_urgent(WAKE)

    def reopen(self) -> None:
        """Accept messages. They wait in the mailbox until the instance has started."""
        self.address.open()
        self._tell_watchers()

    def close(self, reason: str) -> None:
        """Refuse new messages and drop the waiting ones."""
        super().close(reason)
        self.address.close(reason)

    def unregister(self) -> None:
        """Remove the child from the system's tables. The address can then be bound to another actor."""
        super().unregister()
        self.release()
        self.address.gone = NOT_RUNNING

    def release(self) -> None:
        """Take the address out of the system."""
        self.address.release()

    def ask_health(self, check: Pending) -> None:
        """Send the health check to the actor, ahead of its messages."""
        if self.state in UP:
            self.address.receiver.send_urgent((HEALTH_CHECK, 0.0, check))
