"""Who waits for whom: actors that would wait for each other for ever are found before they do.

While a handler waits, for an answer or for room in a full mailbox, its actor takes no messages. If the one
it waits for waits, over however many others, for it, none of them will go on by itself. The wait that would
close such a circle is refused with `AskCycle`, which names everyone on it.
"""

from contextvars import ContextVar
from typing import Protocol

from alysd.nurseries.errors import AskCycle


class Waiter(Protocol):
    """What can wait and be waited for: the mailbox of an actor."""

    name: str
    waits_for: "list[Waiter] | None"


handling: ContextVar[Waiter | None] = ContextVar("handling", default=None)
"""The actor in whose handler this code runs. Tasks that a handler starts inherit it: it waits for them."""


def begin_wait(waiter: Waiter, target: Waiter) -> None:
    """Note that `waiter` waits for `target`. Raises `AskCycle` when `target` waits for it already."""
    if target is waiter or target.waits_for:
        way_back = _way(target, waiter)
        if way_back is not None:
            raise AskCycle((waiter.name, *way_back))
    if waiter.waits_for is None:
        waiter.waits_for = [target]
    else:
        waiter.waits_for.append(target)


def end_wait(waiter: Waiter, target: Waiter) -> None:
    """The wait is over."""
    waits = waiter.waits_for or []
    waits.remove(target)


def _way(start: Waiter, end: Waiter) -> tuple[str, ...] | None:
    """The names from `start` to `end` along what each waits for, or `None` when there is no way."""
    seen: list[Waiter] = []
    ways: list[tuple[Waiter, tuple[str, ...]]] = [(start, (start.name,))]
    while ways:
        waiter, names = ways.pop()
        if waiter is end:
            return names
        if waiter not in seen:
            seen.append(waiter)
            ways.extend((following, (*names, following.name)) for following in waiter.waits_for or ())
    return None
