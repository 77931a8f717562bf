# The types of the functions that alysd uses: trio-util ships none.

from collections.abc import Awaitable, Callable

async def wait_any(*args: Callable[[], Awaitable[object]]) -> None: ...
