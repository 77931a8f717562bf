"""Worker threads without threads, for virtual time: a MockClock cannot see that a thread is at work, and jumps."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")


@contextmanager
def threads_inline() -> Generator[None]:
    """While the block runs, `trio.to_thread.run_sync` does its work in the event loop, after a checkpoint."""

    async def run_sync(work: Callable[..., Result], *args: Any, **_options: Any) -> Result:
        await trio.lowlevel.checkpoint()
        return work(*args)

    real = trio.to_thread.run_sync
    trio.to_thread.run_sync = run_sync
    try:
        yield
    finally:
        trio.to_thread.run_sync = real
