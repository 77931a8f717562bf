"""The state that an actor shows: opt-in, at a message boundary, a bounded copy."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import Actor, ActorDown, Address, AskTimeout, State, Tell, WrongState, actor, handles, task
from alysd.nurseries.visible_state import DEPTH, TEXT, VALUES, ask_state
from alysd.testing.echo import echo, running


class Showing:
    """The protocol of `Shower`."""


@attrs.frozen
class Put(Tell[Showing]):
    """Put a value under a key, after some seconds."""

    key: str
    value: Any
    seconds: float = 0.0


class Shower(Actor[Showing]):
    """Shows `shown`, but not its secret."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self.secret = "hunter2"

    @handles(Put)
    async def put(self, message: Put) -> None:
        await trio.sleep(message.seconds)
        self.shown[message.key] = message.value

    def visible_state(self) -> Mapping[str, object]:
        if "broken" in self.shown:
            raise KeyError("broken")
        return self.shown


def shower() -> tuple[Address[Showing], Any]:
    address: Address[Showing] = Address("shower")
    return address, actor(address, Shower)


async def test_the_state_is_a_copy_of_plain_data(autojump_clock: MockClock) -> None:
    address, child = shower()
    mutable = [1, 2]
    async with running([child]) as system:
        values: dict[str, Any] = {
            "plain": (None, True, 7, 0.5, "text"),
            "bytes": b"\x01\xff",
            "list": mutable,
            "queue": deque([1, {"deep": frozenset({3})}]),
            "other": ValueError("hunter2"),
            "state": State.RUNNING,
        }
        for key, value in values.items():
            address.tell(Put(key, value))
        address.tell(Put("last", 1))
        await wait_all_tasks_blocked()
        state = await system.get_state("shower")
        mutable.append(3)
        address.tell(Put("later", 1))
        await wait_all_tasks_blocked()
        assert state == {
            "plain": (None, True, 7, 0.5, "text"),
            "bytes": "01ff",
            "list": (1, 2),
            "queue": (1, {"deep": (3,)}),
            "other": "<ValueError>",
            "state": "<State>",
            "last": 1,
        }


def size(value: object) -> int:
    """The number of characters of all texts in a state, and of values."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(size(key) + size(item) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, tuple):
        return sum(map(size, value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return 1


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        b"x" * 10**6,
        list(range(10**5)),
        dict.fromkeys(range(10**5), "v" * 10**4),
        [[list(range(100))] * 100] * 100,
        {n: dict.fromkeys(range(1000)) for n in range(1000)},
        1 << 10**6,
    ],
    ids=["text", "bytes", "list", "mapping", "nested lists", "nested mappings", "number"],
)
async def test_a_large_state_is_cut_and_says_so(autojump_clock: MockClock, value: object) -> None:
    address, child = shower()
    async with running([child]) as system:
        address.tell(Put("large", value))
        address.tell(Put("next", 1))
        await wait_all_tasks_blocked()
        state = await system.get_state("shower")
        assert size(state) <= 2 * VALUES * TEXT
        assert "…" in str(state) or state["large"] in ("<int>", "78" * (TEXT // 2))


async def test_a_deep_state_is_cut(autojump_clock: MockClock) -> None:
    address, child = shower()
    deep: list[Any] = []
    deep.append(deep)
    async with running([child]) as system:
        address.tell(Put("deep", deep))
        await wait_all_tasks_blocked()
        state: Any = await system.get_state("shower")
        for _ in range(DEPTH - 1):
            (state,) = state.values() if isinstance(state, dict) else state  # pyright: ignore[reportUnknownVariableType]
        assert state == ("…",)


async def test_the_answer_overtakes_waiting_messages_but_not_the_handler(autojump_clock: MockClock) -> None:
    address, child = shower()
    async with running([child]) as system:
        address.tell(Put("first", 1, seconds=1))
        await wait_all_tasks_blocked()
        address.tell(Put("second", 2, seconds=10))
        assert await system.get_state("shower") == {"first": 1}
        with pytest.raises(AskTimeout, match="no answer from shower to state query within 2 s"):
            await system.get_state("shower")
        system.suspend("shower")
        await trio.sleep(10)
        assert await system.get_state("shower") == {"first": 1, "second": 2}, "a suspended actor answers"


async def test_an_error_in_the_hook_goes_to_the_one_who_asks(autojump_clock: MockClock) -> None:
    address, child = shower()
    async with running([child]) as system:
        address.tell(Put("broken", 1))
        await wait_all_tasks_blocked()
        with pytest.raises(KeyError, match="broken"):
            await system.get_state("shower")
        assert system.snapshot().children[0].restarts == 0


async def test_nothing_is_shown_without_the_hook_or_an_instance(autojump_clock: MockClock) -> None:
    address, child = echo()
    async with running([child, task("task", trio.sleep_forever)]) as system:
        with pytest.raises(NotImplementedError, match="EchoActor shows no state: it has no method visible_state"):
            await system.get_state("echo")
        with pytest.raises(WrongState, match="cannot get the state of task: it is not an actor"):
            await system.get_state("task")
        await system.stop_child("echo")
        with pytest.raises(WrongState, match="cannot get the state of echo: it is stopped"):
            await system.get_state("echo")
    with pytest.raises(ActorDown, match="not part of a running system"):
        await ask_state(address, 1)


async def test_an_instance_that_ends_first_does_not_answer(autojump_clock: MockClock) -> None:
    address, child = shower()
    async with running([child]) as system, trio.open_nursery() as nursery:
        address.tell(Put("x", 1, seconds=1))
        await wait_all_tasks_blocked()

        async def ask() -> None:
            with pytest.raises(ActorDown, match="its instance ended"):
                await system.get_state("shower")

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        system.inject("shower", OSError("x"))


async def test_nobody_is_shown_a_state_that_nobody_waits_for(autojump_clock: MockClock) -> None:
    address, child = shower()
    async with running([child]) as system:
        address.tell(Put("broken", 1, seconds=1))
        await wait_all_tasks_blocked()
        with trio.move_on_after(0.5) as scope:
            await system.get_state("shower")
        await trio.sleep(1)
        assert scope.cancelled_caught
        assert system.snapshot().children[0].state is State.RUNNING


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1, None, "1"])
async def test_a_state_is_asked_for_with_a_timeout_only(seconds: Any, autojump_clock: MockClock) -> None:
    """The query was queued first, and its answer woke a later wait of the caller."""
    address, child = shower()
    async with running([child]) as system:
        with pytest.raises((ValueError, TypeError), match="seconds must be a number from 0"):
            await system.get_state("shower", seconds=seconds)
        await trio.sleep(3)
        assert address.depth == 0
