"""The machine on which one process of a simulated node runs: its disk, its threads, its loss of power.

    with simulated_threads():
        ...
            with machine.running():
                nursery.start_soon(node)

`trio.to_thread.run_sync` then does its work in the event loop, after a little virtual time. Before the call
returns, and after some more time, the writes of this work are synced to the disk. So a crash can come before a
write, between write and sync, and between sync and the next step of the caller.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random
from typing import Any, TypeVar

import attrs
import trio

from alysd.testing.federation.agenda import Agenda
from alysd.testing.federation.disk import DiskSession

T = TypeVar("T")


@attrs.define(eq=False)
class SimulatedMachine:
    """One process of a member and its disk. `alive` is false after `crash`.

    After a crash the rest of the process still runs until it is stopped, but it has no effect any more: it writes
    to no disk, and its endpoint of the network is unplugged. A thread works for up to `work_seconds`, and a sync
    takes up to `sync_seconds`.
    """

    name: str
    session: DiskSession
    choices: Random
    agenda: Agenda
    work_seconds: float = 0.004
    sync_seconds: float = 0.01

    @property
    def alive(self) -> bool:
        """Whether the process has any effect: false after a crash."""
        return self.session.alive

    def crash(self) -> None:
        """Lose power now."""
        self.session.crash(self.choices)

    @contextmanager
    def running(self) -> Generator[None]:
        """While the `with` block runs, tasks that start in it, and their children, run on this machine."""
        token = _machine.set(self)
        try:
            yield
        finally:
            _machine.reset(token)

    async def work(self, work: Callable[..., T], *args: Any) -> T:
        """Do work as in a thread: it cannot be cancelled, and its writes are synced before this returns."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await self.agenda.wait(self.work_seconds * self.choices.random())
        result = work(*args)
        if self.session.dirty:
            await self.agenda.wait(self.sync_seconds * self.choices.random())
            self.session.sync()
        return result


_machine: ContextVar[SimulatedMachine] = ContextVar("machine")


def machine_name() -> str:
    """The name of the machine on which the present task runs; empty outside of all machines."""
    machine = _machine.get(None)
    return "" if machine is None else machine.name


@contextmanager
def simulated_threads() -> Generator[None]:
    """While the `with` block runs, `trio.to_thread.run_sync` works on the machine of the task that calls it."""

    async def run_sync(
        work: Callable[..., T], *args: Any, limiter: trio.CapacityLimiter | None = None, **_options: Any
    ) -> T:
        if limiter is None:
            return await _machine.get().work(work, *args)
        async with limiter:
            return await _machine.get().work(work, *args)

    real = trio.to_thread.run_sync
    trio.to_thread.run_sync = run_sync
    try:
        yield
    finally:
        trio.to_thread.run_sync = real
