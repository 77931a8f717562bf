"""A child whose instances live in processes. The end of a process is a failure like any other."""

import trio

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.asks import handling
from alysd.nurseries.child import Desired, Parent, Runtime, State
from alysd.nurseries.processes import frames
from alysd.nurseries.processes.errors import ProcessDied
from alysd.nurseries.processes.launch import OperatingSystem
from alysd.nurseries.processes.session import Session
from alysd.nurseries.processes.spec import ProcessSpec
from alysd.nurseries.processes.unbegun import Unbegun
from alysd.nurseries.visible_state import STATE_QUERY


class ProcessChild(ActorChild):
    """The parent's side of a child in a process. Its mailbox stays in the parent."""

    __slots__ = ("_process_spec", "_session", "_unbegun")

    def __init__(self, spec: ProcessSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        super().__init__(spec, parent, runtime, planned=planned)
        self._process_spec = spec
        self._session: Session | None = None
        self._unbegun = Unbegun()

    async def _start(self) -> None:
        """Reset the counts and the circuit. `_work` starts the process."""
        self._handled_before = self.address.handled
        self.address.circuit_until = None
        handling.set(None)

    async def _work(self) -> None:
        spec = self._process_spec
        try:
            async with trio.open_nursery() as nursery:
                launcher = spec.launcher or OperatingSystem()
                session = self._session = Session(spec, launcher, self.restarts, nursery, self.end)
                session.run_tasks(nursery)
                try:
                    await self._come_up(session)
                    await self._forward(session)
                    await session.ended.wait()
                finally:
                    # A process that failed is killed at once. Any other gets the time to run its last hooks.
                    failed = nursery.cancel_scope.cancel_called
                    await session.end(0.0 if failed else spec.limits.end_seconds)
                nursery.cancel_scope.cancel()
        finally:
            if self._session is not None:
                self._session.close()

    async def _come_up(self, session: Session) -> None:
        seconds = self._process_spec.limits.start_seconds
        with trio.move_on_after(seconds):
            await session.ready.wait()
            if not self.stopping:  # a stop for good lets an instance start that has messages to handle
                self.move(State.RUNNING)
            self._was_up = True
            return
        raise ProcessDied(self.name, f"its actor was not up within {seconds:g} s")

    async def _forward(self, session: Session) -> None:
        """Send messages until the child is asked to stop. If its mailbox is closed, first send the rest of it."""
        inbox, wire = self.address.mailbox, session.wire
        while True:
            while inbox.urgent:
                what, _, check = inbox.urgent.popleft()
                if check is not None:
                    session.check(check, frames.SHOW if what is STATE_QUERY else frames.CHECK)
            inbox.urgent = None
            if self.stopping and (not inbox.closed or not inbox.queue):
                break
            self._suspend_or_resume(session)
            if self.state is not State.SUSPENDED:
                session.outlet.pump()
            if not inbox.urgent and not (self.stopping and not inbox.queue):
                wire.flush()
                await inbox.wait()
        session.stop(for_good=inbox.closed)

    def _suspend_or_resume(self, session: Session) -> None:
        suspend = self.desired is Desired.SUSPENDED and not self.stopping
        if suspend and self.state is State.RUNNING:
            self.move(State.SUSPENDED)
            session.wire.post(frames.SUSPEND)
        elif not suspend and self.state is State.SUSPENDED:
            self.move(State.RUNNING)
            session.wire.post(frames.RESUME)

    async def _end_instance(self, failure: Exception | None) -> None:
        """Resolve the messages in flight, then the one that was being handled."""
        session, self._session = self._session, None
        if session is not None:
            session.settle(failure, self._unbegun)
        await super()._end_instance(failure)
