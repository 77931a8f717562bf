"""Isolates work, such as a client's request: if the work fails, the task that runs the work continues."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def isolated(
    failed: Callable[[Exception], T], work: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments
) -> T:
    """Return the result of `work(*arguments)`, or `failed(error)` if it raises an `Exception`.

    A cancellation is raised unchanged. If a group contains errors and a cancellation, `failed` gets the errors
    first.
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
