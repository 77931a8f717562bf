"""Running a tree: `open_system` for a block of code, `run_system` for a daemon's last line.

    async with open_system(supervisor("Root", OneForAll(), [actor(counter, CounterActor)])) as system:
        await counter.send(Add(1))

Leaving the block stops the tree, last child first. If the root gives up, the block is cancelled and
`SystemFailed` is raised; its `__cause__` is the error of the child where it began.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio

from alysd.nurseries.child import Runtime
from alysd.nurseries.errors import Fatal, Refusal
from alysd.nurseries.failure_log import FailureLog
from alysd.nurseries.failures import Classifier
from alysd.nurseries.lifecycle import Observer
from alysd.nurseries.monitor import HealthMonitor
from alysd.nurseries.spec import SupervisorSpec, validate
from alysd.nurseries.system import System
from alysd.nurseries.trace import Tracer, Unrecorded
from alysd.nurseries.wheel import Wheel

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
) -> AsyncGenerator[System]:
    """Start the tree and enter the block once all of it is up; stop it when the block is left.

    `observer` is told of every lifecycle change. `rng` is where restart jitter comes from. `refusals` and
    `fatal` name error types that count as `Refusal` and `Fatal` besides those two. `classifier` knows the
    program's own errors. `monitor` checks every child's health beside the tree. `tracer` records the handling of
    messages sent in a trace (`traced`).

    Raises `SpecError` for a tree that cannot be, `SystemFailed` when the root gives up.
    """
    validate(root)
    runtime = Runtime(
        wheel=Wheel(),
        observer=observer,
        rng=rng or Random(),  # noqa: S311  jitter is no secret
        refusals=(Refusal, *refusals),
        fatal=(Fatal, *fatal),
        failures=FailureLog(classifier or Classifier()),
        tracer=tracer or Unrecorded(),
    )
    system = System(root, runtime)
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        block = trio.CancelScope()
        nursery.start_soon(system.run, block, monitor, name=root.name)
        try:
            with block:
                await system.started()
                if system.failure is None:
                    yield system
        except trio.Cancelled:
            raise
        except BaseException as error:  # carried past the nursery, which would wrap it in a group
            raised = error
        finally:
            with trio.CancelScope(shield=True):  # bounded by the children's stop_seconds
                await system.stop("its block was left")
    if system.failure is not None:
        if raised is not None:
            logger.error("besides the system's failure its block raised %r", raised, exc_info=raised)
        raise system.failure
    if raised is not None:
        raise raised


async def run_system(
    root: SupervisorSpec,
    *,
    observer: Observer | None = None,
    refusals: Sequence[type[Exception]] = (),
    fatal: Sequence[type[Exception]] = (),
    classifier: Classifier | None = None,
    monitor: HealthMonitor | None = None,
    tracer: Tracer | None = None,
    task_status: trio.TaskStatus[System] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the tree until it is asked to stop (`System.request_stop`) or fails (`SystemFailed`).

    `task_status` is given the `System` once the whole tree is up.
    """
    async with open_system(
        root,
        observer=observer,
        refusals=refusals,
        fatal=fatal,
        classifier=classifier,
        monitor=monitor,
        tracer=tracer,
    ) as system:
        task_status.started(system)
        await system.ended()
