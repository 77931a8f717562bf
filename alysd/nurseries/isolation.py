"""Isolates work, such as a client's request: if the work fails, the task that runs the work continues."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple, cast

from alysd.nurseries.errors import leaf_of

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def isolated(
    failed: Callable[[Exception], T], work: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments
) -> T:
    """Return the result of `work(*arguments)`, or `failed(error)` if it raises an `Exception`.

    A cancellation is raised unchanged. If a group contains errors and a cancellation, `failed` is called with the
    errors, and then the cancellation is raised.
    """
    try:
        return await work(*arguments)
    except Exception as error:
        return failed(error)
    except BaseExceptionGroup as raised:
        errors, others = raised.split(Exception)
        if errors is not None:
            failed(errors)
        raise (others or raised) from None


async def isolated_exit(
    ended: Callable[[Exception | SystemExit], None],
    work: Callable[[*Arguments], Awaitable[None]],
    *arguments: *Arguments,
) -> int:
    """Run `work(*arguments)` as if it were a whole process, and return the exit status of such a process.

    The status is 0 if the work returns, that of a `SystemExit`, and 1 for an `Exception`. `ended` is called with
    the `SystemExit` or the `Exception`, with the first one if they are in a group. A cancellation or a
    `KeyboardInterrupt` is raised unchanged, even if it is in a group with others.
    """
    try:
        await work(*arguments)
    except (Exception, SystemExit, BaseExceptionGroup) as raised:
        errors, others = BaseExceptionGroup("", [raised]).split((Exception, SystemExit))
        status: object = 1
        if errors is not None:
            error = cast("Exception | SystemExit", leaf_of(errors))
            ended(error)
            status = error.code if isinstance(error, SystemExit) else 1
        if others is not None:
            raise others from None
        return status if isinstance(status, int) else int(status is not None)
    return 0
