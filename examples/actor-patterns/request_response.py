"""Request and response: an ask is typed from the message to its answer, and always ends.

It ends with the answer, a refusal (the asker is at fault), a crash of the actor, or the timeout of the ask. Run
it: python examples/actor-patterns/request_response.py
"""

import logging

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    AskTimeout,
    HandlerCrashed,
    Immediate,
    OneForOne,
    Refusal,
    actor,
    handles,
    open_system,
    supervisor,
)


class Warehouse:
    """The protocol of `WarehouseActor`."""


@attrs.frozen
class Take(Ask[Warehouse, int]):
    """Take some items; the answer is the number left."""

    count: int


@attrs.frozen
class NotEnough(Refusal):
    """Only `left` items are left."""

    left: int


class WarehouseActor(Actor[Warehouse]):
    """Starts with ten items. Taking 13 crashes it; taking more than 100 takes a minute."""

    def __init__(self) -> None:
        self._left = 10

    @handles(Take)
    async def take(self, message: Take) -> int:
        """Take the items, or refuse if there are not enough."""
        if message.count == 13:
            raise RuntimeError("dropped it")
        if message.count > 100:
            await trio.sleep(60)
        if message.count > self._left:
            raise NotEnough(self._left)
        self._left -= message.count
        return self._left


async def main() -> None:
    """Ask four times, with four different outcomes."""
    warehouse: Address[Warehouse] = Address("warehouse")
    # When the program ends, a handler that still runs is cancelled after 0.1 s.
    child = actor(warehouse, WarehouseActor, restart=Immediate(), stop_seconds=0.1)
    async with open_system(supervisor("Root", OneForOne(), [child])):
        print("left:", await warehouse.ask(Take(4)))
        try:
            await warehouse.ask(Take(7))
        except NotEnough as refusal:
            print("refused, left:", refusal.left)
        try:
            await warehouse.ask(Take(13))
        except HandlerCrashed as crash:
            print(crash)
        try:
            await warehouse.ask(Take(500), seconds=0.1)
        except AskTimeout as timeout:
            print(timeout)


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crash above is meant
    trio.run(main)
