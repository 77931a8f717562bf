# The types of the functions that alysd.integrations.governance uses: trio-asyncio ships none.

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")

def open_loop() -> AbstractAsyncContextManager[object]: ...
def aio_as_trio(proc: Callable[[*_Arguments], Awaitable[_T]]) -> Callable[[*_Arguments], Awaitable[_T]]: ...
def trio_as_aio(proc: Callable[[*_Arguments], Awaitable[_T]]) -> Callable[[*_Arguments], Awaitable[_T]]: ...
