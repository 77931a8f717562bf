"""The state of an actor, as the actor shows it to operators and tests: `System.get_state`.

    class Queue(Actor[Queueing]):
        def visible_state(self) -> Mapping[str, object]:
            return {"waiting": len(self._waiting), "paused": self._paused}

    await system.get_state("queue")          # {"waiting": 3, "paused": False}

Nothing is shown unless the actor overrides `visible_state`, because its attributes can contain secrets. The actor
answers between two messages, ahead of the waiting ones, also while it is suspended. The answer is a copy of plain
data of bounded size, which later messages do not change.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from trio.lowlevel import current_task, wait_task_rescheduled

from alysd.nurseries.address import NOT_RUNNING, Address
from alysd.nurseries.asks import MOST_SECONDS, Pending, invalid_seconds
from alysd.nurseries.behaviour import Actor
from alysd.nurseries.errors import ActorDown, AskTimeout
from alysd.nurseries.inbox import Entry

VALUES = 1000
"""The largest number of values in a state, nested ones included."""

TEXT = 200
"""The largest number of characters of a text in a state, and of a key. Longer ones are cut."""

DEPTH = 8
"""The deepest nesting of a state."""

STATE_QUERY = "state query"
"""The value that the urgent entry of a state query has in place of a message."""


def show(actor: Actor[Any], query: Pending) -> None:
    """Answer a query with the actor's state."""
    if query.task is None:
        return
    try:
        state = bounded_copy(actor.visible_state())
    except Exception as error:  # a look at an actor must not crash it
        query.fail(error)
    else:
        query.reply(state)


async def ask_state(address: Address[Any], seconds: float) -> Mapping[str, object]:
    """The state of the running instance.

    Raises `AskTimeout`, `ActorDown`, the errors of `visible_state`, and `ValueError` or `TypeError` for `seconds`
    that `Address.ask` refuses.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise invalid_seconds(address.name, seconds)
    wheel = address.wheel
    if wheel is None:
        raise ActorDown(address.name, NOT_RUNNING)
    query = Pending(current_task())
    entry: Entry = (STATE_QUERY, 0.0, query)
    address.receiver.send_urgent(entry)
    wheel.add(query, seconds)
    await wait_task_rescheduled(query.abort)
    if query.answered:
        return query.value
    raise query.error or AskTimeout(address.name, STATE_QUERY, seconds)


def bounded_copy(state: Mapping[Any, Any]) -> dict[str, object]:
    """A copy of a state as plain data of bounded size."""
    return _Copy().of_mapping(state, 0)


class _Copy:
    """Copies a state of at most `VALUES` values. Where it leaves something out, a text says so."""

    def __init__(self) -> None:
        self._left = VALUES

    def of_mapping(self, state: Mapping[Any, Any], depth: int) -> dict[str, object]:
        """A copy of a mapping, with texts as keys."""
        copied: dict[str, object] = {}
        for number, (key, value) in enumerate(state.items()):
            if self._left <= 0:
                copied["…"] = f"{len(state) - number} more"
                break
            copied[_text(str(key))] = self._of(value, depth + 1)
        return copied

    def _of_items(self, items: Sequence[Any] | AbstractSet[Any], depth: int) -> tuple[object, ...]:
        copied: list[object] = []
        for number, item in enumerate(items):
            if self._left <= 0:
                copied.append(f"… {len(items) - number} more")
                break
            copied.append(self._of(item, depth + 1))
        return tuple(copied)

    def _of(self, value: object, depth: int) -> object:
        self._left -= 1
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int) and value.bit_length() <= 4 * TEXT:
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, bytes | bytearray):
            return _text(bytes(value[:TEXT]).hex())
        if depth >= DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return self.of_mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, Sequence | AbstractSet):
            return self._of_items(cast("Sequence[Any] | AbstractSet[Any]", value), depth)
        return f"<{type(value).__name__}>"  # its text could contain what the actor did not mean to show


def _text(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"
