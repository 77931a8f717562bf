"""Running a tree: `open_system` runs it beside a block of code, `run_system` until it is asked to stop.

    async with open_system(supervisor("Root", OneForAll(), [actor(counter, CounterActor)])) as system:
        await counter.send(Add(1))

Leaving the `async with` block stops the tree, last child first. If the root gives up, the code in the block is
cancelled and `SystemFailed` is raised; its `__cause__` is the error of the child that failed first.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import trio

from alysd.nurseries.asks import Wheel
from alysd.nurseries.errors import Fatal, Refusal, exit_in
from alysd.nurseries.failures import Classifier, FailureLog
from alysd.nurseries.health import HealthMonitor
from alysd.nurseries.last_deadline import OnStuck
from alysd.nurseries.observing import GuardedObserver, GuardedTracer
from alysd.nurseries.runtime import Runtime
from alysd.nurseries.spec import SupervisorSpec, validate
from alysd.nurseries.states import Observer
from alysd.nurseries.system import System
from alysd.nurseries.trace import Tracer, Unrecorded

logger = logging.getLogger("alysd.nurseries")


@asynccontextmanager
async def open_system(
    root: SupervisorSpec,
    *,
    observer: Observer | None = None,
    rng: Random | None = None,
    refusals: Sequence[type[Exception]] = (),
    fatal: Sequence[type[Exception]] = (),
    classifier: Classifier | None = None,
    monitor: HealthMonitor | None = None,
    tracer: Tracer | None = None,
    on_stuck: OnStuck | None = None,
) -> AsyncGenerator[System]:
    """Start the tree, enter the `async with` block once the whole tree is up, and stop the tree after the block.

    `observer` is called with every change of a child's state. `rng` is the source of restart jitter. Errors of the
    types `refusals` and `fatal` are treated like `Refusal` and `Fatal`. `classifier` assigns kinds to the
    program's own errors. `monitor` checks every child's health. `tracer` records the handling of messages that
    were sent in a trace (`traced`). `on_stuck` is called with a child that cannot be ended (see `last_deadline`).

    Raises `SpecError` for an invalid tree, and `SystemFailed` when the root gives up. If a child or the block
    raises `SystemExit`, `KeyboardInterrupt` or the like, this is raised as it is, after the tree has stopped.
    """
    validate(root)
    _check_errors(*refusals, *fatal)
    errors = _Errors((Refusal, *refusals), (Fatal, *fatal), classifier or Classifier())
    system = System(root, _runtime(errors, observer, rng, tracer, on_stuck))
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            block = trio.CancelScope()
            nursery.start_soon(system.run, block, monitor, name=root.name)
            try:
                with block:
                    await system.started()
                    if system.failure is None and system.exit is None:
                        yield system
            except trio.Cancelled:
                raise
            except BaseException as error:  # raised again after the nursery, which would wrap it in a group
                raised = error
            finally:
                with trio.CancelScope(shield=True):  # bounded by the children's stop_seconds
                    await system.stop("its block was left")
    except BaseExceptionGroup as group:
        interrupt = exit_in(group)  # Ctrl-C in the midst of the stop
        if interrupt is None:
            raise
        raised = interrupt
    end = _end(system, raised)
    if end is not None:
        raise end


class _Errors(NamedTuple):
    refusals: tuple[type[Exception], ...]
    fatal: tuple[type[Exception], ...]
    classifier: Classifier


def _runtime(
    errors: _Errors,
    observer: Observer | None,
    rng: Random | None,
    tracer: Tracer | None,
    on_stuck: OnStuck | None,
) -> Runtime:
    return Runtime(
        wheel=Wheel(),
        observer=None if observer is None else GuardedObserver(observer),
        rng=rng or Random(),  # noqa: S311  jitter is no secret
        refusals=errors.refusals,
        fatal=errors.fatal,
        failures=FailureLog(errors.classifier),
        tracer=Unrecorded() if tracer is None else GuardedTracer(tracer),
        on_stuck=None if on_stuck is None else GuardedObserver(on_stuck),
    )


def _check_errors(*kinds: type[Exception]) -> None:
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"refusals and fatal must be types of exceptions, not {kind!r}")


def _end(system: System, raised: BaseException | None) -> BaseException | None:
    """The error to raise at the end of the system, or `None`. `raised` is the error of its block, if any."""
    end = system.failure or system.exit
    if end is not None and raised is not None:
        logger.error("besides the failure of the system, its block raised %r", raised, exc_info=raised)
    return end or raised


async def run_system(
    root: SupervisorSpec,
    *,
    observer: Observer | None = None,
    refusals: Sequence[type[Exception]] = (),
    fatal: Sequence[type[Exception]] = (),
    classifier: Classifier | None = None,
    monitor: HealthMonitor | None = None,
    tracer: Tracer | None = None,
    on_stuck: OnStuck | None = None,
    task_status: trio.TaskStatus[System] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the tree until it is asked to stop (`System.request_stop`) or fails (`SystemFailed`).

    `task_status.started` is called with the `System` once the whole tree is up.
    """
    async with open_system(
        root,
        observer=observer,
        refusals=refusals,
        fatal=fatal,
        classifier=classifier,
        monitor=monitor,
        tracer=tracer,
        on_stuck=on_stuck,
    ) as system:
        task_status.started(system)
        await system.ended()
