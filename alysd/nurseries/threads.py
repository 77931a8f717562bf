"""Calls into a trio run from other threads, each with a bound on how long the thread waits."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

import trio
from trio.lowlevel import TrioToken, current_trio_token, spawn_system_task

R = TypeVar("R")

LOOP_SECONDS = 5.0
"""The real seconds that a thread waits for the event loop, besides the timeout of its ask.

No task should keep the loop busy for longer than a millisecond, so the loop of a healthy run needs far less."""


class LoopGone(Exception):
    """The run has ended, or its event loop has not reacted in time."""


def in_run(token: TrioToken) -> bool:
    """Whether this code runs in the trio run of `token`."""
    try:
        return current_trio_token() is token
    except RuntimeError:
        return False


def call_soon(token: TrioToken, call: Callable[[], R]) -> R:
    """Execute `call` in the run of `token`, with this thread's context variables, and return its result.

    Raises its error, or `LoopGone`; then `call` was not executed.
    """
    result: Future[R] = Future()
    context = copy_context()

    def run() -> None:
        if result.set_running_or_notify_cancel():
            try:
                result.set_result(context.run(call))
            except Exception as error:  # belongs to the thread that waits for the result
                result.set_exception(error)

    _soon(token, run)
    return _result(result, LOOP_SECONDS)


def in_waiting_task(token: TrioToken, call: Callable[[], R]) -> R | None:
    """Execute `call` in the task that waits for this thread in `trio.to_thread.run_sync`, and return its result.

    Returns `None` without executing it if there is no such task in the run of `token`. Raises `LoopGone`.
    """
    call_soon(token, lambda: None)  # the next call does not end while the event loop is busy

    def run() -> R | None:
        return call() if in_run(token) else None

    try:
        return trio.from_thread.run_sync(run)
    except RuntimeError:  # trio did not start this thread, or its run has ended
        return None


def await_soon(token: TrioToken, call: Callable[[], Any], seconds: float) -> Any:
    """Await `call()` in the run of `token`, with this thread's context variables, and return its result.

    Raises its error, or `LoopGone` when the run ends first. `call()` must end within `seconds` of the run's clock;
    `LoopGone` is raised `LOOP_SECONDS` later if the loop has not reacted.
    """
    result: Future[Any] = Future()
    context = copy_context()

    async def run() -> None:
        try:
            value = await call()
        except trio.Cancelled:
            result.set_exception(LoopGone("the run ended"))
            raise
        except Exception as error:  # belongs to the thread that waits for the result
            result.set_exception(error)
        else:
            result.set_result(value)

    def start() -> None:
        if result.set_running_or_notify_cancel():
            try:
                spawn_system_task(run, context=context)
            except RuntimeError:  # the run accepts no more tasks
                result.set_exception(LoopGone("the run is ending"))

    _soon(token, start)
    return _result(result, seconds + LOOP_SECONDS)


def _soon(token: TrioToken, call: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(call)
    except trio.RunFinishedError:
        raise LoopGone("the run has ended") from None


def _result(result: "Future[R]", seconds: float) -> R:
    try:
        return result.result(seconds)
    except TimeoutError as error:
        if result.done():
            raise  # the error of the call itself
        result.cancel()  # a call that has not begun never begins
        raise LoopGone(f"its event loop did not react within {seconds:g} s") from error
